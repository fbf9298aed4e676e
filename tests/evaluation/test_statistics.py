import numpy as np
from scipy import stats

from delrec_kit.evaluation.statistics import bootstrap_intervals, holm, sign_flip_p


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    samples = (rng.random((400, 200)) < 0.3).astype(float)
    low, high = bootstrap_intervals(samples, seed=1, resamples=500)
    assert 0.91 <= np.mean((low <= 0.3) & (high >= 0.3)) <= 0.98


def test_intervals_agree_with_the_normal_approximation():
    values = np.random.default_rng(1).normal(2.0, 1.0, (1, 2000))
    low, high = bootstrap_intervals(values, seed=0, resamples=2000)
    error = 1.96 * values.std() / np.sqrt(2000)
    assert abs(low[0] - (values.mean() - error)) < 0.005
    assert abs(high[0] - (values.mean() + error)) < 0.005


def test_a_constant_has_no_width_and_p_of_one():
    low, high = bootstrap_intervals(np.full((2, 10), 0.25), seed=0, resamples=50)
    assert low.tolist() == high.tolist() == [0.25, 0.25]
    assert sign_flip_p(np.zeros((2, 10)), seed=0, resamples=200).tolist() == [1.0, 1.0]


def test_the_sign_flip_test_is_exact_for_few_users():
    # all 2^5 sign patterns: only the observed one and its mirror are as extreme
    assert np.allclose(sign_flip_p(np.array([[1.0, 2.0, 3.0, 4.0, 5.0]]), seed=0, resamples=2000), 2 / 32)


def test_p_values_agree_with_a_t_test_and_are_uniform_under_the_null():
    rng = np.random.default_rng(2)
    shifted = rng.normal(0.1, 1.0, (1, 500))
    assert abs(sign_flip_p(shifted, seed=0, resamples=4000)[0] - stats.ttest_1samp(shifted[0], 0).pvalue) < 0.01
    null = sign_flip_p(rng.normal(0, 1, (300, 80)), seed=0, resamples=400)
    assert 0.02 <= (null < 0.05).mean() <= 0.09
    assert stats.kstest(null, "uniform").pvalue > 0.01


def test_a_seed_repeats_exactly_and_another_differs():
    values = np.random.default_rng(3).random((3, 50))
    first, again = (bootstrap_intervals(values, seed=5, resamples=100) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, bootstrap_intervals(values, seed=6, resamples=100))


def test_many_rows_leave_room_for_their_correction():
    """A gain that cannot be chance stays sure beside a hundred others: the smallest p is not bounded by the draws."""
    rng = np.random.default_rng(4)
    differences = np.concatenate([rng.normal(0.5, 1.0, (1, 300)), rng.normal(0, 1, (119, 300))])
    corrected = holm(sign_flip_p(differences, seed=0, resamples=2000))
    assert corrected[0] < 0.01 and (corrected[1:] > 0.05).all()
