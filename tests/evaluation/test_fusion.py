"""Fusion finds the weight that made the answers, and keeps a useless ranker out."""

import numpy as np
import pytest

from delrec_kit.evaluation import Fusion, by_exposure, context, expected_ranks, features

U, M = 3000, 10


@pytest.fixture
def worlds():
    """Two rankers' scores and answers drawn from softmax(0.5 llm + 1.5 teacher), twice: to fit and to test."""
    rng = np.random.default_rng(0)
    llm, teacher = rng.normal(size=(2, 2 * U, M))
    chances = np.exp(0.5 * llm + 1.5 * teacher)
    chances /= chances.sum(1, keepdims=True)
    answer = (rng.random((2 * U, 1)) < chances.cumsum(1)).argmax(1)
    about = context(rng.integers(1, 50, 2 * U), rng.integers(1, 99, (2 * U, M)), rng.integers(0, 500, 100))
    parts = (slice(0, U), slice(U, None))
    return [(llm[part], teacher[part], answer[part], about[part]) for part in parts]


def hits(scores, answer):
    return (expected_ranks(scores, answer) == 1).mean()


def test_the_weight_is_recovered_and_both_beat_each(worlds):
    (llm, teacher, answer, about), (llm2, teacher2, answer2, about2) = worlds
    fusion = Fusion.fit(features(llm, teacher, about, False), answer)
    assert fusion.share == pytest.approx(0.25, abs=0.04)
    fused = fusion.scores(features(llm2, teacher2, about2, False))
    assert hits(fused, answer2) > hits(teacher2, answer2) + 0.01 > hits(llm2, answer2) + 0.1


def test_noise_gets_no_weight(worlds):
    (_, teacher, answer, about), (_, teacher2, answer2, about2) = worlds
    noise = np.random.default_rng(1).normal(size=(2, U, M))
    fusion = Fusion.fit(features(noise[0], teacher, about, False), answer)
    assert fusion.share < 0.05
    assert hits(fusion.scores(features(noise[1], teacher2, about2, False)), answer2) > hits(teacher2, answer2) - 0.01


def test_the_gate_learns_for_whom_to_trust_whom():
    rng = np.random.default_rng(2)
    llm, teacher = rng.normal(size=(2, 2 * U, M))
    length = rng.choice([1, 60], 2 * U)
    truth = np.where(length[:, None] == 1, llm, teacher)
    answer = (2 * truth + rng.gumbel(size=truth.shape)).argmax(1)
    about = context(length, rng.integers(1, 9, (2 * U, M)), np.ones(10, int))
    fit, test = slice(0, U), slice(U, None)
    known = [features(llm, teacher, about, gated) for gated in (False, True)]
    scores = [Fusion.fit(of[fit], answer[fit]).scores(of[test]) for of in known]
    assert hits(scores[1], answer[test]) > hits(scores[0], answer[test]) + 0.05


def test_one_rule_believes_each_ranker_where_it_can_know():
    rng = np.random.default_rng(4)
    llm, teacher = rng.normal(size=(2, 2 * U, M))
    counts = rng.choice([0, 500], (2 * U, M))
    truth = np.where(counts == 0, llm, teacher) + 1.5 * (counts > 0)
    answer = (2 * truth + rng.gumbel(size=truth.shape)).argmax(1)
    known = by_exposure([llm, teacher], counts)
    fit, test = slice(0, U), slice(U, None)
    fused = Fusion.fit(known[fit], answer[fit]).scores(known[test])
    best = hits(2 * truth[test], answer[test])
    assert hits(fused, answer[test]) > best - 0.02 > max(hits(s[test], answer[test]) for s in (llm, teacher)) + 0.2
    cold = np.flatnonzero((counts[test] == 0).all(1) | (counts[test] == 0).sum(1) >= 7)
    inside = np.where(counts[test][cold] == 0, fused[cold], np.nan)
    rank = [np.corrcoef(row[~np.isnan(row)], own[~np.isnan(row)])[0, 1] for row, own in zip(inside, llm[test][cold])]
    assert np.mean(rank) > 0.95, "among unseen items the teacher's scores change nothing"
