"""What a rank is worth: hit rate, NDCG and reciprocal rank, with one relevant item a user."""

import numpy as np

METRICS = ["HR@1", "HR@5", "HR@10", "NDCG@5", "NDCG@10", "MRR"]


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
