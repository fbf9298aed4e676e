import numpy as np
import pytest
import torch

from delrec_kit.llm import LlmRecommender, PackedTitles, SoftPrompt

CANDIDATES = np.array([[1, 2, 4, 5, 3], [6, 5, 2, 1, 8]])
K = 3


def scored(llm, writer, prompts, items, P=None):
    return LlmRecommender(llm, writer, P).score_prompts(prompts, items)


@pytest.fixture
def prompts(writer):
    return [
        writer.write("final", {"history": [7, 8], "candidates": CANDIDATES[0]}, K),
        writer.write("final", {"history": [9, 10, 2, 11], "candidates": CANDIDATES[1]}, K),
    ]


def one_pass_a_title(llm, writer, prompt, item, vectors):
    """The obviously right score: one full forward pass for one prompt and one title, no padding, no packing."""
    ids = torch.from_numpy(prompt.ids)
    embedded = llm.model.get_input_embeddings()(ids.clamp(min=0))
    for place, token in enumerate(ids.tolist()):
        if token < 0:
            embedded[place] = vectors[-token - 1]
    target = torch.tensor([*writer.table[item], writer.table.eos])
    logits = llm.model(inputs_embeds=embedded[None], labels=target[None]).logits[0]
    return logits.log_softmax(-1)[torch.arange(len(target)), target].sum().item()


def test_packed_scores_equal_one_forward_pass_a_title(llm, writer, prompts):
    soft = SoftPrompt(torch.randn(K, llm.d, generator=torch.Generator().manual_seed(1)))
    scores = scored(llm, writer, prompts, CANDIDATES, soft)
    with torch.no_grad():
        expected = [
            [one_pass_a_title(llm, writer, p, i, soft.vectors) for i in row]
            for p, row in zip(prompts, CANDIDATES, strict=True)
        ]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4)
    assert np.ptp(scores[0]) > 1, "a constant score would pass the comparison of nothing"


def test_equal_titles_tie_exactly(llm, writer, prompts):
    scores = scored(llm, writer, prompts, CANDIDATES)
    assert writer.table.canonical[3] == 1
    assert scores[0, 0] == scores[0, 4]
    assert len(np.unique(scores[0])) == 4


def test_every_soft_token_changes_the_scores_and_order_of_rows_does_not(plain_llm, writer, prompts):
    soft = SoftPrompt.untrained(plain_llm, K, seed=0)
    before = scored(plain_llm, writer, prompts, CANDIDATES, soft)
    swapped = scored(plain_llm, writer, prompts[::-1], CANDIDATES[::-1], soft)
    np.testing.assert_allclose(before, swapped[::-1], atol=1e-4)
    for j in range(K):
        with torch.no_grad():
            changed = SoftPrompt(soft.vectors.clone())
            changed.vectors[j] *= -1
        after = scored(plain_llm, writer, prompts, CANDIDATES, changed)
        assert np.abs(after - before).max() > 1e-4


def test_a_title_sees_no_other_title(writer):
    titles = PackedTitles.build(writer.table, CANDIDATES, start=0)
    mask = titles.own()[0]
    block = titles.block[0]
    inside = block >= 0
    assert not mask[inside][:, inside][block[inside][:, None] != block[inside]].any()
    assert mask.diagonal().all()
    assert (titles.labels == writer.table.eos).sum() == CANDIDATES.size


def test_attention_is_never_empty_and_sums_to_one(llm, writer, prompts):
    batch = writer.batch(prompts)
    titles = writer.pack(prompts, CANDIDATES)
    soft = SoftPrompt.untrained(llm, K, seed=0)
    attention = llm.attentions(batch, titles, soft.vectors)
    B, L, S = 2, batch.ids.shape[1], titles.inputs.shape[1]
    assert attention["encoder"].shape == (2, B, 4, L, L)
    assert attention["cross"].shape == (2, B, 4, S, L)
    for weights in attention.values():
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]), atol=1e-4, rtol=0)
    assert llm.model.config._attn_implementation != "eager", "the fast attention must be back"


@pytest.mark.parametrize("catalogue", [False, True], ids=["candidates", "catalogue"])
def test_scores_are_the_same_where_only_half_a_batch_fits(plain_llm, writer, prompts, monkeypatch, capsys, catalogue):
    recommender, read = LlmRecommender(plain_llm, writer, name="delrec"), type(plain_llm).read

    def scores():
        return recommender._catalogue(prompts, None) if catalogue else recommender.score_prompts(prompts, CANDIDATES)

    def narrow(self, batch, *others, **more):
        if len(batch.ids) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return read(self, batch, *others, **more)

    whole = scores()
    monkeypatch.setattr(type(plain_llm), "read", narrow)
    np.testing.assert_allclose(scores(), whole, rtol=1e-4, atol=1e-5)
    assert capsys.readouterr().out.count("ran out of memory") == 1
