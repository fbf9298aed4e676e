"""Several processes on one stage, as ``accelerate launch`` starts them; with a single one, nothing here does anything.

Every process works through the same code on the same data. The main one alone writes; scoring is shared out by rows.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

SHARDED = "DELREC_KIT_SHARDED"


def several() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def processes() -> int:
    return _state().num_processes if several() else 1


def sharded() -> bool:
    """Whether the processes hold the frozen weights together: ``accelerate launch --use_fsdp`` says so. Accelerate
    itself must not hear it, for it would spread what learns, too."""
    if os.environ.pop("ACCELERATE_USE_FSDP", "").lower() == "true":
        os.environ[SHARDED] = "true"
    return several() and SHARDED in os.environ


def is_main() -> bool:
    return not several() or _state().is_main_process


def share(rows: int) -> np.ndarray:
    """Which of ``rows`` rows this process scores: as many as the others do, so that all read equally often."""
    if not several():
        return np.arange(rows)
    n = _state().num_processes
    return np.arange(_state().process_index, -(-rows // n) * n, n) % max(1, rows)


def together(rows: int, mine: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(rows, …) in every process, from each one's ``values`` of the rows that ``share`` gave it."""
    if not several():
        return values
    from accelerate.utils import gather_object

    whole = np.empty((rows, *values.shape[1:]), dtype=values.dtype)
    for chosen, part in gather_object([(mine, values)]):
        whole[chosen] = part
    return whole


def wait() -> None:
    if several():
        _state().wait_for_everyone()


def main_only(write: Callable[[], Any]) -> None:
    """Call ``write`` in the main process; the others go on when it is done."""
    if is_main():
        write()
    wait()


@contextmanager
def writing(run: Any, stage: str) -> Iterator[Path]:
    """``run.writing(stage)`` in the main process; in the others, a folder that nobody will read."""
    if is_main():
        with run.writing(stage) as folder:
            yield folder
    else:
        with TemporaryDirectory() as folder:
            yield Path(folder)
    wait()


def device() -> str | None:
    """The GPU of this process, None where the choice is free."""
    if not several():
        return None
    return f"cuda:{_state().local_process_index}" if _state().device.type == "cuda" else "cpu"


def _state() -> Any:
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.accelerator.is_available())  # else it takes processes without a GPU for one each
