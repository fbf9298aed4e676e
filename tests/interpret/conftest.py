"""What the tests of this room share."""

import numpy as np
import pytest

from delrec_kit.data import Cases, Ragged
from delrec_kit.interpret import Question


@pytest.fixture
def question():
    """question(recommender, histories, items): items (U, m) asked after each history."""

    def _question(recommender, histories, items):
        cases = Cases.of_histories(Ragged.from_lists([list(history) for history in histories]))
        return Question(recommender, cases, np.asarray(items))

    return _question
