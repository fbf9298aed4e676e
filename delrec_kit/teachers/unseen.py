"""What can be said, without a language model, of items that no training has seen: from their titles.

Items 1 … N are those that a teacher has seen, N+1 … N+M those that it has not. ``vectors`` (N+M+1, d) are of titles,
entry 0 is padding.
"""

from dataclasses import replace

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from delrec_kit.data import Cases
from delrec_kit.evaluation import expected_ranks
from delrec_kit.teachers.models import MODELS
from delrec_kit.teachers.scorer import CatalogueScorer, Scorer
from delrec_kit.teachers.teacher import Teacher

PENALTIES = np.logspace(-1, 5, 13)  # of the ridge regressions, chosen by leaving one item out
RECENT = (1, 2, 5, 10)  # titles that the content row may read


def from_titles(vectors: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(M, r) what the titles of unseen items make one expect, by ridge regression on ``values`` (N, r) of those that
    are seen; weights (N,): how much is known of each of these."""
    n = len(values)
    model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    known = weights > 0
    model.fit(vectors[1 : n + 1][known], values[known], ridgecv__sample_weight=weights[known])
    return model.predict(vectors[n + 1 :]).reshape(len(vectors) - n - 1, -1)


def popularity_from_titles(counts: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(N+M+1,) choices of each item, ``counts`` (N+1,) of the seen ones; of the unseen ones what their titles make one
    expect."""
    expected = np.expm1(from_titles(vectors, np.log1p(counts[1:, None]), np.ones(len(counts) - 1)))
    return np.concatenate([counts, expected[:, 0].clip(0)])


def knowing_more(teacher: Teacher, vectors: np.ndarray | None, counts: np.ndarray, more: int) -> Teacher:
    """The teacher, told of ``more`` items behind its own: each the mean of the items it has seen, or with ``vectors``
    where a ridge regression from titles puts it. counts (N+1,): how often it has seen each of its own."""
    own = teacher.model.items.weight.detach().cpu().numpy()[1:]
    rows = np.concatenate([own, teacher.model.bias.detach().cpu().numpy()[1:, None]], axis=1)
    seen = counts[1:].astype(np.float64)
    if vectors is None:
        new = np.tile(rows[seen > 0].mean(axis=0), (more, 1))
    else:
        new = from_titles(vectors, rows, seen)
    state = {name: tensor.detach().cpu() for name, tensor in teacher.model.state_dict().items()}
    new = torch.from_numpy(new.astype(np.float32))
    state["items.weight"] = torch.cat([state["items.weight"], new[:, :-1]])
    state["bias"] = torch.cat([state["bias"], new[:, -1]])
    model = MODELS[teacher.config.name](teacher.n_items + more, teacher.config)
    model.load_state_dict(state)
    return replace(teacher, model=model.eval(), n_items=teacher.n_items + more)


class LogShare(CatalogueScorer):
    """A scorer's log-probabilities among the first ``seen`` items, on which scale it places all others too: so a score
    means the same in every candidate set."""

    def __init__(self, scorer: Scorer, seen: int):
        self.scorer, self.seen = scorer, seen

    def catalogue(self, cases: Cases) -> np.ndarray:
        scores = self.scorer.scores(cases)
        return scores - logsumexp(scores[:, 1 : self.seen + 1], axis=1, keepdims=True)


class Counted(CatalogueScorer):
    """The same scores (N+M+1,) for everyone."""

    def __init__(self, values: np.ndarray):
        self.values = np.concatenate([[-np.inf], values[1:]]).astype(np.float32)

    def catalogue(self, cases: Cases) -> np.ndarray:
        return np.tile(self.values, (len(cases), 1))


class Content(CatalogueScorer):
    """The cosine of an item's title vector and the mean of those of the last ``recent`` titles of the history (arXiv
    2512.13001 finds such embeddings strong)."""

    def __init__(self, vectors: np.ndarray, recent: int):
        self.vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)
        self.recent = recent

    def catalogue(self, cases: Cases) -> np.ndarray:
        said = np.stack([self.vectors[history[-self.recent :]].sum(0) for history in cases.history])
        said /= np.linalg.norm(said, axis=1, keepdims=True).clip(1e-9)
        scores = (said @ self.vectors.T).astype(np.float32)
        scores[:, 0] = -np.inf
        return scores

    @classmethod
    def chosen(cls, vectors: np.ndarray, cases: Cases, items: np.ndarray, answer: np.ndarray) -> "Content":
        """That number of recent titles with the best mean reciprocal rank of the answers' columns (U,) among items
        (U, m)."""
        rows = [cls(vectors, recent) for recent in RECENT]
        return max(rows, key=lambda row: (1 / expected_ranks(row.scores(cases, items), answer)).mean())
