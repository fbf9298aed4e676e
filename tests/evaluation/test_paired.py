"""The one paired test: known answers, agreement with other tests, and one meaning of sure."""

import time

import numpy as np
import pytest
from scipy import stats

from delrec_kit.evaluation.paired import bootstrap_intervals, holm, judged, paired_test, sign_flip_p


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    samples = (rng.random((400, 200)) < 0.3).astype(float)
    low, high = bootstrap_intervals(samples, seed=1, resamples=500)
    assert 0.91 <= np.mean((low <= 0.3) & (high >= 0.3)) <= 0.98


def test_intervals_agree_with_the_normal_approximation():
    values = np.random.default_rng(1).normal(2.0, 1.0, (1, 2000))
    low, high = bootstrap_intervals(values, seed=0)
    error = 1.96 * values.std() / np.sqrt(2000)
    assert abs(low[0] - (values.mean() - error)) < 0.005
    assert abs(high[0] - (values.mean() + error)) < 0.005


def test_a_constant_has_no_width_and_p_of_one():
    table = paired_test([np.full(10, 0.25), np.zeros(20)], seed=0)
    assert table[["value", "low", "high"]].values.tolist() == [[0.25] * 3, [0.0] * 3]
    assert table["p"].tolist() == [2 / 2**10, 1.0] and table["users"].tolist() == [10, 20]


def test_few_users_are_tested_exactly():
    """Of all 2^5 flips only the observed and its mirror are as extreme; of [3, -1, 2] two are on either side."""
    assert sign_flip_p(np.array([[1.0, 2.0, 3.0, 4.0, 5.0]]), seed=0).tolist() == [2 / 32]
    assert sign_flip_p(np.array([[3.0, -1.0, 2.0], [1.0, 1.0, 1.0]]), seed=0).tolist() == [4 / 8, 2 / 8]


def test_p_values_agree_with_a_t_test_and_are_uniform_under_the_null():
    rng = np.random.default_rng(2)
    shifted = rng.normal(0.1, 1.0, (1, 500))
    assert abs(sign_flip_p(shifted, seed=0)[0] - stats.ttest_1samp(shifted[0], 0).pvalue) < 0.01
    null = sign_flip_p(rng.normal(0, 1, (300, 80)), seed=0)
    assert 0.02 <= (null < 0.05).mean() <= 0.09
    assert stats.kstest(null, "uniform").pvalue > 0.01


def test_rows_together_are_as_rows_alone_and_a_seed_repeats_exactly():
    values = np.random.default_rng(3).normal(0.1, 1, (3, 50))
    together = paired_test(values, seed=5)
    alone = [paired_test([row], seed=5).iloc[0] for row in values]
    assert together["p"].tolist() == [row["p"] for row in alone] and together.equals(paired_test(values, seed=5))
    assert np.allclose(together["low"], [row["low"] for row in alone], rtol=0, atol=1e-12)
    assert not together["p"].equals(paired_test(values, seed=6)["p"])


def test_holm_is_stepwise_and_never_above_one():
    assert holm(np.array([0.01, 0.04, 0.03, 0.9])).tolist() == pytest.approx([0.04, 0.09, 0.09, 0.9])
    assert holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]


def test_a_large_family_leaves_a_sure_gain_and_takes_little_time():
    """60 pairs in two metrics of 943 users: one gain that cannot be chance, and 119 that are."""
    rng = np.random.default_rng(4)
    differences = np.concatenate([rng.normal(0.5, 1.0, (1, 943)), rng.normal(0, 1, (119, 943))])
    started = time.process_time()
    table = judged(paired_test(differences, seed=0))
    assert time.process_time() - started < 20
    assert table["p_holm"][0] < 0.01 and (table["p_holm"][1:] > 0.05).all()
    assert table["sure"].tolist() == [True] + [False] * 119
