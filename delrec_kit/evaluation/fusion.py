"""Several rankers' scores in one: a conditional logit (McFadden 1974), fitted on validation cases.

P(c) = softmax over candidates of w · f(c). The plain fusion's features f are a ranker's and the teacher's
log-probabilities; the gated fusion lets their weights change with the length of the history, the popularity of the
candidate and how far the two agree; ``by_exposure`` lets all weights change with how often the candidate was seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

SHRINK = 1e-2  # of the squared weights, against features that validation cases cannot tell apart
FEW = 5.0  # choices of an item at which half of what is known of it is believed


@dataclass(frozen=True)
class Fusion:
    """weights (F,) of the features, each less its mean (F,) and over its spread (F,)."""

    weights: np.ndarray
    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def fit(cls, raw: np.ndarray, answer: np.ndarray) -> "Fusion":
        """From features (U, m, F) of validation candidates and the answers' columns (U,)."""
        mean, spread = raw.mean((0, 1)), raw.std((0, 1)) + 1e-9
        x, users = (raw - mean) / spread, np.arange(len(answer))

        def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
            log_p = log_softmax(x @ w, axis=1)
            slope = np.einsum("um,umf->f", np.exp(log_p), x) - x[users, answer].sum(0)
            return -log_p[users, answer].mean() + SHRINK * w @ w, slope / len(users) + 2 * SHRINK * w

        return cls(minimize(loss, np.zeros(x.shape[2]), jac=True, method="L-BFGS-B").x, mean, spread)

    def scores(self, raw: np.ndarray) -> np.ndarray:
        """(U, m) from features (U, m, F), higher is better."""
        return ((raw - self.mean) / self.spread @ self.weights).astype(np.float32)

    @property
    def share(self) -> float:
        """The part of the weight in the plain fusion that is not the teacher's; below 0 where it counts against."""
        other, teacher = self.weights[:2] / self.spread[:2]
        return float(other / (abs(other) + abs(teacher)))


def features(llm: np.ndarray, teacher: np.ndarray, context: np.ndarray, gated: bool) -> np.ndarray:
    """(U, m, F): two in the plain fusion, nine in the gated one."""
    ours, theirs = (log_softmax(np.asarray(s, dtype=np.float64), axis=1) for s in (llm, teacher))
    found = [ours, theirs]
    if gated:
        length, popular = context[..., 0], context[..., 1]
        agree = np.exp(ours + theirs).sum(1, keepdims=True)
        found += [x * gate for gate in (length, popular, agree) for x in (ours, theirs)] + [popular]
    return np.stack(found, axis=2)


def by_exposure(rankers: Sequence[np.ndarray], counts: np.ndarray) -> np.ndarray:
    """(U, m, 2R+1): how far each item was seen, and each of R rankers' scores (U, m), as far as it was and as far as it
    was not. counts (U, m): training choices of each candidate. The scores are on one scale for all sets."""
    seen = counts / (counts + FEW)
    return np.stack([seen, *(part for scores in rankers for part in (scores * seen, scores * (1 - seen)))], axis=2)


def context(histories: np.ndarray, candidates: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(U, m, 2) log(1 + length of the history) and log(1 + training count of the candidate).

    histories: (U,) lengths; candidates: (U, m) ids; counts: (N+1,) training interactions of each item.
    """
    length = np.broadcast_to(np.log1p(histories)[:, None], candidates.shape)
    return np.stack([length, np.log1p(counts[candidates])], axis=2)
