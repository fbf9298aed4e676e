"""Intervals and tests over users, for several quantities at once (one row each)."""

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
BATCH = 50
FLIPS = 1000  # at a time


def bootstrap_intervals(values: np.ndarray, *, seed: int, resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap 95 % interval of each row's mean; all rows share the resampled users.

    Args:
        values: (rows, U) with U at least 2.

    Returns:
        low, high: (rows,) each.
    """
    result = stats.bootstrap(
        (values,),
        np.mean,
        axis=-1,
        method="percentile",
        confidence_level=CONFIDENCE,
        n_resamples=resamples,
        batch=BATCH,
        rng=np.random.default_rng(seed),
    )
    return result.confidence_interval.low, result.confidence_interval.high


def holm(p: np.ndarray) -> np.ndarray:
    """p-values corrected for their number by Holm's step-down method (1979)."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    corrected = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty_like(p)
    result[order] = np.minimum(corrected, 1.0)
    return result


def sign_flip_p(differences: np.ndarray, *, seed: int, resamples: int) -> np.ndarray:
    """Two-sided p of the paired randomisation test: under the null, each user's difference may as well be negated.

    So many flips are drawn (``flips_for``) that Holm's correction for this many rows can leave a p well below .05;
    where all flips are no more than these, each is made once and p is exact.

    Args:
        differences: (rows, U).

    Returns:
        (rows,) p-values.
    """
    differences = np.asarray(differences, dtype=np.float64)
    rows, users = differences.shape
    resamples = flips_for(rows, resamples)
    exact = users < 63 and 2**users <= resamples
    total = 2**users if exact else resamples
    rng, observed = np.random.default_rng(seed), np.abs(differences.sum(axis=1))
    as_far = np.zeros(rows)
    for start in range(0, total, FLIPS):
        size = min(FLIPS, total - start)
        if exact:
            bits = (np.arange(start, start + size)[:, None] >> np.arange(users)) & 1
        else:
            bits = rng.integers(0, 2, (size, users), dtype=np.int8)
        sums = np.abs((2.0 * bits - 1.0) @ differences.T)
        as_far += (sums >= observed * (1 - 1e-9) - 1e-12).sum(axis=0)
    return as_far / total if exact else (as_far + 1) / (total + 1)


def flips_for(rows: int, resamples: int) -> int:
    """Draws of a test on ``rows`` differences: ``resamples``, or more where so many are corrected for together."""
    return max(resamples, 400 * rows)
