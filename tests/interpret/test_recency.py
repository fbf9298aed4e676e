"""Profiles of rankers whose answer is known to hang on one item of the history."""

import numpy as np
import pandas as pd
import pytest

from delrec_kit.data import Cases, Ragged
from delrec_kit.interpret import (
    distances,
    draw_stand_ins,
    plot_recency,
    recency_profile,
    recency_table,
    replaced,
)

N, STEPS = 12, 4
rng = np.random.default_rng(0)
CASES = Cases.of_histories(Ragged.from_lists([rng.permutation(N)[: 6 + u % 3] for u in range(40)]), np.arange(40))
STAND_INS = np.array([rng.permutation(sorted(set(range(N)) - set(h)))[[0, 1, 0, 1]] for h in CASES.history])
ITEMS = np.tile(np.arange(N), (40, 1))
TWO = Cases.of_histories(Ragged.from_lists([[1, 2, 3], [4, 5]]))


class Ranks:
    """Ranks first the item that ``of`` makes of a history."""

    def __init__(self, of):
        self.of = of

    def scores(self, cases, items=None):
        return 5.0 * (items == np.array([self.of(history) for history in cases.history])[:, None])


def chooses(step):
    """Ranks first what the item ``step`` back says."""
    return Ranks(lambda history: history[-step])


def test_masking_an_item_leaves_every_other_in_its_place():
    assert [history.tolist() for history in replaced(TWO, 1, np.array([8, 9])).history] == [[1, 2, 8], [4, 9]]
    assert [history.tolist() for history in replaced(TWO, 2, np.array([8, 9])).history] == [[1, 8, 3], [9, 5]]
    assert [history.tolist() for history in TWO.history] == [[1, 2, 3], [4, 5]], "the cases are as they were"
    with pytest.raises(ValueError, match="no number 3"):
        replaced(TWO, 3, np.array([8, 9]))


def test_what_stands_in_is_new_to_the_user_and_no_candidate():
    items = np.array([[6, 7], [6, 1]])
    rows, drawn = draw_stand_ins(TWO, items, 8, 50, seed=0)
    assert rows.tolist() == [0, 1] and set(drawn[0]) == {4, 5, 8} and set(drawn[1]) == {2, 3, 7, 8}
    assert np.array_equal(drawn, draw_stand_ins(TWO, items, 8, 50, seed=0)[1])


def test_who_leaves_nothing_to_stand_in_is_left_out():
    """In a small catalogue the profile is of the others, and of nobody where nobody is left."""
    rows, drawn = draw_stand_ins(TWO, np.array([[4, 5]] * 2), 5, 30, seed=0)
    assert rows.tolist() == [1] and drawn.shape == (1, 30) and set(drawn[0]) == {1, 2, 3}
    rows, drawn = draw_stand_ins(TWO, np.array([[4, 5], [1, 2]]), 5, 3, seed=0)
    assert rows.tolist() == [1] and set(drawn[0]) == {3}
    assert draw_stand_ins(TWO.take(np.array([0])), np.array([[4, 5]]), 5, 3, seed=0)[1].shape == (0, 3)


@pytest.mark.parametrize("step", [1, 2, 4])
def test_the_item_that_decides_is_found_and_no_other(step):
    changed, moved = recency_profile(chooses(step), CASES, ITEMS, STAND_INS)
    assert changed[step - 1].all() and not np.delete(changed, step - 1, axis=0).any()
    share = np.exp(5) / (np.exp(5) + N - 1) - 1 / (np.exp(5) + N - 1)
    np.testing.assert_allclose(moved, np.where(changed, share, 0), atol=1e-6)


def test_a_ranker_that_counts_places_alone_has_no_profile():
    """Taking items out would move every place, and make it look as if each mattered."""
    assert not recency_profile(Ranks(lambda history: len(history) % N), CASES, ITEMS, STAND_INS)[0].any()


def test_the_distance_says_who_is_nearer_to_the_teacher():
    rankers = {"teacher": chooses(1), "near": chooses(1), "far": chooses(3), "deaf": Ranks(lambda history: N - 1)}
    table = recency_table(rankers, CASES, ITEMS, STAND_INS)
    assert len(table) == 4 * STEPS * 40 and set(table["changed"]) == {0, 1}
    apart = distances(table, 200, 0).set_index("variant")
    assert apart["distance"].to_dict() == {"near": 0.0, "far": 0.5, "deaf": 0.25}
    assert (apart["low"] <= apart["fall"]).all() and (apart["fall"] <= apart["high"]).all()
    assert (apart["fall"] == [0.0, -0.5, -0.25]).all(), "against the first"
    figure, curves = plot_recency(table, 50)
    assert len(curves) == 4 * STEPS and (curves["users"] == 40).all()
    assert curves.set_index(["variant", "step"])["changed"][("far", 3)] == 1
    said = figure.get_suptitle().replace("\n", " ")
    assert "0.00 near" in said and "0.50 far" in said and "deaf farther than near, by 0.25" in said


def random_profiles(shares, users):
    """A table of rankers, "teacher" first, of which each changes its mind for a random share of the users."""
    draws = np.random.default_rng(3).random((len(shares), STEPS, users)) < np.array(shares)[:, None, None]
    at = [["teacher", *map(str, range(len(shares) - 1))], range(1, STEPS + 1), range(users)]
    index = pd.MultiIndex.from_product(at, names=["variant", "step", "user"])
    return pd.DataFrame({"changed": draws.ravel().astype(int), "moved": 0.0}, index=index).reset_index()


def test_the_fall_has_an_interval_that_chance_explains():
    """The third changes as often as the teacher, the second does by .3 less: the third is nearer by that."""
    row = distances(random_profiles([0.5, 0.2, 0.5], 400), 500, 0).iloc[1]
    assert 0.15 < row["low"] < 0.3 - row["chance"] < row["high"] < 0.35 and 0.01 < row["chance"] < 0.05


def test_what_few_users_show_by_chance_is_said():
    """Two rankers with the same profile are not at distance 0, but at the one that is said, by chance alone."""
    apart = distances(random_profiles([0.4] * 101, 60), 400, 0)
    assert apart["distance"].mean() == pytest.approx(apart["chance"].mean(), rel=0.15) and apart["distance"].min() > 0
    assert ((apart["low"] <= 0) & (apart["high"] >= 0)).mean() > 0.9, "none is surely nearer than the first"


def test_short_histories_give_no_profile_rather_than_a_wrong_one():
    short = Cases.of_histories(Ragged.from_lists([[1, 2]] * 3))
    assert recency_table({"teacher": chooses(1)}, short, ITEMS[:3], STAND_INS[:3]).empty
