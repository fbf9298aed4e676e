"""The teacher's lists for distillation, each from a teacher that has not seen the user (cross-fitting by user).

A teacher remembers its training sequences: on them its first choice is right far more often than on new ones, and a
student that imitates it there learns a confidence that nothing else deserves.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.data import Cases, Ragged, Split
from delrec_kit.evaluation import membership
from delrec_kit.settings.config import LISTED, TeacherConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.streams import stream, stream_seed
from delrec_kit.teachers.scorer import CatalogueScorer, Scorer, catalogue_scores, top_items
from delrec_kit.teachers.teacher import Teacher
from delrec_kit.teachers.training import fit

FEW = 500  # people: with fewer, the half that two folds leave is too little to learn from (docs/when.md)
OTHERS = 40  # random items beside the teacher's first in the lists of a prefix


class CrossFitted(CatalogueScorer):
    """Answers for each user with the teacher that has not seen that user: ``teachers[fold[user]]``, fold (U,)."""

    def __init__(self, fold: np.ndarray, teachers: Sequence[Scorer]):
        self.fold = fold
        self.teachers = teachers

    def catalogue(self, cases: Cases) -> np.ndarray:
        """Raises ValueError for cases of people who are nobody of the training data."""
        if len(cases) and not 0 <= cases.user.min() <= cases.user.max() < len(self.fold):
            raise ValueError("cross-fitted scores depend on whose histories they are: give the cases their users")
        rows = [np.flatnonzero(self.fold[cases.user] == f) for f in range(len(self.teachers))]
        scores = [teacher.scores(cases.take(part)) for part, teacher in zip(rows, self.teachers, strict=True)]
        return np.concatenate(scores)[np.argsort(np.concatenate(rows))]

    def save(self, folder: Path) -> None:
        """Write ``folds/``: each teacher, and the fold of each user."""
        for f, teacher in enumerate(self.teachers):
            teacher.save(folder / "folds" / str(f))
        pd.DataFrame({"fold": self.fold}).to_parquet(folder / "folds" / "users.parquet", index=False)

    @classmethod
    def load(cls, folder: Path) -> "CrossFitted":
        """Read what ``save`` wrote. Raises KitError where a teacher is missing."""
        fold = pd.read_parquet(folder / "folds" / "users.parquet")["fold"].to_numpy()
        return cls(fold, [Teacher.load(folder / "folds" / str(f)) for f in range(fold.max() + 1)])


def fold_teachers(
    split: Split, config: TeacherConfig, epochs: int, seed: int, checkpoints: Path | None = None
) -> CrossFitted:
    """One teacher a fold of the users, each trained on the other folds' users for ``epochs``."""
    trained = split.train.lengths > 0
    folds = config.folds or (5 if trained.sum() < FEW else 2)
    fold = assign_folds(trained, folds, seed)
    teachers = []
    for f in range(folds):
        others = split.train.take(np.flatnonzero(fold != f))
        folder = None if checkpoints is None else checkpoints / f"without fold {f + 1} of {folds}"
        teachers.append(
            fit(others, split.n_items, config, stream_seed(seed, f"teacher without fold {f}"), epochs, folder)[0]
        )
    return CrossFitted(fold, teachers)


def assign_folds(trained: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(users,) fold of each user: a random partition of those that are trained on (users,), into parts of nearly equal
    size, and of the others likewise."""
    rng, fold = stream(seed, "folds"), np.zeros(len(trained), dtype=int)
    for part in (trained, ~trained):
        fold[part] = rng.permutation(np.arange(part.sum()) % folds)
    return fold


def draw_prefixes(train: Ragged, per_user: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Up to ``per_user`` different prefix lengths of each training sequence, uniformly from 1 to all of it.

    Returns:
        users and lengths, both (rows,): the history is ``train[user][:length]``.
    """
    rng = stream(seed, "prefixes")
    users, place = train.rows, np.arange(len(train.values))
    shuffled = np.lexsort((rng.random(len(users)), users))  # within each user
    chosen = np.sort(shuffled[place - train.offsets[users] < per_user])
    return users[chosen], chosen - train.offsets[users[chosen]] + 1


def distillation_table(split: Split, scorer: Scorer, prefixes: int, seed: int) -> pd.DataFrame:
    """The teacher's lists on up to ``prefixes`` prefixes of each training sequence, one row a prefix. Only training
    sequences are read.

    Returns:
        user, length (history = ``train[user][:length]``), top_items and top_scores (best first, history excluded),
        other_items and other_scores (random items that are neither in the user's training sequence nor in top_items).
        All lists of a column are equally long: ``LISTED`` and ``OTHERS``, or what a small catalogue allows.

    Raises:
        KitError: where a user's training sequence leaves fewer than two items of the catalogue.
    """
    free = split.n_items - split.train.most_different
    if free < 2:
        raise KitError(f"a training sequence holds all but {free} items of the catalogue; nothing is left to list")
    others = min(OTHERS, max(free - LISTED, free // 2))
    users, lengths = draw_prefixes(split.train, prefixes, seed)
    cases = Cases.of_histories(Ragged.slices(split.train.values, split.train.offsets[users], lengths), users)
    rng = stream(seed, "other items of a list")
    table = {name: [] for name in ("top_items", "top_scores", "other_items", "other_scores")}
    for rows, scores in catalogue_scores(scorer, cases):
        best = top_items(scores, cases.history.take(rows), min(LISTED, free - others))
        rest = _draw_others(split.train.take(users[rows]), best, others, split.n_items, rng)
        for name, items in (("top", best), ("other", rest)):
            table[f"{name}_items"] += list(items)
            table[f"{name}_scores"] += list(np.take_along_axis(scores, items, 1))
    return pd.DataFrame({"user": users, "length": lengths, **table})


def _draw_others(sequences: Ragged, best: np.ndarray, count: int, n_items: int, rng: np.random.Generator) -> np.ndarray:
    """(B, count) different random items for each row, none of its sequence or of ``best``."""
    taken = membership(sequences, n_items + 1)
    np.put_along_axis(taken, best, True, axis=1)
    taken[:, 0] = True
    order = np.where(taken, np.inf, rng.random(taken.shape))
    return np.argsort(order, axis=1, kind="stable")[:, :count]
