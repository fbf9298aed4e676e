"""The one paired test: the same users under two methods, two settings, or two runs; and what "sure" means.

A *family* is what one table compares in one group of runs under one protocol. ``p_holm`` is corrected over the family,
and a difference is ``sure`` where it is below .05, in every table and figure.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from delrec_kit.settings.streams import stream

TESTED = ("HR@1", "NDCG@5")  # the metrics of a family
RESAMPLES = 2000  # of the users, for an interval
FLIPS = 40_000  # the least p is 2 / 40,001, so that Holm's correction can leave .05 in families of up to 1,000
LEVEL = 0.05
BATCH = 50  # resamples at a time, which bounds memory
FLIP_BATCH = 500


def bootstrap_intervals(values: np.ndarray, *, seed: int, resamples: int = RESAMPLES) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap 95 % interval of each row's mean; all rows share the resampled users.

    Args:
        values: (rows, U) with U at least 2.

    Returns:
        low, high: (rows,) each.
    """
    rng = stream(seed, "bootstrap over users")
    interval = stats.bootstrap(
        (values,), np.mean, axis=-1, method="percentile", n_resamples=resamples, batch=BATCH, rng=rng
    ).confidence_interval
    return interval.low, interval.high


def sign_flip_p(differences: np.ndarray, *, seed: int) -> np.ndarray:
    """Two-sided p of the paired randomisation test, uncorrected: under the null, each user's difference may as well be
    negated. Where all 2^U flips are no more than ``FLIPS``, each is made once and p is exact.

    Args:
        differences: (rows, U).

    Returns:
        (rows,) p-values.
    """
    differences = np.asarray(differences, dtype=np.float64)
    # scipy flips ones, and all rows share these signs: row by row it would take as many times as long
    return stats.permutation_test(
        (np.ones(differences.shape[1]),),
        lambda signs, axis: signs @ differences.T,
        permutation_type="samples",
        vectorized=True,
        n_resamples=FLIPS,
        batch=FLIP_BATCH,
        rng=stream(seed, "sign flips"),
    ).pvalue


def holm(p: np.ndarray) -> np.ndarray:
    """p-values corrected for their number by Holm's step-down method (1979)."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    corrected = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty_like(p)
    result[order] = np.minimum(corrected, 1.0)
    return result


def paired_test(differences: Sequence[np.ndarray], seed: int) -> pd.DataFrame:
    """A row for each of ``differences``, which are (U,) by user, U at least 2 and not the same for all: value (the
    mean), low, high (95 % bootstrap interval over users), p (``sign_flip_p``), users."""
    sizes = np.array([len(one) for one in differences])
    cells = np.empty((len(sizes), 4))
    for size in np.unique(sizes):  # rows of one size share their resamples and flips
        rows = np.flatnonzero(sizes == size)
        values = np.stack([differences[row] for row in rows])
        low, high = bootstrap_intervals(values, seed=seed)
        cells[rows] = np.stack([values.mean(axis=1), low, high, sign_flip_p(values, seed=seed)], axis=1)
    return pd.DataFrame(cells, columns=["value", "low", "high", "p"]).assign(users=sizes)


def judged(family: pd.DataFrame) -> pd.DataFrame:
    """``family`` with p_holm and sure."""
    p_holm = holm(family["p"].to_numpy())
    return family.assign(p_holm=p_holm, sure=p_holm < LEVEL)
