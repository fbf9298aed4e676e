"""Ranks of the answers, ties at their expected place."""

import numpy as np

from delrec_kit.data.ragged import Ragged


def expected_ranks(scores: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """Rank of each user's answer among the candidates, 1 being the best.

    Args:
        scores: (U, m), higher is better; minus infinity is allowed.
        answer: (U,) column of the right candidate.

    Returns:
        (U,) float: ``1 + (candidates above) + (others tied with it) / 2``, the mean place over all orders of the
        tied. Candidates that all score alike put the answer in the middle, never first.

    Raises:
        ValueError: for NaN scores, or shapes that do not fit.
    """
    scores, answer = np.asarray(scores), np.asarray(answer)
    _check(scores, answer)
    own = np.take_along_axis(scores, answer[:, None], axis=1)
    return _ranks(scores, own, np.ones_like(scores, dtype=bool))


def full_ranks(scores: np.ndarray, target: np.ndarray, exclude: Ragged) -> np.ndarray:
    """Rank of each target in the whole catalogue, without the items that the user already had.

    Args:
        scores: (U, N+1), column i is item i; column 0 is padding and is never ranked.
        target: (U,) item ids from 1 to N.
        exclude: U sequences of item ids left out (the histories). A target that stands in its own history, a
            repeated choice, is ranked all the same.

    Returns:
        (U,) float, ties as in ``expected_ranks``.

    Raises:
        ValueError: for NaN scores outside column 0, a target outside 1…N, or shapes that do not fit.
    """
    scores, target = np.asarray(scores), np.asarray(target)
    _check(scores[:, 1:], target - 1)
    if len(exclude) != len(target):
        raise ValueError(f"{len(exclude)} histories for {len(target)} targets")
    ranked = ~membership(exclude, scores.shape[1])
    ranked[:, 0] = False
    ranked[np.arange(len(target)), target] = True
    own = np.take_along_axis(scores, target[:, None], axis=1)
    return _ranks(scores, own, ranked)


def membership(sets: Ragged, width: int) -> np.ndarray:
    """(U, width) bool: whether id ``column`` is in sequence ``row``."""
    member = np.zeros((len(sets), width), dtype=bool)
    member[np.repeat(np.arange(len(sets)), sets.lengths), sets.values] = True
    return member


def _ranks(scores: np.ndarray, own: np.ndarray, ranked: np.ndarray) -> np.ndarray:
    above = ((scores > own) & ranked).sum(axis=1)
    tied = ((scores == own) & ranked).sum(axis=1) - 1
    return 1.0 + above + tied / 2.0


def _check(scores: np.ndarray, answer: np.ndarray) -> None:
    if scores.ndim != 2 or answer.shape != scores.shape[:1]:
        raise ValueError(f"scores of shape {scores.shape} do not fit {answer.shape} answers")
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} scores are NaN; the first is in row {_first_nan(scores)}")
    if len(answer) and (answer.min() < 0 or answer.max() >= scores.shape[1]):
        raise ValueError(f"an answer lies outside the {scores.shape[1]} scored columns")


def _first_nan(scores: np.ndarray) -> int:
    return int(np.isnan(scores).any(axis=1).argmax())
