"""A conditioned soft prompt: what depends on the user, and where it stands in the prompt."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from delrec_kit.llm import SoftPrompt

K, C = 4, 2
STATES = np.random.default_rng(0).normal(size=(2, 64)).astype(np.float32)


@pytest.fixture
def soft(plain_llm):
    return SoftPrompt.untrained(plain_llm, K, seed=0, conditioned=C)


@pytest.fixture
def batch(writer):
    prompts = [writer.write("final", {"history": [1, 2], "candidates": [4, n]}, K) for n in (5, 6)]
    return writer.batch([replace(p, expects=s) for p, s in zip(prompts, STATES)])


def test_it_starts_as_the_blend_of_titles_on_top_of_words(soft, batch):
    P = soft(batch)
    assert P.shape == (2, K, 64)
    torch.testing.assert_close(P[:, : K - C], soft.vectors[: K - C].expand(2, -1, -1))
    said = P[:, K - C :] - soft.vectors[K - C :]
    torch.testing.assert_close(said, torch.from_numpy(STATES)[:, None].expand(2, C, 64), rtol=1e-5, atol=1e-5)


def test_every_prompt_gets_its_own_rows(plain_llm, soft, batch):
    P = soft(batch)
    embedded = plain_llm.embed(batch, P)
    for b in range(2):
        places = [int((batch.ids[b] == -(j + 1)).nonzero()) for j in range(K)]
        assert torch.equal(embedded[b, places], P[b])
    words = batch.ids >= 0
    assert torch.equal(embedded[words], plain_llm.embeddings(batch.ids.clamp(min=0))[words])


def test_both_parts_learn_and_are_read_back(plain_llm, writer, soft, batch, tmp_path):
    soft(batch).pow(2).sum().backward()
    assert (soft.vectors.grad != 0).any(dim=1).all() and (soft.maps.grad != 0).flatten(1).any(dim=1).all()
    with torch.no_grad():
        soft.maps.add_(torch.randn_like(soft.maps))
    soft.save(tmp_path / "p.safetensors", plain_llm, writer)
    again = SoftPrompt.load(tmp_path / "p.safetensors", plain_llm, writer)
    assert again.c == C and again.numbers == K * 64 + C * 64 * 64
    assert torch.equal(again(batch), soft(batch))


def test_it_refuses_prompts_that_do_not_say_what_the_teacher_expects(writer, soft, batch):
    with pytest.raises(ValueError, match="what the teacher expects"):
        soft(replace(batch, expects=None))
    prompt = writer.write("final", {"history": [1, 2], "candidates": [4, 5]}, K)
    with pytest.raises(ValueError, match="others do not"):
        writer.batch([prompt, replace(prompt, expects=STATES[0])])


def test_title_vectors_are_mean_embeddings_about_their_mean(plain_llm, writer):
    vectors = plain_llm.title_vectors(writer.table)
    assert vectors.shape == (len(writer.table.lengths), 64) and not vectors[0].any()
    weights = plain_llm.embeddings.weight
    words = lambda i: weights[torch.from_numpy(writer.table[i])].mean(0)  # noqa: E731
    torch.testing.assert_close(vectors[1:].mean(0), torch.zeros(64), rtol=0, atol=1e-4)
    scale = (vectors[2] - vectors[4]).norm() / (words(2) - words(4)).norm()
    torch.testing.assert_close(vectors[2] - vectors[4], (words(2) - words(4)) * scale, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(vectors[1:].norm(dim=1).mean(), weights.norm(dim=1).mean())


def test_shuffling_changes_the_order_and_nothing_else(soft, batch):
    with torch.no_grad():
        soft.maps.add_(torch.randn_like(soft.maps))
    other = soft.shuffled(11)  # both parts change places
    one, two = (P[0].detach() for P in (soft(batch), other(batch)))
    assert not torch.allclose(one, two)
    for kept in (slice(0, K - C), slice(K - C, K)):
        rows = [sorted(map(tuple, P[kept].tolist())) for P in (one, two)]
        np.testing.assert_allclose(rows[0], rows[1], rtol=1e-5)
    assert not any(p.requires_grad for p in other.parameters())


def test_equal_soft_prompts_are_equal_files(plain_llm, writer, tmp_path):
    for n in range(4):
        SoftPrompt.untrained(plain_llm, K, seed=0).save(tmp_path / f"{n}.safetensors", plain_llm, writer)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    SoftPrompt.untrained(plain_llm, K, seed=1).save(tmp_path / "other.safetensors", plain_llm, writer)
    assert (tmp_path / "other.safetensors").read_bytes() != (tmp_path / "0.safetensors").read_bytes()
