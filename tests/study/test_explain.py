"""Which user is meant: by id, by number where no id is one, and what is said of others."""

from types import SimpleNamespace

import numpy as np
import pytest

from delrec_kit.__main__ import main
from delrec_kit.interpret.by_piece import REST
from delrec_kit.settings.errors import KitError
from delrec_kit.study.explain import speaking
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


def test_effects_that_round_to_nothing_are_told_as_none():
    def said(*effects):
        pieces = [("history", 0), ("history", 1), (REST, 0)]
        texts = ["Film 1", "Film 2", "the other words"]
        own = SimpleNamespace(effect=np.array([[*effects, 0.0]]), first=0, pieces=pieces, texts=lambda: texts)
        return dict(speaking(own))

    assert said(6.8e-10, -0.0049) == {
        "what speaks for or against it": "no single piece matters: none changes it by 0.005 nats or more when left out "
        "alone"
    }
    some = said(0.25, -0.002)
    assert some["what speaks for it most"].startswith("Film 1 (") and "+0.25 nats" in some["what speaks for it most"]
    assert some["what speaks against it most"] == "nothing"


def test_a_page_is_html_and_a_picture_png(tmp_path, capsys):
    for words, says in ((["--out", "x.txt"], "x.txt: name a file that ends in .html"), (["--png", "x.jpg"], ".png")):
        assert main(["explain", str(tmp_path), *words]) == 2
        assert says in capsys.readouterr().err
