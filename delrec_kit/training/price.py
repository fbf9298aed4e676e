"""What training costs: seconds and memory, told at every validation and kept through a resume."""

import sys
import time
from pathlib import Path

import torch
from transformers import TrainerCallback

from delrec_kit.run.directory import read_json, write_json

MIB = 2**20


class Price(TrainerCallback):
    """rows: step -> (seconds of training and validation up to there, those before a resume included; MiB, the most
    that the process had used by then, of the GPU's memory where there is one)."""

    def __init__(self):
        self.rows: dict[int, tuple[float, float]] = {}
        self.before, self.started = 0.0, time.monotonic()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.started

    def told(self, step: int) -> None:
        self.rows[step] = (round(self.seconds, 1), round(peak_mib(), 1))

    def on_evaluate(self, args, state, control, **kwargs):
        self.told(state.global_step)

    def save(self, folder: Path) -> None:
        write_json(folder / "price.json", {"seconds": self.seconds, "rows": list(self.rows.items())})

    def load(self, folder: Path) -> None:
        kept = read_json(folder / "price.json")
        self.before, self.started = kept["seconds"], time.monotonic()
        self.rows = {step: tuple(price) for step, price in kept["rows"]}


def peak_mib() -> float:
    """0 where the system does not tell."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / MIB
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return 0.0
    return getrusage(RUSAGE_SELF).ru_maxrss / (MIB if sys.platform == "darwin" else 1024)
