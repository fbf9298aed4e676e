"""Training a teacher: the next item at every position of the training sequences, stopped early on validation cases."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch

from delrec_kit.data import Cases, Ragged, Split, halves
from delrec_kit.evaluation import full_ranks, means
from delrec_kit.run.files import is_undamaged, write_marker
from delrec_kit.run.progress import SECONDS_BETWEEN_LINES
from delrec_kit.run.trainer import KitTrainer, Loop
from delrec_kit.settings.config import TeacherConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.streams import stream_seed
from delrec_kit.teachers.models import MODELS
from delrec_kit.teachers.scorer import Scorer, catalogue_scores
from delrec_kit.teachers.teacher import Teacher

METRIC = "NDCG@10"
WARMUP = 20  # steps
WEIGHT_DECAY = 0.01
CLIP = 1.0
PATIENCE = 8  # epochs without a better validation before stopping


def train_teacher(
    split: Split, config: TeacherConfig, seed: int, checkpoints: Path | None = None
) -> tuple[Teacher, pd.DataFrame]:
    """A teacher trained on the training sequences, stopped early on a half of the validation cases.

    Validation is NDCG@10 over the whole catalogue, history excluded. ``checkpoints`` is a folder to resume from after
    a kill; it keeps the finished teacher too.

    Returns:
        The teacher of the best epoch, and the learning curve: epoch, loss, valid_NDCG@10.

    Raises:
        KitError: nothing to train on, or no validation cases.
    """
    if not len(split.valid):
        raise KitError("early stopping needs validation cases; mark some rows of the split 'valid'")
    stopping = split.valid.take(halves(split.valid, seed)[0])
    return fit(
        split.train,
        split.n_items,
        config,
        stream_seed(seed, "teacher"),
        lambda teacher: means(catalogue_ranks(teacher, stopping))[METRIC],
        checkpoints,
    )


def catalogue_ranks(scorer: Scorer, cases: Cases) -> np.ndarray:
    """(U,) ranks of the targets in the whole catalogue, histories excluded."""
    parts = [
        full_ranks(scores, cases.target[rows], cases.history.take(rows))
        for rows, scores in catalogue_scores(scorer, cases)
    ]
    return np.concatenate(parts)


def fit(
    train: Ragged,
    n_items: int,
    config: TeacherConfig,
    seed: int,
    until: int | Callable[[Teacher], float],
    folder: Path | None = None,
) -> tuple[Teacher, pd.DataFrame]:
    """Train on ``train`` alone, for ``until`` epochs, or until the value of ``until(teacher)`` has stopped growing; see
    ``train_teacher``. The printed lines call the training as ``folder`` is called."""
    table = windows(train, config.length)
    if not len(table):
        raise KitError("no training sequence has two items; the teacher has nothing to learn from")
    name = f"teacher {config.name}" + (f" ({folder.name})" if folder else "")
    with TemporaryDirectory() as scratch:
        folder = folder or Path(scratch)
        finished, draft = folder / "finished", folder / "draft"
        if not (finished.is_dir() and is_undamaged(finished)):
            shutil.rmtree(finished, ignore_errors=True)
            epochs = config.epochs if callable(until) else until
            steps = -(-len(table) // config.batch)  # an epoch
            loop = Loop(
                name,
                folder / "steps",
                steps=epochs * steps,
                every=steps,
                batch=config.batch,
                learning_rate=config.learning_rate,
                weight_decay=WEIGHT_DECAY,
                warmup=WARMUP,
                clip=CLIP,
                seed=seed,
                patience=PATIENCE,
                best=METRIC,
                pause=SECONDS_BETWEEN_LINES,
            )
            torch.manual_seed(seed)
            device = torch.accelerator.current_accelerator(check_available=True) or "cpu"
            teacher = Teacher(MODELS[config.name](n_items, config).to(device), config, n_items)
            examples = [{"items": row[:-1], "targets": row[1:]} for row in torch.from_numpy(table)]
            validate = (lambda: {METRIC: until(teacher)}) if callable(until) else None
            curve = TeacherTrainer(teacher.model, examples, loop, validate).fit()
            valid = f"valid_{METRIC}"
            best = int(curve[valid].idxmax()) + 1 if validate else epochs
            replace(teacher, epochs=best, seconds=float(curve["seconds"].iloc[-1])).save(draft)
            curve = curve.reindex(columns=["step", "train_loss", valid])
            curve = curve.assign(step=curve["step"] // steps).rename(columns={"step": "epoch", "train_loss": "loss"})
            curve.to_csv(draft / "curve.csv", index=False)
            write_marker(draft, {})
            draft.rename(finished)
        return Teacher.load(finished), pd.read_csv(finished / "curve.csv")


class TeacherTrainer(KitTrainer):
    def count(self, rows) -> int:
        """Positions that have a target."""
        return sum(int((row["targets"] > 0).sum()) for row in rows)


def windows(train: Ragged, length: int) -> np.ndarray:
    """Cut training sequences so that every item but a sequence's first is a target exactly once.

    Windows are cut from the end backwards and overlap by one item, so that the latest one of a long sequence is full.
    A sequence of fewer than two items gives none.

    Returns:
        (windows, L+1) int64, 0 on the right: columns 0…L-1 are read, columns 1…L are their targets.
    """
    per_user = -(-np.maximum(train.lengths - 1, 0) // length)
    user = np.repeat(np.arange(len(train)), per_user)
    back = np.arange(len(user)) - np.repeat(per_user.cumsum() - per_user, per_user)  # 0 is the latest window
    stop = train.offsets[user + 1] - back * length
    start = np.maximum(train.offsets[user], stop - 1 - length)
    table = np.zeros((len(user), length + 1), dtype=np.int64)
    table[np.arange(length + 1) < (stop - start)[:, None]] = Ragged.slices(train.values, start, stop - start).values
    return table
