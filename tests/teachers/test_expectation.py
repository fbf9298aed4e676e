import numpy as np

from delrec_kit.data import Ragged
from delrec_kit.teachers import CrossFitted, expected_vectors

VECTORS = np.array([[9.0, 9.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
HISTORIES = Ragged.from_lists([[1], [2, 3], [3]])


class Fixed:
    """The same scores after any history."""

    def __init__(self, *scores):
        self.row = np.array([-np.inf, *scores], dtype=np.float32)

    def scores(self, histories, users=None):
        return np.tile(self.row, (len(histories), 1))


def test_the_mean_of_what_is_expected_without_the_history():
    said = expected_vectors(Fixed(2.0, np.log(3), 0.0), HISTORIES, np.arange(3), VECTORS)
    e2 = np.exp(2) / (np.exp(2) + 3)
    np.testing.assert_allclose(said, [[0, 0.5], [1, 0], [e2, 1 - e2]], rtol=1e-6, atol=1e-7)


def test_each_user_is_spoken_of_by_the_teacher_of_the_other_fold():
    sure = [Fixed(50.0, 0.0, 0.0), Fixed(0.0, 50.0, 0.0)]
    said = expected_vectors(
        CrossFitted(np.array([0, 1, 1]), sure), HISTORIES.take(np.array([2, 2, 2])), np.arange(3), VECTORS
    )
    np.testing.assert_allclose(said, [[1, 0], [0, 1], [0, 1]], atol=1e-6)
