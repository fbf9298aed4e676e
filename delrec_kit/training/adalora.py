"""AdaLoRA (arXiv 2303.10512) by peft: the adapter of stage 2, and what peft leaves of it to its user.

Every adapted projection W becomes W + P diag(lambda) Q. peft counts how much each singular value matters and zeroes
those that matter least, until ``rank`` are left a projection on average; the kit adds what Trainer does not call: the
budget update, the penalty that keeps P and Q orthogonal, and checkpoints from which the schedule can go on.
"""

import json
from pathlib import Path

import torch
from peft import AdaLoraConfig, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from delrec_kit.llm import LanguageModel
from delrec_kit.llm.families.registry import adapter_targets
from delrec_kit.run.files import read_json, write_json
from delrec_kit.settings.config import FinetuneConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.streams import stream_seed

ALPHA = 32.0
IMPORTANCES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


def orthogonality(peft_model: PeftModel) -> torch.Tensor:
    """AdaLoRA's penalty, mean over the factors of the Frobenius norm of P'P - I, times its weight.

    peft adds it inside the model's own loss, which this kit does not use.
    """
    penalties = []
    for name, p in peft_model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            gram = p @ p.T if "lora_A" in name else p.T @ p
            penalties.append(torch.linalg.norm(gram - torch.eye(len(gram), device=p.device)))
    return peft_model.peft_config["default"].orth_reg_weight * torch.stack(penalties).mean()


class RankBudget(TrainerCallback):
    """Calls AdaLoRA's budget update once an optimizer step, which Trainer does not, and makes it resumable."""

    def __init__(self, peft_model: PeftModel):
        self.tuner = peft_model.base_model
        self.settings = peft_model.peft_config["default"]

    def on_optimizer_step(self, args, state, control, **kwargs):
        self.tuner.update_and_allocate(state.global_step)

    def save(self, folder: Path) -> None:
        allocator = self.tuner.rankallocator
        tensors = {f"{kind}/{n}": t.cpu() for kind in IMPORTANCES for n, t in getattr(allocator, kind).items()}
        save_file(tensors, folder / "rank_allocator.safetensors")
        (folder / "rank_pattern.json").write_text(json.dumps(self.settings.rank_pattern))

    def load(self, folder: Path) -> None:
        allocator = self.tuner.rankallocator
        allocator.reset_ipt()
        device = next(self.tuner.parameters()).device
        for key, tensor in load_file(folder / "rank_allocator.safetensors").items():
            kind, _, name = key.partition("/")
            getattr(allocator, kind)[name] = tensor.to(device)
        self.settings.rank_pattern = json.loads((folder / "rank_pattern.json").read_text())


def add_adapter(llm: LanguageModel, config: FinetuneConfig, steps: int, seed: int) -> PeftModel:
    """Put trainable AdaLoRA or LoRA layers into ``llm`` (in place) for a training of ``steps`` optimizer steps.

    AdaLoRA's rank falls from 3/2 ``rank`` to ``rank`` a layer on average between 10 % and 70 % of the steps.
    Raises KitError where ``finetune.targets`` names no layer, or the query and value projections cannot be told.
    """
    shared = {
        "task_type": llm.task_type,
        "target_modules": adapter_targets(llm.model, config.targets),
        "lora_alpha": ALPHA,
        "lora_dropout": config.dropout,
    }
    if config.adapter == "lora":
        settings = LoraConfig(r=config.rank, **shared)
    else:
        settings = AdaLoraConfig(
            init_r=max(config.rank + 1, config.rank * 3 // 2),
            target_r=config.rank,
            total_step=max(2, steps),  # a schedule of one step has no room for its own end
            tinit=steps // 10,
            tfinal=max(1, 3 * steps // 10),
            deltaT=max(1, steps // 50),
            **shared,
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "adapter"))
        peft_model = get_peft_model(llm.model, settings)
    for name, parameter in peft_model.named_parameters():
        if ".ranknum." in name:  # a constant, which peft lets learn where it had to change its type (half precision)
            parameter.requires_grad_(False)
    return peft_model


def live_ranks(peft_model: PeftModel) -> dict[str, int]:
    """Rank of each adapted layer: what AdaLoRA left of its singular values, or LoRA's constant one."""
    part, rank = ("lora_A", len) if _is_lora(peft_model) else ("lora_E", lambda p: int((p != 0).sum()))
    return {
        name.partition(f".{part}")[0].removeprefix("base_model.model."): rank(p)
        for name, p in peft_model.named_parameters()
        if f".{part}." in name
    }


def save_adapter(peft_model: PeftModel, folder: Path) -> None:
    """A standard peft folder. AdaLoRA's factors are saved at full size, their pruned singular values being zero: peft's
    truncated form would not load into fresh layers of ``init_r``."""
    settings = peft_model.peft_config["default"]
    pattern = settings.rank_pattern
    if not _is_lora(peft_model):
        settings.rank_pattern = None
    peft_model.save_pretrained(folder, safe_serialization=True)
    settings.rank_pattern = pattern
    (folder / "README.md").unlink(missing_ok=True)
    saved = read_json(folder / "adapter_config.json")  # peft keeps the layers as a set, whose order is chance
    write_json(folder / "adapter_config.json", {k: sorted(v) if k == "target_modules" else v for k, v in saved.items()})


def load_adapter(llm: LanguageModel, folder: Path) -> None:
    """Put a saved adapter into ``llm`` (in place), frozen. Nothing is put where stage 2 was told to train none."""
    if (folder / "metrics.json").is_file() and not (folder / "adapter_config.json").is_file():
        return
    if not (folder / "adapter_config.json").is_file():
        raise KitError(f"no adapter at {folder}; run notebook 04 first")
    PeftModel.from_pretrained(llm.model, folder, is_trainable=False)
    llm.requires_grad_(False)
    llm.eval()


def _is_lora(peft_model: PeftModel) -> bool:
    return peft_model.peft_config["default"].peft_type == "LORA"
