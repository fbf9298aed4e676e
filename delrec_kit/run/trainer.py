"""The one training loop, of teachers and of both stages: transformers' Trainer, resumable to the digit.

A model trains on the device where it lies. Checkpoints hold the tensors that learn (safetensors), every ``Resumable``,
and Trainer's own states of optimizer, schedule and random numbers; they are deleted when the training is through.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd
import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, default_data_collator
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.utils import logging as transformers_logging

from delrec_kit.run.arguments import arguments, underflow_to_zero
from delrec_kit.run.checkpoints import (
    LAST_WRITTEN,
    Checksums,
    last_checkpoint,
    load_learning,
    save_learning,
)
from delrec_kit.run.directory import read_json, write_json
from delrec_kit.run.files import is_undamaged
from delrec_kit.run.learning_curve import COST, Lines, learning_curve, peak_mib
from delrec_kit.run.processes import is_main, main_only, wait
from delrec_kit.run.trouble import Halving
from delrec_kit.settings.errors import KitError

Validate = Callable[[], dict[str, float]]  # metrics of the model as it is now


class Resumable(Protocol):
    """State beside the weights that a checkpoint must hold for a resumed training to equal an uninterrupted one. A
    Resumable that is a TrainerCallback too is called at its events."""

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


@dataclass(frozen=True)
class Loop:
    """How to train.

    name: in the printed lines; folder: of the checkpoints; steps: of the optimizer, at most; every: steps between two
    rows of the learning curve, each with a validation and a checkpoint; batch: examples a step, of all processes
    together; warmup: steps until the learning rate, which then falls to zero; clip: of the gradient norm; best: the
    validation metric that says which weights are kept, the lowest if its name ends in "loss", else the highest;
    patience: validations without a better one before stopping, None: never; untrained: whether the weights before the
    first step may be the best; pause: seconds between two printed lines, at least; at_once: examples that go through
    the model at a time, 0: as many as memory holds.
    """

    name: str
    folder: Path
    steps: int
    every: int
    batch: int
    learning_rate: float
    weight_decay: float
    warmup: int
    clip: float
    seed: int
    best: str = "loss"
    patience: int | None = None
    optimizer: str = "adamw_torch"
    untrained: bool = False
    pause: float = 0.0
    at_once: int = 0


class KitTrainer(Trainer):
    """``KitTrainer(…).fit()`` trains ``model`` in place. A subclass may change ``backward`` and the sampler.

    examples: a dataset whose batches, put together by ``collate``, are the model's keyword arguments; the model returns
    the mean loss, over as many things as ``count`` says. validate: without it nothing stops the training early and the
    last weights are kept.
    """

    def __init__(
        self,
        model: nn.Module,
        examples: Dataset,
        loop: Loop,
        validate: Validate | None = None,
        collate: Callable | None = None,
        resumables: Sequence[Resumable] = (),
    ):
        self.loop, self.validate, self.resumables = loop, validate, resumables
        self.collate, self.halving = collate or default_data_collator, Halving(loop.name, loop.at_once, self.spare)
        self.started = time.monotonic()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        early = [EarlyStoppingCallback(loop.patience)] if validate and loop.patience else []
        called = [each for each in resumables if isinstance(each, TrainerCallback)]
        super().__init__(
            model,
            arguments(loop, next(model.parameters()).device, validate is not None),
            data_collator=lambda rows: {"rows": lambda: rows},  # put together when it is known how many at a time
            train_dataset=examples,
            eval_dataset=examples,  # only so that Trainer agrees to evaluate; ``validate`` never looks at it
            callbacks=[*early, *called, Checksums(), Lines(loop.name, loop.pause)],
        )
        for shown in (PrinterCallback, ProgressCallback):
            self.remove_callback(shown)

    def fit(self) -> pd.DataFrame:
        """Train, from where a killed training left off; the weights of the best validation are in the model then.

        Returns:
            The learning curve: step (0 for the untrained state), train_loss (mean since the row before), a column
            ``valid_…`` for each metric, and the cost up to there, what a kill interrupted included: seconds, and
            peak_mib, the most memory that the process had used, of the GPU's where there is one.
        """
        loop = self.loop
        transformers_logging.set_verbosity_error()  # it doubts the clock of every second file system
        before = self._before() if loop.untrained else None
        last = last_checkpoint(loop.folder)
        if last and is_main():
            print(f"{loop.name}: resuming after step {last.rpartition('-')[2]}/{loop.steps}", flush=True)
        with underflow_to_zero():
            self.train(resume_from_checkpoint=last)
        if before and not self._is_better(self.state.best_metric, before["metrics"][loop.best]):
            if is_main():
                print(f"{loop.name}: no validation was better than before training; the untrained state is kept")
            load_learning(self.model, loop.folder / "before")
        wait()
        main_only(lambda: shutil.rmtree(loop.folder, ignore_errors=True))
        return learning_curve(self.state.log_history, before)

    def training_step(self, model, inputs, num_items_in_batch=None) -> torch.Tensor:
        model.train()
        rows = inputs["rows"]()
        whole = self.count(rows)

        def work(part: Sequence) -> torch.Tensor:
            inputs = self._prepare_inputs(self.collate(part))
            return self.backward(model, inputs, self.count(part) / whole)

        return sum(self.halving(work, rows, undo=self.undo))

    def undo(self) -> None:
        """Forget what the parts of a batch left of which one took too much memory."""
        self.model.zero_grad()

    def spare(self) -> str | None:
        """Make a single example take less memory, and say how; None where nothing can be done."""

    def backward(self, model: nn.Module, inputs: dict, share: float) -> torch.Tensor:
        """Add the gradients of ``share`` times the loss of ``inputs``, a batch or a part of it; returns that."""
        loss = share * model(**inputs)
        self.accelerator.backward(loss)
        return loss.detach()

    def count(self, rows: Sequence) -> int:
        """Over how many things the loss of a batch is a mean."""
        return len(rows)

    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        metrics = {f"eval_{name}": value for name, value in self.validate().items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """With the cost up to now, which the next checkpoint keeps."""
        super().log({**logs, **self._cost()}, start_time)

    def _cost(self) -> dict[str, float]:
        return dict(zip(COST, (time.monotonic() - self.started, peak_mib()), strict=True))

    def _before(self) -> dict:
        """metrics and cost of the untrained state, whose weights are kept; read back after a kill."""
        folder = self.loop.folder / "before"
        record = folder / "metrics.json"
        known = record.is_file()
        wait()
        if not known:
            found = {"metrics": self.validate(), **self._cost()}

            def keep() -> None:
                save_learning(self.model, folder)
                write_json(record, found)

            main_only(keep)
        before = read_json(record)
        self.started = time.monotonic() - before["seconds"]
        return before

    def _is_better(self, one: float, other: float) -> bool:
        return one > other if self.args.greater_is_better else one < other

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Trainer asks every process; the main one writes, and the others wait until it has."""
        folder = Path(output_dir or self.args.output_dir)

        def write() -> None:
            save_learning(self.model, folder)
            for resumable in self.resumables:
                resumable.save(folder)

        main_only(write)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        folder = Path(resume_from_checkpoint)
        load_learning(self.model, folder)
        for resumable in self.resumables:
            resumable.load(folder)
        self.started = time.monotonic() - read_json(folder / LAST_WRITTEN)["log_history"][-1]["seconds"]

    def _load_best_model(self) -> None:
        best = Path(self.state.best_model_checkpoint)
        if not is_undamaged(best):
            raise KitError(f"the best checkpoint, {best}, is damaged; delete {self.loop.folder} and train anew")
        load_learning(self.model, best)
