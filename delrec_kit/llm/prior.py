"""How likely an item is before anything is said of the user: what no prompt and no title tells a language model.

A recommender's distribution is made of two things: how much an item is chosen at all, and how it suits this user. A
language model that sets a title against a user knows only the second, and a soft prompt has no words for the first,
since it speaks of no single item. As p(i | history) is proportional to p(i) p(history | i), the log of the first is
added to the score of the second (ours, beyond the paper).
"""

import numpy as np

from delrec_kit.data import Ragged


def popularity_prior(train: Ragged, canonical: np.ndarray) -> np.ndarray:
    """(N+1,) float32: the log of each item's share of the training interactions, each item counted once more than it
    occurs; items of equal title (``canonical``, see ``TitleTable``) share theirs. 0 for padding."""
    counts = np.bincount(train.values, minlength=len(canonical)) + 1.0
    counts = np.bincount(canonical, weights=counts, minlength=len(canonical))[canonical]
    prior = np.log(counts / (len(train.values) + len(canonical) - 1))
    prior[0] = 0.0
    return prior.astype(np.float32)
