"""Candidate sets: the answer and m-1 distractors, drawn once and stored with the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from delrec_kit.data.ragged import Ragged, among, sorted_unique
from delrec_kit.data.split import Cases, Split
from delrec_kit.data.tables import brief
from delrec_kit.settings.errors import KitError

ROWS = 2**14  # drawn at a time, which bounds the memory
SPARE = 8  # draws beyond what a row needs, so that few rows need a second round


def draw_candidates(
    split: Split,
    cases: Cases,
    m: int,
    seed: int | Sequence[int],
    consumed: Ragged | None = None,
    distractors: str = "uniform",
) -> np.ndarray:
    """(U, m) items: each case's target and m-1 distractors, in random order; the same for the same seed.

    Distractors are uniform over the items whose titles the user has nowhere in its training sequence, histories and
    targets (``consumed``, if it is at hand), or with ``distractors="popularity"`` drawn by their share of the training
    interactions, as answers are; the m titles of a set differ. (An answer may be an item that the user had before.)
    Raises KitError if m is larger than the catalogue allows some user.
    """
    rng, pool = np.random.default_rng(seed), _Pool.of_split(split, consumed, distractors == "popularity")
    drawn = np.empty((len(cases), m), np.int64)
    drawn[:, 0] = cases.target
    pool.draw(cases.user, cases.target, rng, drawn[:, 1:])
    return rng.permuted(drawn, axis=1, out=drawn)


def draw_distractors(
    consumed: Ragged,
    users: np.ndarray,
    answers: np.ndarray,
    count: int,
    rng: np.random.Generator,
    canonical: np.ndarray,
) -> np.ndarray:
    """(B, count) items drawn uniformly, without replacement for each row.

    consumed: each user's items, none of whose titles is drawn for it; users: (B,) whose row it is; answers: (B,) the
    right item of the row, whose title is not drawn either; canonical: (N+1,) one number a title, so that equal titles
    count as one, entry 0 belongs to padding. Raises KitError if fewer than ``count`` titles are free for some row.
    """
    drawn = np.empty((len(users), count), np.int64)
    _Pool(consumed, np.asarray(canonical)).draw(np.asarray(users), np.asarray(answers), rng, drawn)
    return drawn


def answer_index(candidates: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(U,) column of each target in candidates (U, m). Raises ValueError unless each stands in its set once."""
    found = np.asarray(candidates) == np.asarray(target)[:, None]
    if not (found.sum(axis=1) == 1).all():
        raise ValueError("a candidate set does not hold its answer exactly once")
    return found.argmax(axis=1)


def check_room(split: Split, m: int, consumed: Ragged | None = None) -> None:
    """Raise KitError, with what would fit, where some user who trains leaves too few titles for m candidates, so that
    it is told when the data is prepared and not after the teacher."""
    pool, users = _Pool.of_split(split, consumed), np.flatnonzero(split.train.lengths > 1)
    pool.refuse_full(users, pool.consumed.values[pool.consumed.offsets[users]], m - 1)  # an answer that the user had


