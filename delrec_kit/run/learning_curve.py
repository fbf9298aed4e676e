"""What is told of a training: its learning curve, what it cost, and a line now and then."""

import sys
import time
from collections.abc import Sequence

import pandas as pd
import torch
from transformers import TrainerCallback

from delrec_kit.run.heartbeat import TRAINING, beat
from delrec_kit.run.progress import reached

COST = ["seconds", "peak_mib"]
MIB = 2**20


class Lines(TrainerCallback):
    """A plain line on a row of the learning curve, which notebooks, papermill logs and terminals all show, and at least
    ``pause`` seconds later the next, then twice as many each time."""

    def __init__(self, name: str, pause: float = 0.0):
        self.name, self.pause = name, pause
        self.shown, self.last, self.metrics = 0, time.monotonic(), ""

    def on_step_end(self, args, state, control, **kwargs):
        beat(TRAINING, self.name, state.global_step, state.max_steps, self.metrics)
        reached(f"{self.name}, step {state.global_step} of {state.max_steps}")

    def on_save(self, args, state, control, **kwargs):  # by then the loss and the validation are known
        self.metrics = ", ".join(_metrics(learning_curve(state.log_history).iloc[-1]))
        if time.monotonic() - self.last >= self.pause:
            self._line(state)

    def on_train_end(self, args, state, control, **kwargs):
        self._line(state)

    def _line(self, state) -> None:
        row = learning_curve(state.log_history).iloc[-1]
        if row["step"] == self.shown or not state.is_world_process_zero:
            return
        self.shown, self.last, self.pause = row["step"], time.monotonic(), 2 * self.pause
        told = [f"step {row['step']:.0f}/{state.max_steps}", *_metrics(row)]
        left = row["seconds"] / max(row["step"], 1) * (state.max_steps - row["step"])
        time_of = f"{row['seconds']:.0f} s" + (f", at most {left:.0f} s left" if left else "")
        print(f"{self.name}: {', '.join(told)} ({time_of})", flush=True)


def _metrics(row: pd.Series) -> list[str]:
    """The losses and metrics of a row of the learning curve, to read."""
    metrics = [f"{name.removeprefix('valid_')} {row[name]:.3f}" for name in row.index if name.startswith("valid_")]
    loss = [f"loss {row['train_loss']:.3f}"] if pd.notna(row["train_loss"]) else []
    return loss + ([f"valid {', '.join(metrics)}"] if metrics else [])


def learning_curve(history: Sequence[dict], before: dict | None = None) -> pd.DataFrame:
    """The rows of Trainer's log as ``KitTrainer.fit`` returns them; before: metrics and cost of the untrained state."""
    rows = {0: {**valid_columns(before["metrics"]), **{name: before[name] for name in COST}}} if before else {}
    for entry in history:
        metrics = {name.removeprefix("eval_"): value for name, value in entry.items() if name.startswith("eval_")}
        if "loss" in entry or metrics:
            row = rows.setdefault(entry["step"], {})
            row |= valid_columns(metrics) | {name: entry[name] for name in COST}
            row |= {"train_loss": entry["loss"]} if "loss" in entry else {}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("step").reset_index()
    metrics = [name for name in table.columns if name.startswith("valid_")]
    return table.reindex(columns=["step", "train_loss", *metrics, *COST]).round(dict.fromkeys(COST, 1))


def valid_columns(metrics: dict[str, float]) -> dict[str, float]:
    return {f"valid_{name}": value for name, value in metrics.items()}


def peak_mib() -> float:
    """The most memory that this process had used, of the GPU's where there is one; 0 where the system keeps it back."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / MIB
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return 0.0
    return getrusage(RUSAGE_SELF).ru_maxrss / (MIB if sys.platform == "darwin" else 1024)
