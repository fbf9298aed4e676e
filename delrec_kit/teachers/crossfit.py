"""The teacher's lists for distillation, each from a teacher that has not seen the user (cross-fitting by user).

A teacher remembers its training sequences: on them its first choice is right far more often than on new ones, and a
student that imitates it there learns a confidence that nothing else deserves.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.data import Ragged, Split
from delrec_kit.evaluation import membership
from delrec_kit.settings.config import TeacherConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.teachers.scorer import Scorer, top_items
from delrec_kit.teachers.teacher import Teacher
from delrec_kit.teachers.training import fit

OTHERS = 40
FOLDS = "folds"


def assign_folds(users: int, folds: int, seed: int) -> np.ndarray:
    """(users,) fold of each user: a random partition into parts of nearly equal size."""
    return np.random.default_rng(seed).permutation(np.arange(users) % folds)


def fold_teachers(
    split: Split, config: TeacherConfig, epochs: int, seed: int, checkpoints: Path | None = None
) -> tuple[np.ndarray, list[Teacher]]:
    """One teacher a fold, trained on the other folds' users for ``epochs``.

    Returns:
        fold of each user (U,), and the teachers: ``teachers[fold[u]]`` has never seen user u.
    """
    fold = assign_folds(len(split.train), config.folds, seed)
    teachers = [
        fit(
            split.train.take(np.flatnonzero(fold != f)),
            split.n_items,
            config,
            seed + 1 + f,
            None if checkpoints is None else checkpoints / f"fold-{f}",
            f"teacher without fold {f + 1}/{config.folds}",
            epochs=epochs,
        )[0]
        for f in range(config.folds)
    ]
    return fold, teachers


class CrossFitted:
    """A Scorer that answers for each user with the teacher that has not seen that user."""

    def __init__(self, fold: np.ndarray, teachers: Sequence[Scorer]):
        self.fold = fold
        self.teachers = teachers

    def save(self, folder: Path) -> None:
        """Write ``folds/``: each teacher, and the fold of each user."""
        for f, teacher in enumerate(self.teachers):
            teacher.save(folder / FOLDS / str(f))
        pd.DataFrame({"fold": self.fold}).to_parquet(folder / FOLDS / "users.parquet", index=False)

    @classmethod
    def load(cls, folder: Path) -> "CrossFitted":
        """Read what ``save`` wrote. Raises KitError where a teacher is missing."""
        fold = pd.read_parquet(folder / FOLDS / "users.parquet")["fold"].to_numpy()
        return cls(fold, [Teacher.load(folder / FOLDS / str(f)) for f in range(fold.max() + 1)])

    def scores(self, histories: Ragged, users: np.ndarray | None = None) -> np.ndarray:
        if users is None or len(users) != len(histories):
            raise ValueError("cross-fitted scores depend on whose histories they are: give users (B,)")
        parts = [(np.flatnonzero(self.fold[users] == f), teacher) for f, teacher in enumerate(self.teachers)]
        scored = [(rows, teacher.scores(histories.take(rows))) for rows, teacher in parts if len(rows)]
        if not scored:
            return self.teachers[0].scores(histories)
        table = np.empty((len(histories), scored[0][1].shape[1]), np.float32)
        for rows, scores in scored:
            table[rows] = scores
        return table


def draw_prefixes(train: Ragged, per_user: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Up to ``per_user`` different prefix lengths of each training sequence, uniformly from 1 to all of it.

    Returns:
        users and lengths, both (rows,): the history is ``train[user][:length]``.
    """
    rng = np.random.default_rng(seed)
    users, place = train.rows, np.arange(len(train.values))
    shuffled = np.lexsort((rng.random(len(users)), users))  # within each user
    chosen = np.sort(shuffled[place - train.offsets[users] < per_user])
    return users[chosen], chosen - train.offsets[users[chosen]] + 1


def distillation_table(split: Split, scorer: Scorer, config: TeacherConfig, seed: int) -> pd.DataFrame:
    """The teacher's lists on training prefixes, one row a prefix. Only training sequences are read.

    Returns:
        user, length (history = ``train[user][:length]``), top_items and top_scores (best first, history excluded),
        other_items and other_scores (random items that are neither in the user's training sequence nor in top_items).
        All lists of a column are equally long: ``config.top`` and 40, or what a small catalogue allows.

    Raises:
        KitError: where a user's training sequence leaves fewer than two items of the catalogue.
    """
    users, lengths = draw_prefixes(split.train, config.prefixes, seed)
    histories = Ragged.slices(split.train.values, split.train.offsets[users], lengths)
    sequences = split.train.take(users)
    top, others = _list_lengths(split, config)
    rng = np.random.default_rng([seed, 1])
    rows = []
    for start in range(0, len(users), 512):  # bounds the memory: scores are (rows, N+1)
        part = np.arange(start, min(start + 512, len(users)))
        scores = scorer.scores(histories.take(part), users[part])
        best = top_items(scores, histories.take(part), top)
        rest = _draw_others(sequences.take(part), best, others, split.n_items, rng)
        rows.append((best, np.take_along_axis(scores, best, 1), rest, np.take_along_axis(scores, rest, 1)))
    names = ["top_items", "top_scores", "other_items", "other_scores"]
    columns = {name: [row for part in parts for row in part] for name, parts in zip(names, zip(*rows))}
    return pd.DataFrame({"user": users, "length": lengths, **columns})


def _list_lengths(split: Split, config: TeacherConfig) -> tuple[int, int]:
    free = split.n_items - split.train.most_different
    if free < 2:
        raise KitError(f"a training sequence holds all but {free} items of the catalogue; nothing is left to list")
    others = min(OTHERS, max(free - config.top, free // 2))
    return min(config.top, free - others), others


def _draw_others(sequences: Ragged, best: np.ndarray, count: int, n_items: int, rng: np.random.Generator) -> np.ndarray:
    """(B, count) different random items for each row, none of its sequence or of ``best``."""
    taken = membership(sequences, n_items + 1)
    np.put_along_axis(taken, best, True, axis=1)
    taken[:, 0] = True
    order = np.where(taken, np.inf, rng.random(taken.shape))
    return np.argsort(order, axis=1, kind="stable")[:, :count]
