"""What titles tell of items that no teacher has seen, and rows that need no language model."""

import numpy as np
import pytest
import torch

from delrec_kit.data import Cases, Ragged
from delrec_kit.settings.config import TeacherConfig
from delrec_kit.teachers import Content, Counted, LogShare, Teacher, knowing_more, popularity_from_titles
from delrec_kit.teachers.models import MODELS
from delrec_kit.teachers.unseen import from_titles

N, M, D = 80, 20, 6
CASES = Cases.of_histories(Ragged.from_lists([[1, 2, 3], [4], []]))


@pytest.fixture
def vectors():
    return np.concatenate([np.zeros((1, D)), np.random.default_rng(0).normal(size=(N + M, D))])


def test_a_linear_truth_is_found_and_what_is_not_seen_counts_for_nothing(vectors):
    truth = np.random.default_rng(1).normal(size=(D, 3))
    values, weights = vectors[1 : N + 1] @ truth + 2.0, np.ones(N)
    values[:5], weights[:5] = 1e6, 0.0
    np.testing.assert_allclose(from_titles(vectors, values, weights), vectors[N + 1 :] @ truth + 2.0, atol=0.02)


def test_popularity_of_the_seen_is_counted_and_of_the_unseen_expected(vectors):
    counts = np.append(0, np.exp(vectors[1 : N + 1, 0] + 3).round())
    found = popularity_from_titles(counts, vectors)
    assert (found[: N + 1] == counts).all() and found.min() >= 0
    assert np.corrcoef(np.log1p(found[N + 1 :]), vectors[N + 1 :, 0])[0, 1] > 0.95


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_teacher_that_knows_more_says_the_same_of_what_it_knew(name, vectors):
    config = TeacherConfig(name=name, width=8)
    teacher = Teacher(MODELS[name](N, config).eval(), config, N)
    torch.nn.init.normal_(teacher.model.items.weight)
    counts = np.append(0, np.arange(1, N + 1))
    before = teacher.scores(CASES)
    mean, told = (knowing_more(teacher, of, counts, M).scores(CASES) for of in (None, vectors))
    for after in (mean, told):
        np.testing.assert_allclose(after[:, : N + 1], before, rtol=1e-5, atol=1e-6)
    assert np.ptp(mean[:, N + 1 :], axis=1).max() < 1e-5, "the mean embedding tells no new item from another"
    assert np.ptp(told[:2, N + 1 :], axis=1).min() > 1e-3


def test_log_shares_mean_the_same_in_every_set(vectors):
    values = np.append(0.0, np.random.default_rng(2).normal(size=N + M))
    scores = LogShare(Counted(values), N).scores(CASES)
    np.testing.assert_allclose(np.exp(scores[:, 1 : N + 1]).sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.diff(scores[0, 1:]), np.diff(values[1:]), atol=1e-5)


def test_content_likes_what_is_like_the_last_titles_and_reads_as_many_as_help(vectors):
    vectors[50] = vectors[4] * 3
    scores = Content(vectors, recent=1).scores(CASES)
    assert (
        scores[1].argmax() in (4, 50)
        and scores[1, 50] == pytest.approx(1, abs=1e-5)
        and np.isneginf(scores[:, 0]).all()
    )
    rng = np.random.default_rng(3)
    histories = rng.integers(1, N, (200, 6))
    nearest = Content(vectors, recent=2).scores(Cases.of_histories(Ragged.from_lists(histories)))
    answers = nearest[:, N + 1 :].argmax(1) + N + 1
    items = np.tile(np.arange(N + 1, N + M + 1), (200, 1))
    chosen = Content.chosen(vectors, Cases.of_histories(Ragged.from_lists(histories)), items, answers - N - 1)
    assert chosen.recent == 2
