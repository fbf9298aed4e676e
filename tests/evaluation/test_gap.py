import numpy as np
import pytest

from delrec_kit.evaluation import gap_table

USERS = 40


def test_the_part_of_the_gap_is_that_of_the_hits():
    """Of 20 answers of each pattern the start hits 4, the oracle 16, the method 10 of one pattern, 4 of the other."""
    place = np.arange(USERS) % 20
    patterns = ["common"] * 20 + ["hidden"] * 20
    hits = {"start": place < 4, "oracle": place < 16, "half": np.where(np.arange(USERS) < 20, place < 10, place < 4)}
    ranks = {name: np.where(of, 1.0, 3.0) for name, of in hits.items()}
    table = gap_table(ranks, patterns, "start", seed=0, resamples=300).set_index("pattern")
    assert table["closed"].to_dict() == pytest.approx({"all": 0.25, "common": 0.5, "hidden": 0.0})
    assert table["users"].to_dict() == {"all": 40, "common": 20, "hidden": 20} and (table["method"] == "half").all()
    assert table.loc["common", "value"] == 0.5 and table.loc["common", "oracle"] == 0.8
    row = table.loc["common"]
    assert 0.1 < row["low"] < 0.5 < row["high"] < 0.9 and table.loc["hidden", "low"] == 0


def test_a_pattern_of_few_users_has_no_row():
    ranks = {name: np.ones(USERS) for name in ("start", "oracle", "x")}
    ranks["start"] = np.full(USERS, 5.0)
    table = gap_table(ranks, ["a"] * 35 + ["b"] * 5, "start", seed=0, resamples=50)
    assert set(table["pattern"]) == {"all", "a"} and (table["closed"] == 1).all()


def test_a_pattern_whose_gap_may_be_chance_has_no_row():
    """The oracle is ahead of the start for 12 of 20 users of one pattern; of the other for 6, and behind for 4."""
    place = np.arange(USERS) % 20
    common = np.arange(USERS) < 20
    hits = {"start": ~common & (place < 4), "oracle": np.where(common, place < 12, (place >= 4) & (place < 10))}
    ranks = {name: np.where(of, 1.0, 3.0) for name, of in {**hits, "x": place < 5}.items()}
    table = gap_table(ranks, np.where(common, "common", "chance"), "start", seed=0, resamples=500)
    assert set(table["pattern"]) == {"all", "common"}
