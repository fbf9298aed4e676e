"""Ranks of the answers, ties at their expected place, and what a rank is worth: hit rate, NDCG and reciprocal rank."""

import numpy as np

from delrec_kit.data.ragged import Ragged

METRICS = ["HR@1", "HR@5", "HR@10", "NDCG@5", "NDCG@10", "MRR"]


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


def per_user(ranks: np.ndarray) -> dict[str, np.ndarray]:
    """Every metric for every user.

    ``HR@n`` is 1 for a rank of at most n, ``NDCG@n`` is ``1 / log2(1 + rank)`` for such a rank, else both are 0;
    ``MRR`` is ``1 / rank``. An expected rank with ties, such as 1.5, is taken as it is: a two-way tie for the first
    place is no hit at 1.

    Args:
        ranks: (U,) from 1 upward, or (U, D) in D draws of the distractors, whose values are averaged.

    Returns:
        metric -> (U,) values in [0, 1].
    """
    ranks = np.asarray(ranks, dtype=float)
    if ranks.ndim not in (1, 2) or not np.all(ranks >= 1):
        raise ValueError("ranks are one number a user, or one a draw, from 1 upward")
    if ranks.ndim == 2:
        draws = [per_user(draw) for draw in ranks.T]
        return {metric: np.mean([values[metric] for values in draws], axis=0) for metric in METRICS}
    gain = 1.0 / np.log2(1.0 + ranks)
    values = {f"HR@{n}": (ranks <= n).astype(float) for n in (1, 5, 10)}
    values |= {f"NDCG@{n}": np.where(ranks <= n, gain, 0.0) for n in (5, 10)}
    values["MRR"] = 1.0 / ranks
    return {metric: values[metric] for metric in METRICS}


def means(ranks: np.ndarray) -> dict[str, float]:
    """Every metric's mean over the users."""
    return {metric: float(values.mean()) for metric, values in per_user(ranks).items()}


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
    if len(rows := np.flatnonzero(np.isnan(scores).any(axis=1))):
        raise ValueError(f"scores of {len(rows)} rows are NaN; the first is row {rows[0]}")
    if len(answer) and (answer.min() < 0 or answer.max() >= scores.shape[1]):
        raise ValueError(f"an answer lies outside the {scores.shape[1]} scored columns")
