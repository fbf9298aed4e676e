"""Validation cases in two random halves, so that what was chosen on one is weighed on the other."""

import numpy as np

from delrec_kit.data.split import Cases
from delrec_kit.settings.streams import stream


def halves(cases: Cases, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the cases that stop trainings (of teachers too) and choose their best step, in random order; and, rising,
    of those on which weights of several rankers are fitted."""
    order = stream(seed, "halves of the validation users").permutation(len(cases))
    half = -(-len(order) // 2)
    return order[:half], np.sort(order[half:])
