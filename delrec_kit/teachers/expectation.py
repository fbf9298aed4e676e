"""What a teacher expects next of a user, as one vector in the language model's own terms.

Two trainings of a teacher agree on what comes next and not on the axes of their hidden states, so that a map learned
from the states of one teacher reads nothing in another's. The mean of the titles' vectors, weighted by how much the
teacher expects each title, means the same whichever teacher said it.
"""

import numpy as np
from scipy.special import softmax

from delrec_kit.data import Ragged
from delrec_kit.teachers.scorer import Scorer, scores_of_the_new


def expected_vectors(scorer: Scorer, histories: Ragged, users: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(n, d) float32: mean of ``vectors`` (N+1, d) under the softmax of the teacher's scores after each history.

    Items of the history count for nothing: what the teacher expects is something new. users (n,): whose they are.
    """
    said = np.zeros((len(histories), vectors.shape[1]), dtype=np.float32)
    for rows, scores in scores_of_the_new(scorer, histories, users):
        said[rows] = softmax(scores, axis=1) @ vectors
    return said
