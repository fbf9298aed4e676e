"""A T5 whose weights are set by hand so that its answer depends on one known token: every explanation must find it."""

import numpy as np
import pytest
import torch

from delrec_kit.interpret import (
    attention_by_piece,
    choices,
    deletion_curves,
    faithfulness_table,
    insertion_curves,
    integrated_gradients,
    leave_one_out,
    pieces_of,
)
from delrec_kit.llm import SoftPrompt, score_candidates

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


def asked(writer, kind):
    """Prompts in which the mark stands in one title of the history, one soft token or one candidate; and P, which piece
    it is, and the candidates."""
    rng, candidates = np.random.default_rng(0), [5, 4, 1]
    if kind == "candidates":
        candidates[2] = MARKED
    histories = [rng.permutation(TITLES)[:5] for _ in range(USERS)]
    places = rng.integers(0, 5, USERS) if kind == "history" else np.full(USERS, {"soft": 1, "candidates": 2}[kind])
    for history, place in zip(histories, places, strict=True):
        if kind == "history":
            history[place] = MARKED
    items = np.array([candidates] * USERS)
    prompts = [writer.write("final", {"history": h, "candidates": candidates}, K) for h in histories]
    vectors = torch.zeros(K, 64)
    vectors[:, SAME] = 1.0
    if kind == "soft":
        vectors[1, MARK] = 1.0
    return prompts, SoftPrompt(vectors).requires_grad_(False), places, items


@pytest.mark.parametrize("kind", ["history", "soft", "candidates"])
def test_every_explanation_finds_the_token_and_the_test_believes_it(model, writer, kind):
    prompts, soft, places, items = asked(writer, kind)

    def score(some, users):
        return score_candidates(model, writer, some, items[users], soft)

    first = choices(score, prompts)[0]
    assert (first == 1).all(), "the answer is Silent Harbour"
    seen = attention_by_piece(model, writer, prompts, items, soft, first)
    shares, sums = integrated_gradients(model, writer, prompts, items, soft)
    told = {
        "effect": leave_one_out(score, prompts)["effect"],
        "gradients": shares["gradients"],
        "attention": seen["attention"],
        "rollout": seen["rollout"],
    }
    ends = np.cumsum([len(pieces_of(prompt)) for prompt in prompts])
    for name, values in told.items():
        for user, own in enumerate(np.split(values.to_numpy(), ends[:-1])):
            most = pieces_of(prompts[user])[own.argmax()]
            assert (most.name, most.index) == (kind, places[user]), name
    assert (sums["delta"].abs() < 0.2 * sums["total"].abs()).all()
    wrong = {f"not {name}": -values for name, values in told.items()}
    for curves in (deletion_curves, insertion_curves):
        table = faithfulness_table(curves(score, prompts, told | wrong, seed=0), 200, 0).set_index("explanation")
        assert table.loc[list(told), "faithful"].all() and not table.loc[list(wrong), "faithful"].any()
