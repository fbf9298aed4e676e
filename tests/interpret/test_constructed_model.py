"""A T5 whose weights are set by hand so that its answer depends on one known token: every explanation must find it."""

import numpy as np
import pytest
import torch

from delrec_kit.interpret import (
    attention_by_piece,
    deletion_curves,
    faithfulness_table,
    insertion_curves,
    integrated_gradients,
    leave_one_out,
)
from delrec_kit.llm import LlmRecommender, SoftPrompt

USERS, K, MARKED = 6, 3, 6  # item 6 is the word "Rising", which no other title here has
MARK, SAME, SAID, START = range(4)  # directions: the deciding word's, every word's, what was found, where titles begin
TITLES = [3, *range(7, 19)]


@pytest.fixture
def model(plain_llm):
    """Where a title begins the model looks for the mark and, if it finds it, says "Silent"; it knows nothing else."""
    model, words = plain_llm.model, plain_llm.tokenizer.convert_tokens_to_ids
    with torch.no_grad():
        for name, weights in model.named_parameters():
            weights.fill_(1.0 if "layer_norm" in name else 0.0)
        table = plain_llm.embeddings.weight
        table[:, SAME] = 1.0
        table[:, 4:] = 0.05 * torch.randn(table[:, 4:].shape, generator=torch.Generator().manual_seed(0))
        table[words("<pad>"), START] = 1.0
        table[words("Rising"), MARK] = 1.0
        for block in model.decoder.block:
            cross = block.layer[1].EncDecAttention
            for head in range(4):
                cross.q.weight[16 * head, START] = 0.7
                cross.k.weight[16 * head, MARK] = 0.5
                cross.v.weight[16 * head, MARK] = 1.0
                cross.o.weight[SAID, 16 * head] = 0.3
        model.lm_head.weight[words("Silent"), SAID] = 3.0  # more than what shorter titles have ahead
    return plain_llm


def constructed(kind):
    """Histories, candidates and P in which the mark stands in one title of the history, one soft token or one
    candidate, and which piece it is."""
    rng, vectors = np.random.default_rng(0), torch.zeros(K, 64)
    histories = [rng.permutation(TITLES)[:5] for _ in range(USERS)]
    places = rng.integers(0, 5, USERS) if kind == "history" else np.full(USERS, {"soft": 1, "candidates": 2}[kind])
    if kind == "history":
        for history, place in zip(histories, places, strict=True):
            history[place] = MARKED
    vectors[:, SAME] = 1.0
    vectors[1, MARK] = float(kind == "soft")
    items = np.array([[5, 4, MARKED if kind == "candidates" else 1]] * USERS)
    return histories, items, SoftPrompt(vectors).requires_grad_(False), places


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["history", "soft", "candidates"])
def test_every_explanation_finds_the_token_and_the_test_believes_it(model, writer, question, kind):
    histories, items, soft, places = constructed(kind)
    asked = question(LlmRecommender(model, writer, soft), histories, items)
    assert (asked.choice[0] == 1).all(), "the answer is Silent Harbour"
    seen, (shares, sums) = attention_by_piece(asked), integrated_gradients(asked)
    explanations = {
        "effect": leave_one_out(asked)["effect"],
        "gradients": shares["gradients"],
        "attention": seen["attention"],
        "rollout": seen["rollout"],
    }
    for name, values in explanations.items():
        most = seen.loc[values.groupby(seen["user"]).idxmax()]
        assert (most["name"] == kind).all() and (most["index"] == places).all(), name
    assert (sums["delta"].abs() < 0.2 * sums["total"].abs()).all()
    wrong = {f"not {name}": -values for name, values in explanations.items()}
    for curves in (deletion_curves, insertion_curves):
        table = faithfulness_table(curves(asked, explanations | wrong, seed=0), 200, 0).set_index("explanation")
        assert table.loc[list(explanations), "faithful"].all() and not table.loc[list(wrong), "faithful"].any()
