"""Opt-in: MovieLens-100K itself. ``DELREC_ML100K=<folder with u.data and u.item> pytest tests/data``."""

import os
import re

import numpy as np
import pytest

from delrec_kit.data import answer_index, prepare
from delrec_kit.settings.config import DataConfig

FOLDER = os.environ.get("DELREC_ML100K")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="MovieLens-100K may not be redistributed: set DELREC_ML100K to a folder with u.data and u.item"
)


@pytest.fixture(scope="module")
def data():
    return prepare(DataConfig(dataset="ml-100k", data_dir=FOLDER), seed=0)


def test_the_known_counts(data):
    found = data.statistics
    assert (found["users"], found["items"], found["interactions"]) == (943, 1682, 100_000)
    assert found["duplicate_titles"] == 18 and found["repeated_choices"] == 0
    assert found["length"]["min"] == 20 and found["length"]["max"] == 737
    assert (found["first_day"], found["last_day"]) == ("1997-09-20", "1998-04-22")
    assert found["ties_in_time"] == pytest.approx(0.51, abs=0.005)
    assert found["last_two_tie"] == pytest.approx(0.44, abs=0.005)
    assert found["training_interactions"] == 100_000 - 2 * 943


def test_titles_read_as_people_write_them(data):
    titles = set(data.split.titles)
    for title in ("The Tin Drum (Die Blechtrommel) (1979)", "Les Misérables (1995)", "L'Enfer (1994)", "unknown"):
        assert title in titles
    assert not [t for t in titles if re.search(r", (The|A|An|Le|La|Les|Die|Der|Il|L')\s*([()]|$)", t) or t != t.strip()]


def test_candidate_sets_keep_their_promises(data):
    split = data.split
    own = split.consumed()
    for cases, drawn in ((split.valid, data.valid_candidates), (split.test, data.test_candidates)):
        assert drawn.shape == (943, 15)
        answer_index(drawn, cases.target)
        for user, row, target in zip(cases.user, drawn, cases.target):
            assert np.intersect1d(row, own[user]).tolist() == [target]
            assert len({split.titles[i] for i in row}) == 15
