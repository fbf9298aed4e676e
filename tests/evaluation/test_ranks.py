import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from delrec_kit.data.ragged import Ragged
from delrec_kit.evaluation import METRICS, expected_ranks, full_ranks, means, per_user

RANKS = st.lists(st.integers(2, 60).map(lambda r: r / 2), min_size=1, max_size=20).map(np.array)
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


def test_values_worked_by_hand():
    values = per_user(np.array([1.0, 2.0, 3.0, 6.0, 10.0, 11.0, 1.5]))
    assert values["HR@1"].tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert values["HR@5"].tolist() == [1, 1, 1, 0, 0, 0, 1]
    assert values["HR@10"].tolist() == [1, 1, 1, 1, 1, 0, 1]
    assert np.allclose(values["NDCG@5"], [1, 0.63092975, 0.5, 0, 0, 0, 0.75647079])
    assert np.allclose(values["NDCG@10"], [1, 0.63092975, 0.5, 0.35620719, 0.28906483, 0, 0.75647079])
    assert np.allclose(values["MRR"], [1, 1 / 2, 1 / 3, 1 / 6, 1 / 10, 1 / 11, 2 / 3])


def test_means_are_plain_floats_in_order():
    found = means(np.array([1.0, 4.0]))
    assert list(found) == METRICS
    assert found["HR@1"] == 0.5 and found["MRR"] == 0.625


@given(RANKS)
def test_bounds_and_order_between_metrics(ranks):
    values = per_user(ranks)
    assert all(((v >= 0) & (v <= 1)).all() for v in values.values())
    assert (values["HR@1"] <= values["HR@5"]).all() and (values["HR@5"] <= values["HR@10"]).all()
    assert (values["NDCG@5"] <= values["HR@5"]).all() and (values["NDCG@10"] <= values["HR@10"]).all()
    assert (values["HR@1"] <= values["MRR"]).all()


@given(RANKS, st.floats(0, 20))
def test_a_worse_rank_is_never_worth_more(ranks, by):
    better, worse = per_user(ranks), per_user(ranks + by)
    assert all((worse[m] <= better[m]).all() for m in METRICS)


@given(RANKS, st.randoms(use_true_random=False))
def test_the_order_of_users_does_not_matter(ranks, random):
    shuffled = random.sample(list(ranks), len(ranks))
    assert all(abs(a - b) < 1e-12 for a, b in zip(means(ranks).values(), means(np.array(shuffled)).values()))


def test_a_model_that_scores_nothing_or_at_random_gets_no_credit_at_one():
    rng, answer = np.random.default_rng(0), np.zeros(3000, dtype=int)
    assert means(expected_ranks(np.zeros((3000, 15)), answer))["HR@1"] == 0.0
    assert abs(means(expected_ranks(rng.random((3000, 15)), answer))["HR@1"] - 1 / 15) < 0.015


def test_agreement_with_ranx():
    ranx = pytest.importorskip("ranx", reason="ranx, an oracle for the metrics, is not installed")
    scores = np.random.default_rng(2).random((30, 15))
    qrels = ranx.Qrels({str(u): {"0": 1} for u in range(30)})
    run = ranx.Run({str(u): {str(c): float(s) for c, s in enumerate(row)} for u, row in enumerate(scores)})
    theirs = ranx.evaluate(qrels, run, ["hit_rate@1", "hit_rate@5", "hit_rate@10", "ndcg@5", "ndcg@10", "mrr"])
    ours = means(expected_ranks(scores, np.zeros(30, dtype=int)))
    assert np.allclose(list(ours.values()), list(theirs.values()))


@pytest.mark.parametrize("ranks", [[0.5], [np.nan], [[0.0]], [[[1.0]]]])
def test_impossible_ranks_are_refused(ranks):
    with pytest.raises(ValueError, match="ranks"):
        per_user(np.array(ranks))
