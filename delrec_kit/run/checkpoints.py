"""What a training resumes from: the tensors that learn, in the newest checkpoint that was written to its end."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import TrainerCallback

from delrec_kit.run.files import is_undamaged, write_marker
from delrec_kit.run.processes import main_only, several, wait

WEIGHTS = "trainable.safetensors"
LAST_WRITTEN = "trainer_state.json"


class Checksums(TrainerCallback):
    """Gives each checkpoint the checksums of its files; not where several processes write into it."""

    def on_save(self, args, state, control, **kwargs):
        if not several():
            write_marker(Path(args.output_dir) / f"checkpoint-{state.global_step}", {})


def last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint in ``folder``, None where there is none; newer ones, torn or damaged, are deleted."""
    found = sorted(folder.glob("checkpoint-*"), key=_step, reverse=True)
    newest = next((path for path in found if _is_whole(path)), None)
    torn = found if newest is None else found[: found.index(newest)]
    wait()  # every process has looked before one of them changes what there is
    main_only(lambda: [shutil.rmtree(path) for path in torn])
    return None if newest is None else str(newest)


def learning(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that learn, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def save_learning(model: nn.Module, folder: Path) -> None:
    """Write the parameters that learn; what is frozen is never written."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: p.detach().cpu().contiguous() for name, p in learning(model).items()}, folder / WEIGHTS)


@torch.no_grad()
def load_learning(model: nn.Module, folder: Path) -> None:
    """Copy saved tensors into the parameters that learn. Raises ValueError where the two sets of names differ."""
    saved, parameters = load_file(folder / WEIGHTS), learning(model)
    if saved.keys() != parameters.keys():
        raise ValueError(f"checkpoint holds other parameters than learn: {sorted(saved.keys() ^ parameters.keys())}")
    for name, parameter in parameters.items():
        parameter.copy_(saved[name])


def _is_whole(path: Path) -> bool:
    try:
        json.loads((path / LAST_WRITTEN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return is_undamaged(path)


def _step(path: Path) -> int:
    tail = path.name.rpartition("-")[2]
    return int(tail) if tail.isdigit() else -1
