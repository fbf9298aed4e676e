"""Intervals and tests over users, for several quantities at once (one row each)."""

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
BATCH = 50


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

    Args:
        differences: (rows, U).

    Returns:
        (rows,) p-values, none below ``2 / (resamples + 1)``.
    """
    result = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        axis=-1,
        n_resamples=resamples,
        batch=BATCH,
        rng=np.random.default_rng(seed),
    )
    return result.pvalue
