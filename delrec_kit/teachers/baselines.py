"""Popularity and first-order Markov: what a teacher has to beat. Both count training sequences only."""

import numpy as np
from scipy import sparse

from delrec_kit.data import Ragged, Split


class Popularity:
    """Scores an item by its share of all training interactions, the same for everyone."""

    def __init__(self, split: Split):
        counts = np.bincount(split.train.values, minlength=split.n_items + 1).astype(np.float64)
        self.share = counts / max(1.0, counts.sum())

    def scores(self, histories: Ragged, users: np.ndarray | None = None) -> np.ndarray:
        table = np.tile(self.share, (len(histories), 1))
        return _padded_out(table)


class Markov:
    """Scores an item by how often it came right after the history's last item, backing off to popularity.

    The estimate is ``(n(last, item) + prior · share(item)) / (n(last) + prior)``, a Dirichlet prior at popularity;
    an item without training successors, or an empty history, gives popularity itself.
    """

    def __init__(self, split: Split, prior: float = 5.0):
        size = split.n_items + 1
        joined = np.ones(max(0, len(split.train.values) - 1), dtype=bool)
        borders = split.train.offsets[1:-1]
        joined[borders[(borders > 0) & (borders < len(split.train.values))] - 1] = False
        pairs = (split.train.values[:-1][joined], split.train.values[1:][joined])
        self.follows = sparse.csr_array((np.ones(len(pairs[0])), pairs), shape=(size, size))
        self.share = Popularity(split).share
        self.prior = prior

    def scores(self, histories: Ragged, users: np.ndarray | None = None) -> np.ndarray:
        last = np.zeros(len(histories), dtype=np.int64)
        known = histories.lengths > 0
        last[known] = histories.values[histories.offsets[1:][known] - 1]
        counts = self.follows[last].toarray()
        smoothed = counts + self.prior * self.share
        return _padded_out(smoothed / (counts.sum(axis=1, keepdims=True) + self.prior))


def _padded_out(table: np.ndarray) -> np.ndarray:
    table = table.astype(np.float32)
    table[:, 0] = -np.inf
    return table
