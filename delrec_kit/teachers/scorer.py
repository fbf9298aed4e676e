"""What every recommender offers, whatever stands inside: scores of items for people with histories."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from scipy.special import softmax

from delrec_kit.data import Cases, Ragged
from delrec_kit.evaluation import membership

SCORES = 2**24  # at a time, which bounds the memory: 64 MB


class Scorer(Protocol):
    def scores(self, cases: Cases, items: np.ndarray | None = None) -> np.ndarray:
        """(U, m) float32 scores of items (U, m) for the cases, whose targets are not looked at; without items (U, N+1)
        of the whole catalogue: column i is item i, column 0 (padding) is minus infinity. Higher is better."""
        ...


class CatalogueScorer:
    """A Scorer by ``catalogue``, which scores the whole catalogue at once."""

    def catalogue(self, cases: Cases) -> np.ndarray:
        """(U, N+1) float32."""
        raise NotImplementedError

    def scores(self, cases: Cases, items: np.ndarray | None = None) -> np.ndarray:
        """See ``Scorer``; of given items part by part, in bounded memory."""
        if items is None:
            return self.catalogue(cases)
        scores = np.empty(items.shape, np.float32)
        for rows, whole in catalogue_scores(self, cases):
            scores[rows] = np.take_along_axis(whole, items[rows], axis=1)
        return scores


def catalogue_scores(
    scorer: Scorer, cases: Cases, without_history: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of the cases and their scores (rows, N+1) of the whole catalogue, part by part, in bounded memory;
    without_history: minus infinity for padding and for what a history holds."""
    start, size = 0, 256
    while start < len(cases):
        rows = np.arange(start, min(start + size, len(cases)))
        part = cases.take(rows)
        scores = scorer.scores(part)
        if without_history:
            scores = np.where(membership(part.history, scores.shape[1]), -np.inf, scores)
        yield rows, scores
        start, size = start + size, max(1, SCORES // scores.shape[1])


def top_items(scores: np.ndarray, exclude: Ragged, h: int) -> np.ndarray:
    """(U, h) ids of the best items of scores (U, N+1), best first, without padding and without ``exclude`` (the
    histories); equal scores in catalogue order. Raises ValueError where fewer than h items are left."""
    allowed = ~membership(exclude, scores.shape[1])
    allowed[:, 0] = False
    left = allowed.sum(axis=1).min(initial=h)
    if left < h:
        raise ValueError(f"only {left} items are left to choose {h} from")
    return np.argsort(np.where(allowed, -scores, np.inf), axis=1, kind="stable")[:, :h]


def expected_vectors(scorer: Scorer, cases: Cases, vectors: np.ndarray) -> np.ndarray:
    """(U, d) float32: what the scorer expects next, the mean of ``vectors`` (N+1, d) of the titles under the softmax of
    its scores. Items of the history count for nothing: something new is expected."""
    expected = np.zeros((len(cases), vectors.shape[1]), dtype=np.float32)
    for rows, scores in catalogue_scores(scorer, cases, without_history=True):
        expected[rows] = softmax(scores, axis=1) @ vectors
    return expected
