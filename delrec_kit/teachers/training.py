"""Training a teacher with transformers' Trainer: next items at all positions, early stopping, resume."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.utils import logging as transformers_logging

from delrec_kit.data import Cases, Ragged, Split
from delrec_kit.evaluation import full_ranks, means
from delrec_kit.run.checkpoints import last_checkpoint
from delrec_kit.run.progress import SECONDS_BETWEEN_LINES
from delrec_kit.settings.config import TeacherConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.teachers.models import MODELS, SequentialModel
from delrec_kit.teachers.scorer import scored
from delrec_kit.teachers.sequences import Windows
from delrec_kit.teachers.teacher import Teacher

Validate = Callable[[Teacher], float]
METRIC = "NDCG@10"
WARMUP = 20


def train_teacher(
    split: Split, config: TeacherConfig, seed: int, checkpoints: Path | None = None
) -> tuple[Teacher, pd.DataFrame]:
    """A teacher trained on the training sequences, stopped early on the validation cases.

    Validation is NDCG@10 over the whole catalogue, history excluded. ``checkpoints`` is a folder to resume from after
    a kill; it keeps the finished teacher too.

    Returns:
        The teacher of the best epoch, and the learning curve: epoch, loss, valid_NDCG@10.

    Raises:
        KitError: nothing to train on, or no validation cases.
    """
    if not len(split.valid.target):
        raise KitError("early stopping needs validation cases; mark some rows of the split 'valid'")

    def validate(teacher: Teacher) -> float:
        return means(catalogue_ranks(teacher, split.valid))[METRIC]

    return fit(split.train, split.n_items, config, seed, checkpoints, f"teacher {config.name}", validate=validate)


def catalogue_ranks(teacher: Teacher, cases: Cases) -> np.ndarray:
    """(U,) ranks of the targets in the whole catalogue, histories excluded."""
    parts = [full_ranks(scores, part.target, part.history) for _, part, scores in scored(teacher, cases)]
    return np.concatenate(parts)


def fit(
    train: Ragged,
    n_items: int,
    config: TeacherConfig,
    seed: int,
    checkpoints: Path | None,
    what: str,
    *,
    epochs: int | None = None,
    validate: Validate | None = None,
) -> tuple[Teacher, pd.DataFrame]:
    """Train on ``train`` alone, for ``epochs`` or (with ``validate``) until its value has stopped growing."""
    data = Windows(train, config.length)
    if not len(data):
        raise KitError("no training sequence has two items; the teacher has nothing to learn from")
    with TemporaryDirectory() as scratch:
        folder = Path(checkpoints or scratch)
        if not (folder / "finished").is_dir():
            _train(data, n_items, config, seed, folder, what, epochs or config.epochs, validate)
        return Teacher.load(folder / "finished"), pd.read_csv(folder / "finished" / "curve.csv")


def _train(
    data: Windows,
    n_items: int,
    config: TeacherConfig,
    seed: int,
    folder: Path,
    what: str,
    epochs: int,
    validate: Validate | None,
) -> None:
    transformers_logging.set_verbosity_error()  # it doubts the clock of every second file system
    torch.manual_seed(seed)
    model = MODELS[config.name](n_items, config)
    trainer = TeacherTrainer(
        model,
        _arguments(config, seed, folder / "steps", epochs, validate is not None),
        train_dataset=data,
        eval_dataset=data,  # only so that Trainer agrees to evaluate; ``validate`` never looks at it
        callbacks=[Lines(what), *([EarlyStoppingCallback(config.patience)] if validate else [])],
        measure=None if validate is None else lambda: validate(Teacher(model, config, n_items)),
    )
    for shown in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(shown)
    last = last_checkpoint(folder / "steps")
    if last:
        print(f"{what}: resuming after step {last.rpartition('-')[2]}", flush=True)
    trainer.train(resume_from_checkpoint=last)
    curve = _curve(trainer.state.log_history)
    best = int(curve.loc[curve[f"valid_{METRIC}"].idxmax(), "epoch"]) if validate else epochs
    draft = folder / "draft"
    seconds = sum(row.get("seconds", 0.0) for row in trainer.state.log_history)
    Teacher(model, config, n_items, best, round(seconds, 1)).save(draft)
    curve.to_csv(draft / "curve.csv", index=False)
    draft.rename(folder / "finished")
    shutil.rmtree(folder / "steps")


def _arguments(config: TeacherConfig, seed: int, folder: Path, epochs: int, validated: bool) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=config.batch,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        lr_scheduler_type="linear",
        warmup_steps=WARMUP,
        max_grad_norm=1.0,
        optim="adamw_torch",
        eval_strategy="epoch" if validated else "no",
        save_strategy="epoch",
        logging_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=validated,
        metric_for_best_model=METRIC if validated else None,
        greater_is_better=True if validated else None,
        restore_callback_states_from_checkpoint=True,
        remove_unused_columns=False,
        label_names=[],
        disable_tqdm=True,
        report_to="none",
        seed=seed,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


class TeacherTrainer(Trainer):
    """Validates by ranking the catalogue, and keeps weights as safetensors."""

    def __init__(self, *args, measure: Callable[[], float] | None, **kwargs):
        super().__init__(*args, **kwargs)
        self.measure = measure
        self.last_log = time.monotonic()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Every row carries the seconds since the row before, so that they add up over a kill and a resume."""
        now = time.monotonic()
        super().log({**logs, "seconds": now - self.last_log}, start_time)
        self.last_log = now

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return model(**inputs)

    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        metrics = {f"eval_{METRIC}": self.measure()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.model.state_dict(), folder / "model.safetensors")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: SequentialModel | None = None) -> None:
        self.model.load_state_dict(load_file(Path(resume_from_checkpoint) / "model.safetensors"))

    def _load_best_model(self) -> None:
        self._load_from_checkpoint(self.state.best_model_checkpoint)


class Lines(TrainerCallback):
    """A plain line on the last epoch, every few seconds and at the end."""

    def __init__(self, what: str):
        self.what = what
        self.started = self.last = time.monotonic()

    def on_epoch_end(self, args, state, control, **kwargs):
        # the metrics of this epoch come after this event, so a line tells of the epoch before
        if time.monotonic() - self.last >= SECONDS_BETWEEN_LINES:
            self.last = time.monotonic()
            self._line(state)

    def on_train_end(self, args, state, control, **kwargs):
        self._line(state)

    def _line(self, state) -> None:
        losses = [row["loss"] for row in state.log_history if "loss" in row]
        valid = [row[f"eval_{METRIC}"] for row in state.log_history if f"eval_{METRIC}" in row]
        if losses:
            told = f", valid {METRIC} {valid[-1]:.4f} (best {max(valid):.4f})" if valid else ""
            seconds = time.monotonic() - self.started
            epochs = f"epoch {len(losses)} of at most {int(state.num_train_epochs)}"
            print(f"{self.what}: {epochs}, loss {losses[-1]:.3f}{told}, {seconds:.0f} s", flush=True)


def _curve(history: list[dict[str, float]]) -> pd.DataFrame:
    losses = [row["loss"] for row in history if "loss" in row]
    valid = [row[f"eval_{METRIC}"] for row in history if f"eval_{METRIC}" in row] or [np.nan] * len(losses)
    return pd.DataFrame({"epoch": range(1, len(losses) + 1), "loss": losses, f"valid_{METRIC}": valid})