def check_lists(split: Split, m: int, h: int, top: int, others: int = 40) -> None:
    """Raise KitError where the teacher's lists, which hold ``top`` items and ``others`` where the catalogue allows it,
    cannot give m candidates of which the teacher's first h are some."""
    free = split.n_items - split.train.most_different
    rest = min(others, max(free - top, free // 2))
    most = min(h, free - rest) + rest
    if m > most:
        raise KitError(
            f"data.candidates={m} is more than the catalogue allows: a training sequence leaves {free} of "
            f"{split.n_items} items, and the teacher's lists then hold {most} with distill.h={h}; set data.candidates "
            f"to at most {most}"
        )


@dataclass(frozen=True)
class _Pool:
    """What distractors are drawn from. weights: (N+1,) how often each item is drawn, entry 0 unused; items that weigh
    nothing come only where the others do not suffice. user_keys: names of the users, for the error."""

    consumed: Ragged
    canonical: np.ndarray
    user_keys: Sequence[str] | None = None
    weights: np.ndarray | None = None

    @classmethod
    def of_split(cls, split: Split, consumed: Ragged | None, by_popularity: bool = False) -> "_Pool":
        canonical, weights = pd.factorize(np.array(split.titles, dtype=object))[0], None
        if by_popularity:
            weights = np.bincount(split.train.values, minlength=len(canonical)).astype(np.float64)
        return cls(split.consumed() if consumed is None else consumed, canonical, split.user_keys, weights)

    @cached_property
    def width(self) -> int:
        return int(self.canonical.max(initial=0)) + 1

    @cached_property
    def titles(self) -> int:
        """How many differ."""
        return len(sorted_unique(self.canonical[1:]))

    def draw(self, users: np.ndarray, answers: np.ndarray, rng: np.random.Generator, drawn: np.ndarray) -> None:
        """Fill ``drawn`` (B, count), which lies in memory once, as ``draw_distractors`` says."""
        count = drawn.shape[1]
        for start in range(0, len(users), ROWS):
            rows = slice(start, start + ROWS)
            taken = self.refuse_full(users[rows], answers[rows], count)
            some, full = self._by_rejection(taken, answers[rows], count, rng)
            for row in np.flatnonzero(~full):
                some[row] = self._one_by_one(users[rows][row], answers[rows][row], count, rng)
            drawn[rows] = some

    def refuse_full(self, users: np.ndarray, answers: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Raise KitError where fewer than ``count`` titles are free for some user, with what would fit; else sorted
        codes ``user * width + title`` of all that users have, and the number of each row's user in them."""
        several, local = np.unique(users, return_inverse=True)
        own = self.consumed.take(several)
        taken = sorted_unique(own.rows * self.width + self.canonical[own.values])
        per_user = np.bincount(taken // self.width, minlength=local.max(initial=-1) + 1)
        free = self.titles - per_user[local] - ~among(taken, local * self.width + self.canonical[answers])
        if not len(free) or free.min() >= count:
            return taken, local
        user = users[free.argmin()]
        who = f"user '{brief(self.user_keys[user])}'" if self.user_keys else f"user number {user}"
        mend = f"set data.candidates to at most {free.min() + 1}" if free.min() else "leave this user out"
        if self.titles <= count < len(self.canonical) - 1:
            mend = f"equal titles count as one, and only {self.titles} differ; give items titles of their own"
        elif self.titles <= count and not free.min():
            mend = "add items to the catalogue"
        raise KitError(
            f"data.candidates={count + 1} is more than the catalogue allows: of {len(self.canonical) - 1} items, {who} "
            f"leaves {free.min()} titles as distractors; {mend}"
        )

    def _by_rejection(self, codes, answers, count, rng) -> tuple[np.ndarray, np.ndarray]:
        """The first ``count`` allowed, different titles among some draws of each row, and which rows had enough."""
        taken, local = codes
        shape = (len(local), 2 * count + SPARE)
        if self.weights is None:
            draws = rng.integers(1, len(self.canonical), size=shape)
        else:
            reach = np.cumsum(self.weights[1:])
            places = np.searchsorted(reach, rng.random(shape) * reach[-1], side="right")
            draws = np.minimum(1 + places, len(reach))
        title = self.canonical[draws]
        allowed = ~among(taken, local[:, None] * self.width + title) & (title != self.canonical[answers][:, None])
        order = np.argsort(title, axis=1, kind="stable")
        ranked = np.take_along_axis(title, order, axis=1)
        again = np.concatenate([np.zeros((len(local), 1), bool), ranked[:, 1:] == ranked[:, :-1]], axis=1)
        repeated = np.empty_like(again)
        np.put_along_axis(repeated, order, again, axis=1)
        usable = allowed & ~repeated
        first = np.argsort(~usable, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(draws, first, axis=1), usable.sum(axis=1) >= count

    def _one_by_one(self, user: int, answer: int, count: int, rng: np.random.Generator) -> np.ndarray:
        """For a row whose user has most of the catalogue: shuffle what is free, what weighs more to the front."""
        barred = np.zeros(self.width, dtype=bool)
        barred[self.canonical[self.consumed[user]]] = barred[self.canonical[answer]] = True
        items = np.arange(1, len(self.canonical))[~barred[self.canonical[1:]]]
        if self.weights is None:
            items = rng.permutation(items)
        else:  # the order of a draw without replacement (Efraimidis and Spirakis, 2006)
            items = items[np.argsort(rng.exponential(size=len(items)) / np.maximum(self.weights[items], 1e-12))]
        _, first = np.unique(self.canonical[items], return_index=True)
        return items[np.sort(first)[:count]]
