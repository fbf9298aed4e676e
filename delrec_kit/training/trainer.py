"""transformers' Trainer, saving only what learns, validating through a callback of ours, printing plain lines."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import Dataset
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from delrec_kit.run.checkpoints import last_checkpoint
from delrec_kit.run.directory import read_json, write_json
from delrec_kit.run.processes import main_only, wait
from delrec_kit.settings.config import TrainConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.training.price import Price
from delrec_kit.training.task import CandidateRanker

Measure = Callable[[], dict[str, float]]
WEIGHTS = "trainable.safetensors"


class Resumable(Protocol):
    """State beside the weights that a checkpoint must hold for a resumed run to equal an uninterrupted one."""

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


class ByLength(LengthGroupedSampler):
    """Batches of prompts of like length in random order, the same in every process and after a resume."""

    def __init__(self, lengths: Sequence[int], batch: int, seed: int):
        super().__init__(batch, lengths=list(lengths))
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self):
        self.generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
        return super().__iter__()


class KitTrainer(Trainer):
    """Checkpoints hold the trainable tensors (safetensors), each ``resumable``, and Trainer's own optimizer, scheduler
    and RNG states; the frozen language model is never written."""

    def __init__(self, *args, validate: Measure, resumables: Sequence[Resumable] = (), **kwargs):
        super().__init__(*args, **kwargs)
        self.validate = validate
        self.resumables = resumables
        self.rows: list[dict[str, float]] = []

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> ByLength:
        examples = train_dataset or self.train_dataset
        return ByLength(examples.lengths, self.args.train_batch_size * self.args.world_size, self.args.seed)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return model(**inputs)

    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        metrics = {f"eval_{name}": value for name, value in self.validate().items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({n: p.detach().cpu().contiguous() for n, p in self.model.trainable().items()}, folder / WEIGHTS)
        for resumable in self.resumables:
            resumable.save(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        load_trainable(self.model, Path(resume_from_checkpoint) / WEIGHTS)
        for resumable in self.resumables:
            resumable.load(Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        load_trainable(self.model, Path(self.state.best_model_checkpoint) / WEIGHTS)


@torch.no_grad()
def load_trainable(model: CandidateRanker, source: Path | dict[str, torch.Tensor]) -> None:
    """Copy saved tensors into the trainable parameters; the two sets of names must be the same."""
    saved = load_file(source) if isinstance(source, Path) else source
    parameters = model.trainable()
    if saved.keys() != parameters.keys():
        raise ValueError(f"checkpoint holds other parameters than learn: {sorted(saved.keys() ^ parameters.keys())}")
    for name, parameter in parameters.items():
        parameter.copy_(saved[name])


class Lines(TrainerCallback):
    """One plain line at each validation, which notebooks, papermill logs and terminals all show."""

    def __init__(self, what: str, price: Price):
        self.what = what
        self.price = price

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        losses = [row["loss"] for row in state.log_history if "loss" in row and row["step"] == state.global_step]
        train = f"loss {losses[-1]:.3f}, " if losses else ""
        valid = ", ".join(f"{n.removeprefix('eval_')} {v:.3f}" for n, v in metrics.items() if n.startswith("eval_"))
        if not state.is_world_process_zero:
            return
        done = f"step {state.global_step}/{state.max_steps}"
        print(f"{self.what}: {done}, {train}valid {valid} ({self.price.seconds:.0f} s)")


def run_training(
    trainer_class: type[KitTrainer],
    model: CandidateRanker,
    examples: Dataset,
    collator: Callable,
    validate: Measure,
    config: TrainConfig,
    seed: int,
    checkpoints: Path,
    what: str,
    callbacks: Sequence[TrainerCallback] = (),
    resumables: Sequence[Resumable] = (),
    **trainer_kwargs,
) -> pd.DataFrame:
    """Train, resume where a killed run left off, keep the weights of the best validation, the untrained included.

    Returns the learning curve: step, train_loss (mean since the row before), one column a validation metric, and what
    it had cost by then: seconds and peak_mib (see ``Price``).
    """
    price = Price()
    steps = total_steps(len(examples), config)
    every = max(1, steps // config.validations)
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=_batch_of_each(config.batch),
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        warmup_steps=int(config.warmup * steps),
        max_grad_norm=config.clip,
        optim="adamw_torch" if config.optimizer == "adamw" else config.optimizer,
        eval_strategy="steps",
        save_strategy="steps",
        logging_strategy="steps",
        eval_steps=every,
        save_steps=every,
        logging_steps=every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        remove_unused_columns=False,
        label_names=[],
        disable_tqdm=True,
        logging_nan_inf_filter=False,  # it makes a GPU wait at every step
        report_to="none",
        restore_callback_states_from_checkpoint=True,
        seed=seed,
        use_cpu=model.llm.device.type == "cpu",
        dataloader_pin_memory=model.llm.device.type != "cpu",
    )
    trainer = trainer_class(
        model=model,
        args=arguments,
        train_dataset=examples,
        data_collator=collator,
        eval_dataset=examples,  # only so that Trainer agrees to evaluate; ``validate`` never looks at it
        validate=validate,
        resumables=[price, *resumables],
        callbacks=[price, Lines(what, price), EarlyStoppingCallback(config.patience), *callbacks],
        **trainer_kwargs,
    )
    trainer.remove_callback(PrinterCallback)
    before = _before_training(model, validate, checkpoints)
    price.told(0)
    last = last_checkpoint(checkpoints)
    if last and trainer.is_world_process_zero():
        print(f"{what}: resuming from step {last.rpartition('-')[2]}/{steps}")
    with underflow_to_zero():
        trainer.train(resume_from_checkpoint=last)
    if before["loss"] <= trainer.state.best_metric:
        if trainer.is_world_process_zero():
            print(f"{what}: no validation was better than before training; the untrained state is kept")
        load_trainable(model, checkpoints / "before" / WEIGHTS)
    curve = _curve(before, trainer.state.log_history, price)
    wait()
    main_only(lambda: shutil.rmtree(checkpoints, ignore_errors=True))
    return curve


@contextmanager
def underflow_to_zero() -> Iterator[None]:
    """Where the softmax over the candidates is sure, gradients underflow, and a CPU multiplies such numbers four times
    slower than zeros."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _batch_of_each(batch: int) -> int:
    """The batch of each process, all of which together make ``batch``."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if batch % processes:
        raise KitError(f"a batch of {batch} cannot be shared by {processes} processes; set batch to a multiple of them")
    return batch // processes


def total_steps(examples: int, config: TrainConfig) -> int:
    return config.epochs * -(-examples // config.batch)


def valid_columns(metrics: dict[str, float]) -> dict[str, float]:
    return {f"valid_{name}": value for name, value in metrics.items()}


def _before_training(model: CandidateRanker, validate: Measure, checkpoints: Path) -> dict[str, float]:
    """Validation of the untrained state, which is kept as a candidate for the best; read back when resuming."""
    folder = checkpoints / "before"
    record = folder / "metrics.json"
    known = record.is_file()
    wait()
    if not known:
        metrics = validate()

        def keep() -> None:
            folder.mkdir(parents=True, exist_ok=True)
            save_file({n: p.detach().cpu().contiguous() for n, p in model.trainable().items()}, folder / WEIGHTS)
            write_json(record, metrics)

        main_only(keep)
    return read_json(record)


def _curve(before: dict[str, float], history: list[dict[str, float]], price: Price) -> pd.DataFrame:
    losses = {row["step"]: row["loss"] for row in history if "loss" in row}
    rows = [{"step": 0, "train_loss": float("nan"), **valid_columns(before)}]
    for row in history:
        if "eval_loss" in row:
            valid = {k.removeprefix("eval_"): v for k, v in row.items() if k.startswith("eval_")}
            loss = losses.get(row["step"], float("nan"))
            rows.append({"step": row["step"], "train_loss": loss, **valid_columns(valid)})
    cost = [price.rows.get(row["step"], (float("nan"),) * 2) for row in rows]
    return pd.DataFrame(rows).assign(seconds=[s for s, _ in cost], peak_mib=[mib for _, mib in cost])
