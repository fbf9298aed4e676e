"""Candidate sets: the answer and m-1 distractors, drawn once and stored with the run."""

from collections.abc import Sequence

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
    rng = np.random.default_rng(seed)
    canonical = pd.factorize(np.array(split.titles, dtype=object))[0]
    consumed = split.consumed() if consumed is None else consumed
    weights = None
    if distractors == "popularity":
        weights = np.bincount(split.train.values, minlength=len(canonical)).astype(np.float64)
    others = draw_distractors(consumed, cases.user, cases.target, m - 1, rng, canonical, split.user_keys, weights)
    return rng.permuted(np.concatenate([cases.target[:, None], others], axis=1), axis=1)


def answer_index(candidates: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(U,) column of each target in candidates (U, m). Raises ValueError unless each stands in its set once."""
    found = np.asarray(candidates) == np.asarray(target)[:, None]
    if not (found.sum(axis=1) == 1).all():
        raise ValueError("a candidate set does not hold its answer exactly once")
    return found.argmax(axis=1)


def draw_distractors(
    consumed: Ragged,
    users: np.ndarray,
    answers: np.ndarray,
    count: int,
    rng: np.random.Generator,
    canonical: np.ndarray,
    user_keys: Sequence[str] | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """(B, count) items drawn without replacement for each row, uniformly or by ``weights``.

    Args:
        consumed: each user's items, none of whose titles is drawn for it.
        users: (B,) whose row it is. answers: (B,) the right item of the row, whose title is not drawn either.
        canonical: (N+1,) one number a title, so that equal titles count as one; entry 0 belongs to padding.
        user_keys: names of the users, for the error. weights: (N+1,) how often each item is drawn, entry 0 unused;
            items that weigh nothing come only where the others do not suffice.

    Raises:
        KitError: if fewer than ``count`` titles are free for some row.
    """
    users, answers, canonical = np.asarray(users), np.asarray(answers), np.asarray(canonical)
    drawn = [np.empty((0, count), np.int64)]
    for start in range(0, len(users), ROWS):
        rows = slice(start, start + ROWS)
        drawn.append(_draw(consumed, users[rows], answers[rows], count, rng, canonical, user_keys, weights))
    return np.concatenate(drawn)


def _draw(consumed, users, answers, count, rng, canonical, user_keys, weights) -> np.ndarray:
    several, local = np.unique(users, return_inverse=True)
    own = consumed.take(several)
    taken = _taken_codes(own, canonical)
    free = _free_titles(taken, local, answers, canonical)
    if len(free) and free.min() < count:
        user = users[free.argmin()]
        who = f"user '{brief(user_keys[user])}'" if user_keys else f"user number {user}"
        mend = f"set data.candidates to at most {free.min() + 1}" if free.min() else "leave this user out"
        titles = len(sorted_unique(canonical[1:]))
        if titles <= count < len(canonical) - 1:
            mend = f"equal titles count as one, and only {titles} differ; give items titles of their own"
        elif titles <= count and not free.min():
            mend = "add items to the catalogue"
        raise KitError(
            f"data.candidates={count + 1} is more than the catalogue allows: of {len(canonical) - 1} items, {who} "
            f"leaves {free.min()} titles as distractors; {mend}"
        )
    drawn, full = _by_rejection(taken, local, answers, count, rng, canonical, weights)
    for row in np.flatnonzero(~full):
        drawn[row] = _one_by_one(own[local[row]], answers[row], count, rng, canonical, weights)
    return drawn


def _taken_codes(consumed: Ragged, canonical: np.ndarray) -> np.ndarray:
    """Sorted codes ``user * width + title`` of all that users have."""
    return sorted_unique(consumed.rows * _width(canonical) + canonical[consumed.values])


def _width(canonical: np.ndarray) -> int:
    return int(canonical.max(initial=0)) + 1


def _free_titles(taken: np.ndarray, users: np.ndarray, answers: np.ndarray, canonical: np.ndarray) -> np.ndarray:
    """(B,) how many different titles could be distractors of each row."""
    width = _width(canonical)
    per_user = np.bincount(taken // width, minlength=users.max(initial=-1) + 1)
    answer_is_new = ~among(taken, users * width + canonical[answers])
    return len(sorted_unique(canonical[1:])) - per_user[users] - answer_is_new


def _by_rejection(taken, users, answers, count, rng, canonical, weights) -> tuple[np.ndarray, np.ndarray]:
    """The first ``count`` allowed, different titles among some draws of each row, and which rows had enough."""
    width = _width(canonical)
    shape = (len(users), 2 * count + SPARE)
    if weights is None:
        draws = rng.integers(1, len(canonical), size=shape)
    else:
        reach = np.cumsum(weights[1:])
        draws = np.minimum(1 + np.searchsorted(reach, rng.random(shape) * reach[-1], side="right"), len(reach))
    title = canonical[draws]
    allowed = ~among(taken, users[:, None] * width + title) & (title != canonical[answers][:, None])
    order = np.argsort(title, axis=1, kind="stable")
    ranked = np.take_along_axis(title, order, axis=1)
    again = np.concatenate([np.zeros((len(users), 1), bool), ranked[:, 1:] == ranked[:, :-1]], axis=1)
    repeated = np.empty_like(again)
    np.put_along_axis(repeated, order, again, axis=1)
    usable = allowed & ~repeated
    first = np.argsort(~usable, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(draws, first, axis=1), usable.sum(axis=1) >= count


def _one_by_one(own: np.ndarray, answer: int, count: int, rng: np.random.Generator, canonical, weights) -> np.ndarray:
    """For a row whose user has most of the catalogue: shuffle what is free, what weighs more to the front."""
    barred = np.zeros(_width(canonical), dtype=bool)
    barred[canonical[own]] = barred[canonical[answer]] = True
    items = np.arange(1, len(canonical))[~barred[canonical[1:]]]
    if weights is None:
        items = rng.permutation(items)
    else:  # the order of a draw without replacement (Efraimidis and Spirakis, 2006)
        items = items[np.argsort(rng.exponential(size=len(items)) / np.maximum(weights[items], 1e-12))]
    _, first = np.unique(canonical[items], return_index=True)
    return items[np.sort(first)[:count]]
