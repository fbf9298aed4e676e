"""What a teacher expects next of a user, as one vector in the language model's own terms.

Two trainings of a teacher agree on what comes next and not on the axes of their hidden states, so that a map learned
from the states of one teacher reads nothing in another's. The mean of the titles' vectors, weighted by how much the
teacher expects each title, means the same whichever teacher said it.
"""

from collections.abc import Iterable

import numpy as np
from scipy.special import softmax

from delrec_kit.data import Ragged
from delrec_kit.evaluation import membership
from delrec_kit.teachers.scorer import SCORES, Scorer


def expected_vectors(scorer: Scorer, histories: Ragged, users: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(n, d) float32: mean of ``vectors`` (N+1, d) under the softmax of the teacher's scores after each history.

    Items of the history count for nothing: what the teacher expects is something new. users (n,): whose they are.
    """
    said = np.zeros((len(histories), vectors.shape[1]), dtype=np.float32)
    for rows in _parts(len(histories), len(vectors)):
        part = histories.take(rows)
        scores = scorer.scores(part, users[rows])
        taken = membership(part, scores.shape[1])
        taken[:, 0] = True
        said[rows] = softmax(np.where(taken, -np.inf, scores), axis=1) @ vectors
    return said


def _parts(rows: int, items: int) -> Iterable[np.ndarray]:
    size = max(1, min(1024, SCORES // items))
    return (np.arange(start, min(start + size, rows)) for start in range(0, rows, size))
