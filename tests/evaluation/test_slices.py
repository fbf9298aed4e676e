"""For whom a method works, and how much of what could be had it has: known answers."""

import numpy as np
import pandas as pd
import pytest

from delrec_kit.evaluation import gap_table, slice_table, slices_by_method

USERS = 40
PLACE, COMMON = np.arange(USERS) % 20, np.arange(USERS) < 20
PATTERNS = np.where(COMMON, "common", "other")


def test_each_group_has_its_own_mean():
    history = np.array([1, 1, 5, 5, 9, 9])
    popularity = np.array([0, 0, 3, 3, 8, 8])
    ranks = {"a": np.array([1.0, 2, 1, 1, 3, 3]), "b": np.ones(6)}
    table = slice_table(ranks, history, popularity, np.array([1, 1, 1, 1, 1, 0], bool), seed=0)
    of_a = table[table["method"] == "a"].set_index(["slice", "group"])["value"]
    assert of_a["history length"].to_dict() == {"1": 0.5, "5": 1.0, "9": 0.0}
    assert of_a["training interactions of the answer"].to_dict() == {"0": 0.5, "3": 1.0, "8": 0.0}
    assert of_a["user"].to_dict() == {"trains": pytest.approx(0.6), "cold": 0.0}
    assert (table[table["method"] == "b"]["value"] == 1).all()
    cold = table[(table["group"] == "cold") & (table["method"] == "a")].iloc[0]
    assert cold["users"] == 1 and np.isnan(cold["low"]), "one user has no interval"


def test_users_are_split_into_thirds_without_loss():
    rng = np.random.default_rng(0)
    ranks = {"a": rng.integers(1, 15, 999).astype(float)}
    table = slice_table(ranks, rng.integers(1, 300, 999), rng.integers(0, 50, 999), np.ones(999, bool), seed=0)
    by_slice = table.groupby("slice")["users"]
    assert (by_slice.sum() == 999).all()
    assert by_slice.get_group("history length").between(310, 356).all()
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()


@pytest.mark.parametrize("settings", [[], ["b", "a"]])
def test_the_table_that_notebooks_show_is_in_order_of_number_and_of_the_comparison(settings):
    groups = [("history length", group) for group in ("100–300", "9–12", "13")] + [("answer", "0"), ("answer", "58–9")]
    rows = [
        {"slice": slice, "group": group, "users": 3, "method": method, "value": len(group) + len(method), **of}
        for of in ([{"settings": name} for name in settings] or [{}])
        for slice, group in groups
        for method in ("teacher", "llm_zero_shot", "delrec")
    ]
    table = slices_by_method(pd.DataFrame(rows, index=range(7, 7 + len(rows))))
    methods = ["teacher", "llm_zero_shot", "delrec"]
    assert list(table.index) == ([(name, of) for name in settings for of in methods] if settings else methods)
    sizes = [("history length", "9–12 (3)"), ("history length", "13 (3)"), ("history length", "100–300 (3)")]
    assert list(table.columns) == [*sizes, ("answer", "0 (3)"), ("answer", "58–9 (3)")]
    assert (table.xs("delrec", level="method") if settings else table.loc[["delrec"]]).to_numpy().tolist() == [
        [len(group) + 6 for _, group in (groups[1], groups[2], groups[0], *groups[3:])]
    ] * max(1, len(settings))


def ranks_of(**hits):
    return {name: np.where(of, 1.0, 3.0) for name, of in hits.items()}


def test_the_part_of_the_gap_is_that_of_the_hits():
    """Of 20 answers of each pattern the start hits 4, the oracle 16, the method 10 of one pattern, 4 of the other."""
    half = np.where(COMMON, PLACE < 10, PLACE < 4)
    table = gap_table(ranks_of(start=PLACE < 4, oracle=PLACE < 16, half=half), PATTERNS, "start", seed=0)
    table = table.set_index("pattern")
    assert table["closed"].to_dict() == pytest.approx({"all": 0.25, "common": 0.5, "other": 0.0})
    assert table["users"].to_dict() == {"all": 40, "common": 20, "other": 20} and (table["method"] == "half").all()
    assert table.loc["common", "value"] == 0.5 and table.loc["common", "oracle"] == 0.8
    row = table.loc["common"]
    assert 0.1 < row["low"] < 0.5 < row["high"] < 0.9 and table.loc["other", "low"] == 0


def test_a_pattern_of_few_users_has_no_row():
    ranks = ranks_of(start=np.zeros(USERS), oracle=np.ones(USERS), x=np.ones(USERS))
    table = gap_table(ranks, ["a"] * 35 + ["b"] * 5, "start", seed=0)
    assert set(table["pattern"]) == {"all", "a"} and (table["closed"] == 1).all()


def test_a_pattern_whose_gap_may_be_chance_has_no_row():
    """The oracle is ahead of the start for 12 of 20 users of one pattern; of the other for 6, and behind for 4."""
    oracle = np.where(COMMON, PLACE < 12, (PLACE >= 4) & (PLACE < 10))
    ranks = ranks_of(start=~COMMON & (PLACE < 4), oracle=oracle, x=PLACE < 5)
    assert set(gap_table(ranks, PATTERNS, "start", seed=0)["pattern"]) == {"all", "common"}
