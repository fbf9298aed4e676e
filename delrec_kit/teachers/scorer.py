"""What every recommender of this room offers: scores of the whole catalogue for given histories."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from delrec_kit.data import Cases, Ragged
from delrec_kit.evaluation import membership

SCORES = 2**24  # at a time, which bounds the memory: 64 MB


class Scorer(Protocol):
    def scores(self, histories: Ragged, users: np.ndarray | None = None) -> np.ndarray:
        """(B, N+1) float32, higher is better; column i is item i, column 0 (padding) is minus infinity.

        ``users`` (B,) says whose histories they are, for scorers that depend on it.
        """
        ...


def scored(scorer: Scorer, cases: Cases) -> Iterator[tuple[np.ndarray, Cases, np.ndarray]]:
    """Rows of ``cases``, these cases, and their scores (rows, N+1) of the whole catalogue, part by part."""
    start, size = 0, 256
    while start < len(cases):
        rows = np.arange(start, min(start + size, len(cases)))
        part = cases.take(rows)
        scores = scorer.scores(part.history, part.user)
        yield rows, part, scores
        start, size = start + size, max(1, SCORES // scores.shape[1])


def scores_of(scorer: Scorer, cases: Cases, items: np.ndarray) -> np.ndarray:
    """(U, m) scores of the items (U, m) of each case."""
    parts = [np.take_along_axis(scores, items[rows], axis=1) for rows, _, scores in scored(scorer, cases)]
    return np.concatenate(parts) if parts else np.empty(items.shape, np.float32)


def scores_of_the_new(scorer: Scorer, histories: Ragged, users: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of ``histories`` and their scores (rows, N+1), minus infinity for padding and what a history holds, part by
    part."""
    start, size = 0, 256
    while start < len(histories):
        rows = np.arange(start, min(start + size, len(histories)))
        part = histories.take(rows)
        scores = scorer.scores(part, users[rows])
        yield rows, np.where(membership(part, scores.shape[1]), -np.inf, scores)
        start, size = start + size, max(1, SCORES // scores.shape[1])


def top_items(scores: np.ndarray, exclude: Ragged, h: int) -> np.ndarray:
    """The h best items of each row, best first, without padding and without ``exclude`` (the history).

    Equal scores are taken in catalogue order.

    Args:
        scores: (B, N+1).
        exclude: B sequences of ids.

    Returns:
        (B, h) int64 ids.

    Raises:
        ValueError: where fewer than h items are left.
    """
    allowed = ~membership(exclude, scores.shape[1])
    allowed[:, 0] = False
    if len(scores) and allowed.sum(axis=1).min() < h:
        raise ValueError(f"only {allowed.sum(axis=1).min()} items are left to choose {h} from")
    return np.argsort(np.where(allowed, -scores, np.inf), axis=1, kind="stable")[:, :h]
