"""Popularity and first-order Markov: what a teacher has to beat. Both count training sequences only."""

import numpy as np
from scipy import sparse

from delrec_kit.data import Cases, Split
from delrec_kit.teachers.scorer import CatalogueScorer


class Popularity(CatalogueScorer):
    """Scores an item by its share of all training interactions, the same for everyone."""

    def __init__(self, split: Split):
        counts = np.bincount(split.train.values, minlength=split.n_items + 1).astype(np.float64)
        self.share = counts / max(1.0, counts.sum())

    def catalogue(self, cases: Cases) -> np.ndarray:
        return _padded_out(np.tile(self.share, (len(cases), 1)))


class Markov(CatalogueScorer):
    """Scores an item by how often it came right after the history's last item, backing off to popularity.

    The estimate is ``(n(last, item) + prior · share(item)) / (n(last) + prior)``, a Dirichlet prior at popularity;
    an item without training successors, or an empty history, gives popularity itself.
    """

    def __init__(self, split: Split, prior: float = 5.0):
        size = split.n_items + 1
        same_user = split.train.rows[:-1] == split.train.rows[1:]
        pairs = (split.train.values[:-1][same_user], split.train.values[1:][same_user])
        self.follows = sparse.csr_array((np.ones(len(pairs[0])), pairs), shape=(size, size))
        self.share = Popularity(split).share
        self.prior = prior

    def catalogue(self, cases: Cases) -> np.ndarray:
        history = cases.history
        last = np.zeros(len(history), dtype=np.int64)
        known = history.lengths > 0
        last[known] = history.values[history.offsets[1:][known] - 1]
        counts = self.follows[last].toarray()
        smoothed = counts + self.prior * self.share
        return _padded_out(smoothed / (counts.sum(axis=1, keepdims=True) + self.prior))


def _padded_out(table: np.ndarray) -> np.ndarray:
    table = table.astype(np.float32)
    table[:, 0] = -np.inf
    return table
