"""How far a ranker agrees with the teacher on the same candidates: what was distilled, in numbers."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import log_softmax
from scipy.stats import rankdata

from delrec_kit.evaluation import bootstrap_intervals

MEASURES = {
    "top1": "same first choice",
    "overlap": "overlap of the first h",
    "kendall": "Kendall's tau",
    "kl": "KL(teacher, LLM), nats",
}


def agreement_per_user(scores: np.ndarray, teacher: np.ndarray, h: int) -> dict[str, np.ndarray]:
    """Each user's agreement of ``scores`` (U, m) with ``teacher`` (U, m); higher scores rank first.

    top1: 1 where both put the same candidate first (shared out among ties); overlap: share of the first ``h`` that
    both have in common; kendall: tau-b in [-1, 1]; kl: divergence of the softmaxes, in nats, 0 when equal.
    """
    if scores.shape != teacher.shape:
        raise ValueError(f"scores {scores.shape} and teacher {teacher.shape} must have one shape (U, m)")
    ranks, wanted = (rankdata(-s, axis=1) for s in (scores, teacher))
    first = (scores == scores.max(1, keepdims=True)).astype(float)
    choice = np.take_along_axis(first, teacher.argmax(1)[:, None], 1)[:, 0] / first.sum(1)
    common = ((ranks <= h) & (wanted <= h)).sum(1) / h
    p, q = log_softmax(teacher.astype(float), axis=1), log_softmax(scores.astype(float), axis=1)
    return {
        "top1": choice,
        "overlap": common,
        "kendall": _tau_b(scores, teacher),
        "kl": (np.exp(p) * (p - q)).sum(1),
    }


def agreement_table(
    variants: Mapping[str, np.ndarray], teacher: np.ndarray, h: int, resamples: int, seed: int
) -> pd.DataFrame:
    """Mean agreement with the teacher over users of each variant, with 95 % bootstrap intervals.

    Returns the columns variant, measure, value, low, high.
    """
    rows = []
    for variant, scores in variants.items():
        for measure, values in agreement_per_user(scores, teacher, h).items():
            low, high = bootstrap_intervals(values[None], seed=seed, resamples=resamples)
            rows.append((variant, measure, values.mean(), low[0], high[0]))
    return pd.DataFrame(rows, columns=["variant", "measure", "value", "low", "high"])


def _tau_b(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(U,) Kendall's tau-b row by row; 0 where a row is constant."""
    upper = np.triu_indices(x.shape[1], 1)
    dx = np.sign(x[:, upper[0]] - x[:, upper[1]])
    dy = np.sign(y[:, upper[0]] - y[:, upper[1]])
    norm = np.sqrt((dx != 0).sum(1) * (dy != 0).sum(1))
    return np.divide((dx * dy).sum(1), norm, out=np.zeros(len(x)), where=norm > 0)
