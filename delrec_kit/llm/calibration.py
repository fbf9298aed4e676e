"""A title's score from three things that are known of it, weighed on validation cases.

A language model's likelihood of a title mixes how well the title suits the history with how common its words are. So
score(i) = a log p(title i | prompt) + b log p(title i | a prompt without a history) + c log popularity(i): a
conditional logit (McFadden 1974) with three weights, fitted a row (ours, beyond the paper). ``llm.prior=popularity`` is
a = c = 1 and b = 0.
"""

from dataclasses import replace

import numpy as np
import torch

from delrec_kit.data import Cases, Ragged, answer_index
from delrec_kit.evaluation import Fusion
from delrec_kit.llm.recommender import LlmRecommender

Weights = tuple[float, float, float]


def unprompted(recommender: LlmRecommender) -> np.ndarray:
    """(N+1,) float32: log p(title) behind the recommender's prompt without a history, P or list; 0 for padding, and for
    all titles where a model compares vectors, which say nothing of nobody."""
    if recommender.llm.ranks_all:
        return np.zeros(len(recommender.writer.table.lengths), dtype=np.float32)
    plain = replace(recommender, P=None, pattern=None, suggests=None, expects=None, weights=None, prior=None)
    scores = plain.scores(Cases.of_histories(Ragged.from_lists([[]])))[0]
    scores[0] = 0.0
    return scores


def fit(recommender: LlmRecommender, cases: Cases, items: np.ndarray, terms: np.ndarray) -> Weights:
    """The weights (a, b, c) that make the answers of the cases likeliest among items (U, m). terms (2, N+1): unprompted
    log-likelihoods and log popularity."""
    raw = replace(recommender, weights=None, prior=None).scores(cases, items)
    fusion = Fusion.fit(np.stack([raw, *terms[:, items]], axis=2), answer_index(items, cases.target))
    return tuple(float(w) for w in fusion.weights / fusion.spread)


def weighed(recommender: LlmRecommender, weights: Weights, terms: np.ndarray) -> LlmRecommender:
    """The recommender with the scores that ``weights`` make."""
    prior = np.asarray(weights[1:], dtype=np.float32) @ terms.astype(np.float32)
    return replace(recommender, prior=torch.from_numpy(prior).to(recommender.llm.device), weights=weights)
