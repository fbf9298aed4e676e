"""Which user is meant: by id, by number where no id is one, and what is said of others."""

from types import SimpleNamespace

import numpy as np
import pytest

from delrec_kit.settings.errors import KitError
from delrec_kit.study.explain import tested as case_of


def study(*keys):
    """Of the users ``keys`` all but the first are tested, in their order."""
    rows = np.arange(1, len(keys))
    test = SimpleNamespace(user=rows, history=[np.array([row, row]) for row in rows], target=rows + 10)
    split = SimpleNamespace(user_keys=list(keys), test=test)
    return SimpleNamespace(data=SimpleNamespace(split=split, test_candidates=np.stack([rows, rows + 10], axis=1)))


def test_a_user_is_found_by_id_or_number():
    named = study("u0", "u1", "u2", "u3")
    for user in ("u2", 2, "2"):
        assert case_of(named, user) == ("u2", [2, 2], [2, 12], 12)
    assert case_of(named)[0] == case_of(named, 1)[0] == "u1", "the first that is tested"
    with pytest.raises(KitError, match="no test case number 4: 3 users are tested, numbered from 1"):
        case_of(named, 4)
    with pytest.raises(KitError, match="of user 'u0'; one of the 3 that are tested is 'u"):
        case_of(named, "u0")


def test_where_ids_are_numbers_a_number_is_an_id():
    numbered = study("7", "3", "1")
    assert case_of(numbered, 1)[0] == "1" and case_of(numbered, "3")[0] == "3" and case_of(numbered)[0] == "3"
    with pytest.raises(KitError, match="no test case of user '2'"):
        case_of(numbered, 2)
