"""Candidate sets: the answer and m-1 uniform distractors, drawn once and stored with the run."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from delrec_kit.data.ragged import Ragged
from delrec_kit.data.split import Cases, Split
from delrec_kit.errors import KitError

SPARE = 8  # draws beyond what a row needs, so that few rows need a second round


def draw_candidates(split: Split, cases: Cases, m: int, seed: int | Sequence[int]) -> np.ndarray:
    """(U, m) items: each case's target and m-1 distractors, in random order; the same for the same seed.

    Distractors are uniform over the items whose titles the user has nowhere in its training sequence, histories and
    targets; the m titles of a set differ. (An answer may be an item that the user had before.)
    Raises KitError if m is larger than the catalogue allows some user.
    """
    rng = np.random.default_rng(seed)
    canonical = pd.factorize(np.array(split.titles, dtype=object))[0]
    consumed = split.consumed()
    free = _free_titles(consumed, cases.user, cases.target, canonical)
    if len(free) and free.min() < m - 1:
        key = split.user_keys[cases.user[free.argmin()]]
        raise KitError(
            f"data.candidates={m} is more than the catalogue allows: of {split.n_items} items, user '{key}' leaves "
            f"{free.min()} titles as distractors; set data.candidates to at most {free.min() + 1}"
        )
    others = draw_distractors(consumed, cases.user, cases.target, m - 1, rng, canonical)
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
) -> np.ndarray:
    """(B, count) items drawn uniformly without replacement for each row.

    Args:
        consumed: each user's items, none of whose titles is drawn for it.
        users: (B,) whose row it is. answers: (B,) the right item of the row, whose title is not drawn either.
        canonical: (N+1,) one number a title, so that equal titles count as one; entry 0 belongs to padding.

    Raises:
        KitError: if fewer than ``count`` titles are free for some row.
    """
    users, answers, canonical = np.asarray(users), np.asarray(answers), np.asarray(canonical)
    free = _free_titles(consumed, users, answers, canonical)
    if len(free) and free.min() < count:
        raise KitError(
            f"data.candidates={count + 1} is more than the catalogue allows: a user leaves {free.min()} titles as "
            f"distractors; set data.candidates to at most {free.min() + 1}"
        )
    taken = _taken_codes(consumed, canonical)
    drawn, full = _by_rejection(taken, users, answers, count, rng, canonical)
    for row in np.flatnonzero(~full):
        drawn[row] = _one_by_one(consumed[users[row]], answers[row], count, rng, canonical)
    return drawn


def _taken_codes(consumed: Ragged, canonical: np.ndarray) -> np.ndarray:
    """Sorted codes ``user * width + title`` of all that users have."""
    return np.unique(consumed.rows * _width(canonical) + canonical[consumed.values])


def _width(canonical: np.ndarray) -> int:
    return int(canonical.max(initial=0)) + 1


def _contains(taken: np.ndarray, codes: np.ndarray) -> np.ndarray:
    place = np.searchsorted(taken, codes)
    return (place < len(taken)) & (taken[np.minimum(place, len(taken) - 1)] == codes) if len(taken) else place < 0


def _free_titles(consumed: Ragged, users: np.ndarray, answers: np.ndarray, canonical: np.ndarray) -> np.ndarray:
    """(B,) how many different titles could be distractors of each row."""
    width = _width(canonical)
    taken = _taken_codes(consumed, canonical)
    per_user = np.bincount(taken // width, minlength=len(consumed))
    answer_is_new = ~_contains(taken, users * width + canonical[answers])
    return len(np.unique(canonical[1:])) - per_user[users] - answer_is_new


def _by_rejection(taken, users, answers, count, rng, canonical) -> tuple[np.ndarray, np.ndarray]:
    """The first ``count`` allowed, different titles among some uniform draws of each row, and which rows had enough."""
    width = _width(canonical)
    draws = rng.integers(1, len(canonical), size=(len(users), 2 * count + SPARE))
    title = canonical[draws]
    allowed = ~_contains(taken, users[:, None] * width + title) & (title != canonical[answers][:, None])
    order = np.argsort(title, axis=1, kind="stable")
    ranked = np.take_along_axis(title, order, axis=1)
    again = np.concatenate([np.zeros((len(users), 1), bool), ranked[:, 1:] == ranked[:, :-1]], axis=1)
    repeated = np.empty_like(again)
    np.put_along_axis(repeated, order, again, axis=1)
    usable = allowed & ~repeated
    first = np.argsort(~usable, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(draws, first, axis=1), usable.sum(axis=1) >= count


def _one_by_one(own: np.ndarray, answer: int, count: int, rng: np.random.Generator, canonical) -> np.ndarray:
    """For a row whose user has most of the catalogue: shuffle what is free."""
    barred = np.zeros(_width(canonical), dtype=bool)
    barred[canonical[own]] = barred[canonical[answer]] = True
    items = rng.permutation(np.arange(1, len(canonical))[~barred[canonical[1:]]])
    _, first = np.unique(canonical[items], return_index=True)
    return items[np.sort(first)[:count]]
