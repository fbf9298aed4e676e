"""The popularity prior: counted right, and on top of every score, whoever asks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from delrec_kit.data import Cases, Ragged
from delrec_kit.llm import LlmRecommender, popularity_prior

CANDIDATES = np.array([[1, 2, 4, 5, 3], [6, 5, 2, 1, 8]])


def test_shares_of_the_training_interactions_by_hand():
    train = Ragged.from_lists([[1, 2, 2], [2, 3]])
    canonical = np.array([0, 1, 2, 1, 4])  # item 3 bears the title of item 1, item 4 was never chosen
    prior = popularity_prior(train, canonical)
    assert prior.dtype == np.float32 and prior[0] == 0
    # five interactions and one more for each of four items; items 1 and 3 share theirs
    np.testing.assert_allclose(np.exp(prior[1:]), np.array([4, 4, 4, 1]) / 9, rtol=1e-6)
    plain = popularity_prior(train, np.arange(5))
    assert np.exp(plain[1:]).sum() == pytest.approx(1)


def test_it_is_added_to_the_candidates_and_to_the_catalogue(plain_llm, writer):
    cases = Cases.of_histories(Ragged.from_lists([[7, 8], [9]]))
    counted = popularity_prior(Ragged.from_lists([[1, 2, 2, 5, 5, 5]]), writer.table.canonical)
    without = LlmRecommender(plain_llm, writer)
    having = replace(without, prior=torch.from_numpy(counted))
    scores = having.scores(cases, CANDIDATES)
    np.testing.assert_allclose(scores - without.scores(cases, CANDIDATES), counted[CANDIDATES], atol=1e-4)
    assert scores[0, 0] == scores[0, 4], "equal titles tie"
    gained = having.scores(cases)[:, 1:] - without.scores(cases)[:, 1:]
    np.testing.assert_allclose(gained, np.tile(counted[1:], (2, 1)), atol=1e-4)
