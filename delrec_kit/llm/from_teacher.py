"""What a prompt learns from the teacher about a user: its first items, by title, or what it expects, as a vector."""

from dataclasses import dataclass

import numpy as np

from delrec_kit.data import Cases
from delrec_kit.teachers import Scorer, expected_vectors, top_items


@dataclass(frozen=True)
class Suggestions:
    """cases -> (U, h) items that the teacher likes best, best first, those of the history left out."""

    teacher: Scorer
    h: int

    def __call__(self, cases: Cases) -> np.ndarray:
        return top_items(self.teacher.scores(cases), cases.history, self.h)


@dataclass(frozen=True)
class OfAnother:
    """cases -> (U, d) what is expected of the next one among the cases: a control, which hears of somebody else."""

    expects: "Expectation"

    def __call__(self, cases: Cases) -> np.ndarray:
        return np.roll(self.expects(cases), -1, axis=0)


@dataclass(frozen=True)
class Expectation:
    """cases -> (U, d) mean of ``vectors`` (N+1, d) of titles under the teacher's softmax over items not yet consumed.

    Two trainings of a teacher agree on what comes next and not on the axes of their hidden states; the mean title
    vector means the same whichever teacher said it. Of nobody, who has no history, every title is expected alike.
    """

    teacher: Scorer
    vectors: np.ndarray

    def __call__(self, cases: Cases) -> np.ndarray:
        known = np.flatnonzero(cases.history.lengths)
        expected = np.tile(self.vectors[1:].mean(0), (len(cases), 1))
        if len(known):
            expected[known] = expected_vectors(self.teacher, cases.take(known), self.vectors)
        return expected
