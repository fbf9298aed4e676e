import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from delrec_kit.data.ragged import Ragged
from delrec_kit.evaluation import expected_ranks, full_ranks

SCORES = hnp.arrays(np.float64, (4, 7), elements=st.integers(-3, 3).map(float))


@pytest.mark.parametrize(
    ("scores", "answer", "rank"),
    [
        ([3.0, 1.0, 2.0], 0, 1.0),
        ([3.0, 1.0, 2.0], 1, 3.0),
        ([2.0, 2.0, 1.0], 0, 1.5),
        ([2.0, 2.0, 2.0, 5.0], 1, 3.0),
        ([0.0] * 15, 4, 8.0),
        ([-np.inf, -np.inf, 1.0], 0, 2.5),
    ],
)
def test_ranks_worked_by_hand(scores, answer, rank):
    assert expected_ranks(np.array([scores]), np.array([answer])).tolist() == [rank]


@given(SCORES, st.permutations(range(7)), st.integers(0, 6))
def test_the_order_of_candidates_does_not_matter(scores, order, answer):
    order = np.array(order)
    moved = np.full(4, int(np.flatnonzero(order == answer)[0]))
    assert np.array_equal(expected_ranks(scores, np.full(4, answer)), expected_ranks(scores[:, order], moved))


@given(SCORES)
def test_ranks_of_all_candidates_add_up(scores):
    total = sum(expected_ranks(scores, np.full(4, column)) for column in range(7))
    assert np.allclose(total, 7 * 8 / 2)


@given(SCORES, st.integers(0, 6), st.integers(0, 6), st.floats(0, 5))
def test_raising_the_answer_never_harms_it(scores, answer, other, by):
    raised = scores.copy()
    raised[:, answer] += by
    before, after = expected_ranks(scores, np.full(4, answer)), expected_ranks(raised, np.full(4, answer))
    assert np.all((after >= 1) & (after <= before))


def test_expected_rank_is_the_mean_over_random_tie_breaks():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 3, (1, 9)).astype(float)
    broken = [expected_ranks(scores + rng.random((1, 9)) * 1e-6, np.array([3]))[0] for _ in range(4000)]
    assert abs(np.mean(broken) - expected_ranks(scores, np.array([3]))[0]) < 0.15


def test_full_ranks_leave_out_the_history_and_the_padding():
    scores = np.array([[9.0, 5.0, 4.0, 3.0, 2.0, 2.0]])
    assert full_ranks(scores, np.array([3]), Ragged.from_lists([[1]])).tolist() == [2.0]
    assert full_ranks(scores, np.array([4]), Ragged.from_lists([[1, 2]])).tolist() == [2.5]
    assert full_ranks(scores, np.array([1]), Ragged.from_lists([[]])).tolist() == [1.0]


def test_a_repeated_choice_is_still_ranked():
    scores = np.array([[0.0, 5.0, 4.0, 3.0]])
    assert full_ranks(scores, np.array([2]), Ragged.from_lists([[1, 2]])).tolist() == [1.0]


def test_full_ranks_equal_expected_ranks_when_nothing_is_left_out():
    rng = np.random.default_rng(1)
    scores, target = rng.integers(0, 5, (6, 12)).astype(float), rng.integers(1, 12, 6)
    none = Ragged.from_lists([[]] * 6)
    assert np.array_equal(full_ranks(scores, target, none), expected_ranks(scores[:, 1:], target - 1))


def test_nan_is_refused_and_padding_may_be_anything():
    with pytest.raises(ValueError, match="row 1"):
        expected_ranks(np.array([[0.0, 1.0], [np.nan, 1.0]]), np.array([0, 0]))
    with pytest.raises(ValueError, match="NaN"):
        full_ranks(np.array([[0.0, np.nan]]), np.array([1]), Ragged.from_lists([[]]))
    assert full_ranks(np.array([[np.nan, 1.0]]), np.array([1]), Ragged.from_lists([[]])).tolist() == [1.0]


@pytest.mark.parametrize("answer", [[2], [-1], [0, 0]])
def test_answers_that_do_not_fit_are_refused(answer):
    with pytest.raises(ValueError, match="answer"):
        expected_ranks(np.zeros((1, 2)), np.array(answer))
