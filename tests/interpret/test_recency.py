"""Profiles of rankers whose answer is known to hang on one item of the history."""

import numpy as np
import pandas as pd
import pytest

from delrec_kit.data import Cases, Ragged
from delrec_kit.interpret import (
    distances,
    draw_stand_ins,
    leaves_some,
    plot_recency,
    recency_profile,
    recency_table,
    replaced,
)

N, STEPS = 12, 4
rng = np.random.default_rng(0)
CASES = Cases(np.arange(40), Ragged.from_lists([rng.permutation(N)[: 6 + u % 3] for u in range(40)]), np.zeros(40, int))


STAND_INS = np.array([rng.permutation(sorted(set(range(N)) - set(h)))[[0, 1, 0, 1]] for h in CASES.history])


def chooses(step):
    """Ranks first what the item ``step`` back says."""
    return lambda cases: 5.0 * np.eye(N)[[history[-step] for history in cases.history]]


def test_masking_an_item_leaves_every_other_in_its_place():
    two = Cases(np.arange(2), Ragged.from_lists([[1, 2, 3], [4, 5]]), np.zeros(2, int))
    assert [history.tolist() for history in replaced(two, 1, np.array([8, 9])).history] == [[1, 2, 8], [4, 9]]
    assert [history.tolist() for history in replaced(two, 2, np.array([8, 9])).history] == [[1, 8, 3], [9, 5]]
    assert [history.tolist() for history in two.history] == [[1, 2, 3], [4, 5]], "the cases are as they were"
    with pytest.raises(ValueError, match="no number 3"):
        replaced(two, 3, np.array([8, 9]))


def test_what_stands_in_is_new_to_the_user_and_no_candidate():
    cases, items = Cases(np.arange(2), Ragged.from_lists([[1, 2, 3], [4, 5]]), np.zeros(2, int)), [[6, 7], [6, 1]]
    drawn = draw_stand_ins(cases, np.array(items), 8, 50, seed=0)
    assert set(drawn[0]) == {4, 5, 8} and set(drawn[1]) == {2, 3, 7, 8}
    assert np.array_equal(drawn, draw_stand_ins(cases, np.array(items), 8, 50, seed=0))
    with pytest.raises(ValueError, match="whole catalogue"):
        draw_stand_ins(cases, np.array([[4, 5], [1, 2]]), 5, 1, seed=0)


def test_who_leaves_nothing_to_stand_in_is_told_apart():
    """In a small catalogue the profile is of the others, and of nobody where nobody is left."""
    cases, items = Cases(np.arange(2), Ragged.from_lists([[1, 2, 3], [4, 5]]), np.zeros(2, int)), np.array([[4, 5]] * 2)
    some = leaves_some(cases, items, 5)
    assert some.tolist() == [False, True]
    assert set(draw_stand_ins(cases.take(np.flatnonzero(some)), items[some], 5, 30, seed=0)[0]) == {1, 2, 3}
    assert draw_stand_ins(cases.take(np.arange(0)), items[:0], 5, 3, seed=0).shape == (0, 3)


@pytest.mark.parametrize("step", [1, 2, 4])
def test_the_item_that_decides_is_found_and_no_other(step):
    changed, moved = recency_profile(chooses(step), CASES, STAND_INS)
    assert changed[step - 1].all() and not np.delete(changed, step - 1, axis=0).any()
    share = np.exp(5) / (np.exp(5) + N - 1) - 1 / (np.exp(5) + N - 1)
    np.testing.assert_allclose(moved, np.where(changed, share, 0), atol=1e-6)


def test_a_ranker_that_counts_places_alone_has_no_profile():
    """Taking items out would move every place, and make it look as if each mattered."""
    by_length = lambda cases: 5.0 * np.eye(N)[cases.history.lengths % N]  # noqa: E731
    changed, _ = recency_profile(by_length, CASES, STAND_INS)
    assert not changed.any()


def test_the_distance_says_who_is_nearer_to_the_teacher():
    deaf = lambda cases: np.tile(np.arange(N), (len(cases), 1))  # noqa: E731
    rankers = {"teacher": chooses(1), "near": chooses(1), "far": chooses(3), "deaf": deaf}
    table = recency_table(rankers, CASES, STAND_INS)
    assert len(table) == 4 * STEPS * 40 and set(table["changed"]) == {0, 1}
    apart = distances(table, 200, 0).set_index("variant")
    assert apart["distance"].to_dict() == {"near": 0.0, "far": 0.5, "deaf": 0.25}
    assert (apart["low"] <= apart["fall"]).all() and (apart["fall"] <= apart["high"]).all()
    assert (apart["fall"] == [0.0, -0.5, -0.25]).all(), "against the first"
    figure, curves = plot_recency(table, 50)
    assert len(curves) == 4 * STEPS and (curves["users"] == 40).all()
    assert curves.set_index(["variant", "step"])["changed"][("far", 3)] == 1
    said = figure.get_suptitle().replace("\n", " ")
    assert "0.00 near" in said and "0.50 far" in said and "deaf farther by 0.25" in said


def test_the_fall_has_an_interval_that_chance_explains():
    """Rankers that change for a random half, fifth and half of the users: the third is nearer than the second by .3."""
    draws = np.random.default_rng(3).random((3, STEPS, 400)) < np.array([0.5, 0.2, 0.5])[:, None, None]
    at = [["teacher", "x", "y"], range(1, STEPS + 1), range(400)]
    index = pd.MultiIndex.from_product(at, names=["variant", "step", "user"])
    table = pd.DataFrame({"changed": draws.ravel().astype(int), "moved": 0.0}, index=index).reset_index()
    row = distances(table, 500, 0).iloc[1]
    assert 0.15 < row["low"] < 0.3 - row["chance"] < row["high"] < 0.35 and 0.01 < row["chance"] < 0.05


def test_what_few_users_show_by_chance_is_told():
    """Two rankers with the same profile are not at distance 0, but at the one that is said, by chance alone."""
    draws = np.random.default_rng(3).random((101, STEPS, 60)) < 0.4
    at = [["teacher", *map(str, range(100))], range(1, STEPS + 1), range(60)]
    index = pd.MultiIndex.from_product(at, names=["variant", "step", "user"])
    table = pd.DataFrame({"changed": draws.ravel().astype(int), "moved": 0.0}, index=index).reset_index()
    apart = distances(table, 50, 0)
    assert apart["distance"].mean() == pytest.approx(apart["chance"].mean(), rel=0.15) and apart["distance"].min() > 0
    falls = distances(table, 400, 0)
    assert ((falls["low"] <= 0) & (falls["high"] >= 0)).mean() > 0.9, "none is surely nearer than the first"


def test_short_histories_give_no_profile_rather_than_a_wrong_one():
    short = Cases(np.arange(3), Ragged.from_lists([[1, 2]] * 3), np.zeros(3, int))
    assert recency_table({"teacher": chooses(1)}, short, STAND_INS[:3]).empty
