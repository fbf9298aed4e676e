"""A ranker's scores and the teacher's in one: a conditional logit (McFadden 1974), fitted on validation cases.

P(c) = softmax over candidates of w · f(c). The plain fusion's features f are the two rankers' log-probabilities; the
gated fusion lets their weights change with the length of the history, the popularity of the candidate and how far the
two rankers agree.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

SHRINK = 1e-2  # of the squared weights, against features that validation cases cannot tell apart


@dataclass(frozen=True)
class Fusion:
    """weights (F,) of the features, each less its mean (F,) and over its spread (F,); gated: whether they change."""

    weights: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    gated: bool

    @classmethod
    def fit(
        cls, llm: np.ndarray, teacher: np.ndarray, answer: np.ndarray, context: np.ndarray, gated: bool = False
    ) -> "Fusion":
        """From scores (U, m) of validation candidates, the answers' columns (U,), and ``context`` (U, m, 2)."""
        raw = features(llm, teacher, context, gated)
        mean, spread = raw.mean((0, 1)), raw.std((0, 1)) + 1e-9
        x, users = (raw - mean) / spread, np.arange(len(answer))

        def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
            log_p = log_softmax(x @ w, axis=1)
            slope = np.einsum("um,umf->f", np.exp(log_p), x) - x[users, answer].sum(0)
            return -log_p[users, answer].mean() + SHRINK * w @ w, slope / len(users) + 2 * SHRINK * w

        return cls(minimize(loss, np.zeros(x.shape[2]), jac=True, method="L-BFGS-B").x, mean, spread, gated)

    def scores(self, llm: np.ndarray, teacher: np.ndarray, context: np.ndarray) -> np.ndarray:
        """(U, m), higher is better."""
        x = (features(llm, teacher, context, self.gated) - self.mean) / self.spread
        return (x @ self.weights).astype(np.float32)

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


def context(histories: np.ndarray, candidates: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(U, m, 2) log(1 + length of the history) and log(1 + training count of the candidate).

    histories: (U,) lengths; candidates: (U, m) ids; counts: (N+1,) training interactions of each item.
    """
    length = np.broadcast_to(np.log1p(histories)[:, None], candidates.shape)
    return np.stack([length, np.log1p(counts[candidates])], axis=2)
