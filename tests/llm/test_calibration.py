"""Calibrated scores: three weights, found where they are known, the same for whoever asks; prompts without lists."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from delrec_kit.data import Cases, Ragged, answer_index
from delrec_kit.llm import LlmRecommender, calibration

RNG = np.random.default_rng(0)
U, M, N = 600, 6, 18
ITEMS = np.stack([RNG.permutation(N)[:M] + 1 for _ in range(U)])
TERMS = np.stack([np.append(0, RNG.normal(0, 2, N)), np.append(0, RNG.normal(0, 1, N))])
TRUTH = (1.5, -0.8, 0.6)


class Says(LlmRecommender):
    """A recommender whose model says what it is told to."""

    def scores(self, cases, items=None):
        said = np.random.default_rng(1).normal(0, 1, (U, N + 1))
        raw = np.take_along_axis(said, items, 1)
        return raw if self.weights is None and self.prior is None else self.scale * raw + self.prior.numpy()[items]


def test_weights_that_made_the_choices_are_found(plain_llm, writer):
    recommender = Says(plain_llm, writer)
    raw = recommender.scores(None, ITEMS)
    utility = TRUTH[0] * raw + TRUTH[1] * TERMS[0][ITEMS] + TRUTH[2] * TERMS[1][ITEMS]
    chosen = (utility + RNG.gumbel(size=utility.shape)).argmax(1)
    target = ITEMS[np.arange(U), chosen]
    cases = Cases(np.arange(U), Ragged.from_lists([[1]] * U), target)
    weights = calibration.fit(recommender, cases, ITEMS, TERMS)
    np.testing.assert_allclose(weights, TRUTH, atol=0.3)
    scored = calibration.weighed(recommender, weights, TERMS).scores(None, ITEMS)
    likely = lambda scores: log_softmax(scores, 1)[np.arange(U), answer_index(ITEMS, target)].mean()  # noqa: E731
    assert likely(scored) > likely(raw) + 0.1


def test_scale_and_prior_reach_candidates_and_catalogue_alike(plain_llm, writer):
    cases, items = Cases.of_histories(Ragged.from_lists([[7, 8], [9]])), np.array([[1, 2, 4], [6, 5, 2]])
    plain = LlmRecommender(plain_llm, writer)
    canonical = writer.table.canonical  # equal titles share what is known of them
    terms = np.random.default_rng(2).normal(size=(2, len(canonical)))[:, canonical]
    weighed = calibration.weighed(plain, (0.5, 2.0, -1.0), terms)
    offset = (2.0 * terms[0] - terms[1]).astype(np.float32)
    for asked in (items, None):
        before, after = plain.scores(cases, asked), weighed.scores(cases, asked)
        added = offset[items] if asked is not None else np.tile(offset[1:], (2, 1))
        cut = slice(None) if asked is not None else slice(1, None)
        np.testing.assert_allclose(after[:, cut], 0.5 * before[:, cut] + added, atol=1e-4)


def test_what_is_said_of_nobody_hears_neither_history_nor_p(plain_llm, writer):
    plain = LlmRecommender(plain_llm, writer)
    said = calibration.unprompted(plain)
    assert said.shape == writer.table.lengths.shape and said[0] == 0 and (said[1:] < 0).all()
    prior = torch.full((len(said),), 5.0)
    np.testing.assert_array_equal(said, calibration.unprompted(replace(plain, prior=prior, weights=(3.0, 0.0, 0.0))))


@pytest.mark.parametrize("lists", [True, False])
def test_a_prompt_lists_its_candidates_only_where_it_is_told_to(plain_llm, writer, monkeypatch, lists):
    monkeypatch.setattr(plain_llm, "lists", lists, raising=False)
    prompt = LlmRecommender(plain_llm, writer).ask([1, 2], [4, 5, 6])
    assert any(segment.name == "candidates" for segment in prompt.segments) == lists
