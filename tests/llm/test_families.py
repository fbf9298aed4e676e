"""Every family behind the one interface: exact scores, P in place, gradients, attention, both stages."""

from dataclasses import replace

import families
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from delrec_kit.data import Domain
from delrec_kit.llm import LlmRecommender, PromptWriter, SoftPrompt, load_llm
from delrec_kit.llm.text import decoder_only_format
from delrec_kit.settings.config import LlmConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve

CANDIDATES = np.array([[1, 2, 4, 5, 3], [6, 5, 2, 1, 8]])
K = 3


def scored(llm, writer, prompts, items, P=None):
    return LlmRecommender(llm, writer, P).score_prompts(prompts, items)


def opened(folder, quantization="fp32", verbalizer="title", **kwargs):
    llm = load_llm(LlmConfig(name=str(folder), quantization=quantization, **kwargs), "cpu")
    writer = PromptWriter(llm.tokenizer, Domain(), families.TITLES, format=llm.format, verbalizer=verbalizer)
    llm.encode_titles(writer.table)
    return llm, writer


def asked(writer):
    return [
        writer.write("final", {"history": [7, 8], "candidates": CANDIDATES[0]}, K),
        writer.write("final", {"history": [9, 10, 2, 11], "candidates": CANDIDATES[1]}, K),
    ]


def embedded(llm, prompt, vectors):
    ids = torch.from_numpy(prompt.ids)
    rows = llm.model.get_input_embeddings()(ids.clamp(min=0)).clone()
    for place, token in enumerate(ids.tolist()):
        if token < 0:
            rows[place] = vectors[-token - 1]
    return rows


def continued(llm, writer, prompt, item, vectors):
    """One full forward pass over the prompt and one title, no padding, no packing, no cache."""
    target = torch.tensor([*writer.answers[item], llm.format.eos])
    rows = torch.cat([embedded(llm, prompt, vectors), llm.model.get_input_embeddings()(target)])
    logits = llm.model(inputs_embeds=rows[None]).logits[0].float()
    before = len(prompt.ids) - 1
    return logits[before:-1].log_softmax(-1)[torch.arange(len(target)), target].sum().item()


def compared(llm, writer, prompt, item, vectors):
    """Cosine of the history's mean state with the mean state of the title encoded alone."""
    alone = torch.tensor([[*llm.format.opening, *writer.table[item], *(llm.format.ending or llm.format.answer)]])
    title = llm.model(input_ids=alone).last_hidden_state[0].mean(0)
    hidden = llm.model(inputs_embeds=embedded(llm, prompt, vectors)[None]).last_hidden_state[0]
    history = [hidden[s.start : s.stop] for s in prompt.segments if s.name == "history"]
    return 20 * F.cosine_similarity(torch.cat(history).mean(0), title, dim=0).item()


@pytest.mark.parametrize("quantization", ["fp32", "nf4"])
@pytest.mark.parametrize("name", [*families.DECODERS, *families.ENCODERS])
def test_scores_equal_one_plain_forward_pass_a_title(name, quantization, folders):
    llm, writer = opened(folders(name), quantization)
    prompts = asked(writer)
    soft = SoftPrompt(torch.randn(K, llm.d, generator=torch.Generator().manual_seed(1)))
    scores = scored(llm, writer, prompts, CANDIDATES, soft)
    plain = continued if name in families.DECODERS else compared
    with torch.no_grad():
        expected = [
            [plain(llm, writer, p, i, soft.vectors) for i in row] for p, row in zip(prompts, CANDIDATES, strict=True)
        ]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4)
    assert np.ptp(scores[0]) > 0.5
    assert scores[0, 0] == scores[0, 4], "equal titles tie"
    whole = LlmRecommender(llm, writer, soft)._catalogue(prompts, None)
    assert whole.shape == (2, len(families.TITLES)) and (whole[:, 0] == -np.inf).all()
    np.testing.assert_allclose(np.take_along_axis(whole, CANDIDATES, 1), scores, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", [*families.DECODERS, *families.ENCODERS])
def test_every_soft_token_gets_a_gradient_and_nothing_else_does(name, folders):
    llm, writer = opened(folders(name), "nf4")
    prompts = asked(writer)
    soft = SoftPrompt.untrained(llm, K, seed=0)
    scored(llm, writer, prompts, CANDIDATES, soft)  # 4-bit layers must still pass gradients after scoring
    scores = llm.score_titles(writer.batch(prompts), writer.pack(prompts, CANDIDATES), soft.vectors)
    (scores.log_softmax(-1)[:, 0].sum()).backward()
    assert (soft.vectors.grad.abs().amax(1) > 0).all()
    assert all(p.grad is None for p in llm.parameters())


@pytest.mark.parametrize("name", [*families.DECODERS, *families.ENCODERS])
def test_attention_is_there_and_the_fast_one_comes_back(name, folders):
    llm, writer = opened(folders(name))
    prompts, before = asked(writer), llm.model.config._attn_implementation
    weights = llm.attentions(
        writer.batch(prompts), writer.pack(prompts, CANDIDATES), SoftPrompt.untrained(llm, K, 0).vectors
    )
    assert set(weights) == ({"encoder", "cross"} if name in families.DECODERS else {"encoder"})
    real = torch.from_numpy(np.arange(weights["encoder"].shape[-1]) < len(prompts[0].ids))
    rows = weights["encoder"][:, 0][..., real, :].sum(-1)
    torch.testing.assert_close(rows, torch.ones_like(rows), atol=1e-4, rtol=0)
    assert llm.model.config._attn_implementation == before == ("eager" if name == "gemma2" else "sdpa")


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3", "bert", "modernbert"])
@pytest.mark.parametrize("adapter", ["adalora", "lora"])
def test_an_adapter_trains_and_comes_back_from_disk(name, adapter, folders, tmp_path):
    from delrec_kit.training import Examples, Joined, finetune, load_adapter

    llm, writer = opened(folders(name), "nf4")
    targets = np.eye(5, dtype=np.float32)[[1, 2]]
    examples = Examples(asked(writer) * 6, np.tile(CANDIDATES, (6, 1)), np.tile(targets, (6, 1)))
    soft = SoftPrompt.untrained(llm, K, seed=0)
    score = lambda model: scored(model, writer, asked(writer), CANDIDATES, soft)  # noqa: E731
    before = score(llm)
    loss = lambda: {"loss": float(-torch.from_numpy(score(llm)).log_softmax(-1)[[0, 1], [1, 2]].mean())}  # noqa: E731
    config = resolve("smoke", [f"finetune.adapter={adapter}", "train.epochs=6", "train.batch=4", "finetune.rank=2"])
    start = loss()["loss"]
    recommender = LlmRecommender(llm, writer, soft.requires_grad_(False))
    tuned = finetune(recommender, Joined([examples]), config, loss, tmp_path / "c")
    tuned.save(tmp_path / "a")
    assert tuned.curve["valid_loss"].min() < start - 0.05 and tuned.ranks
    fresh, _ = opened(folders(name), "nf4")
    np.testing.assert_allclose(score(fresh), before, atol=1e-5)
    load_adapter(fresh, tmp_path / "a")
    np.testing.assert_allclose(score(fresh), score(llm), atol=1e-4)
    assert np.abs(score(fresh) - before).max() > 1e-2


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_stage_1_trains_p_through_any_family(name, folders, tmp_path):
    from delrec_kit.training import Examples, distill

    llm, writer = opened(folders(name), "nf4")
    targets = np.eye(5, dtype=np.float32)[[1, 2]]
    rps = Examples(asked(writer) * 6, np.tile(CANDIDATES, (6, 1)), np.tile(targets, (6, 1)))
    soft = SoftPrompt.untrained(llm, K, seed=0)
    loss = lambda: {  # noqa: E731
        "loss": float(
            -torch.from_numpy(scored(llm, writer, asked(writer), CANDIDATES, soft))
            .log_softmax(-1)[[0, 1], [1, 2]]
            .mean()
        )
    }
    config = resolve("smoke", ["train.epochs=10", "train.batch=4", "distill.learning_rate=5e-2"])
    start = loss()["loss"]
    distill(LlmRecommender(llm, writer, soft), {"rps": rps}, config, loss, tmp_path / "c")
    assert loss()["loss"] < start - 0.05


def test_a_blank_belongs_to_the_word_behind_it(folders):
    """A title in mid-prompt has the same tokens as in running text, whatever the tokenizer does with blanks."""
    for name in ("llama", "gpt2", "bert"):
        llm, writer = opened(folders(name))
        prompt = writer.write("final", {"history": [4, 2], "candidates": [1, 5]})
        text = llm.tokenizer.decode(prompt.ids, skip_special_tokens=True)
        for title in ("Silent Harbour", "Blue Moon Rising", "Red Moon", "The Last Harbour Song"):
            assert title in text
        assert "  " not in text and "first:Silent" not in text


def test_a_chat_model_gets_its_template(folders, capsys):
    llm, writer = opened(folders("qwen3"))
    prompt = writer.write("final", {"history": [4], "candidates": [1, 5]}, K)
    text = llm.tokenizer.decode([i for i in prompt.ids if i >= 0])
    assert text.startswith("<|user|>This person") and text.endswith("is<|end|><|assistant|>\n")
    assert [s.name for s in prompt.segments][-1] == "answer"
    assert [s.start for s in prompt.segments] == [0, *(s.stop for s in prompt.segments)][:-1]
    llm.tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"  # where would an answer begin?
    assert decoder_only_format(llm.tokenizer) == opened(folders("llama"))[0].format
    assert "prompts are plain text" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_index_verbalizer_scores_the_letter_before_a_candidate(name, folders):
    llm, writer = opened(folders(name), verbalizer="index")
    prompts = asked(writer)
    text = llm.tokenizer.decode([i for i in prompts[0].ids if i >= 0])
    assert "A: Red Moon" in text and "E: Red Moon" in text
    scores = scored(llm, writer, prompts, CANDIDATES, SoftPrompt.untrained(llm, K, 0))
    with torch.no_grad():
        rows = embedded(llm, prompts[0], SoftPrompt.untrained(llm, K, 0).vectors)
        last = llm.model(inputs_embeds=rows[None]).logits[0, -1].log_softmax(-1)
    letters = [llm.tokenizer(llm.format.answer_gap + c, add_special_tokens=False)["input_ids"][0] for c in "ABCDE"]
    np.testing.assert_allclose(scores[0], last[letters].numpy(), atol=1e-4)


def test_the_first_token_verbalizer_ties_titles_that_share_it(folders):
    llm, writer = opened(folders("gpt2"), verbalizer="first_token")
    rows = np.array([[7, 8, 9, 1, 2]])
    prompts = [writer.write("final", {"history": [4], "candidates": rows[0]}, K)]
    scores = scored(llm, writer, prompts, rows, SoftPrompt.untrained(llm, K, 0))
    assert scores[0, 0] == scores[0, 1] == scores[0, 2] and len(np.unique(scores)) >= 3


def test_targets_that_are_not_there_are_answered_with_those_that_are(folders):
    from delrec_kit.llm.families.registry import adapter_targets

    llm, _ = opened(folders("llama"))
    assert adapter_targets(llm.model) == ["q_proj", "v_proj"]
    with pytest.raises(KitError, match=r"no layer 'qqq'; choose with finetune.targets among: .*q_proj \(2\)"):
        adapter_targets(llm.model, ["qqq"])


def test_a_prompt_that_is_too_long_is_said(folders):
    llm, writer = opened(folders("gpt2"))
    prompt = writer.write("final", {"history": [4] * 200, "candidates": [1, 2]})
    with pytest.raises(KitError, match="reads 512: lower"):
        scored(llm, writer, [prompt], np.array([[1, 2]]))


@pytest.mark.parametrize("name", [*families.DECODERS, *families.ENCODERS])
@pytest.mark.parametrize("quantization", ["nf4", "fp4", "int8", "bf16", "fp32"])
def test_memory_is_known_before_loading(name, quantization, folders):
    from transformers import AutoConfig

    from delrec_kit.llm import memory_footprint
    from delrec_kit.llm.families.registry import LOADERS, family_of
    from delrec_kit.llm.loading import whole_dtype
    from delrec_kit.llm.memory import estimate

    config = LlmConfig(name=str(folders(name)), quantization=quantization)
    settings = AutoConfig.from_pretrained(config.name)
    estimated = estimate(settings, LOADERS[family_of(settings, name)], quantization, whole_dtype(config, "cpu"))
    llm = load_llm(config, "cpu")
    assert estimated == pytest.approx(memory_footprint(llm), rel=0.1)


def test_most_of_a_catalogue_is_scored_as_a_few_titles_are(folders):
    llm, writer = opened(folders("bert"))
    prompts, catalogue = asked(writer), np.tile(np.arange(1, len(families.TITLES)), (2, 1))
    all_of_it = scored(llm, writer, prompts, catalogue)
    one_by_one = np.concatenate([scored(llm, writer, prompts, catalogue[:, i : i + 1]) for i in range(18)], 1)
    np.testing.assert_allclose(all_of_it, one_by_one, atol=1e-4)
    assert np.ptp(all_of_it, axis=1).min() > 0.1


def test_a_masked_encoder_lets_a_conditioned_prompt_speak_for_the_user(folders):
    llm, writer = opened(folders("bert"))
    states = np.random.default_rng(0).normal(size=(2, llm.d)).astype(np.float32)
    prompts = [replace(prompt, expects=state) for prompt, state in zip(asked(writer), states)]
    soft = SoftPrompt.untrained(llm, K, seed=0, conditioned=2)
    batch = writer.batch(prompts)
    hidden = llm.read(batch, soft(batch)).states
    scores = scored(llm, writer, prompts, CANDIDATES, soft)
    for row in range(2):
        answer = hidden[row][batch.ids[row] < 0].mean(0)
        wanted = 20 * F.normalize(answer, dim=0) @ llm.vectors[CANDIDATES[row]].T
        np.testing.assert_allclose(scores[row], wanted.detach(), atol=1e-3)


@pytest.mark.parametrize("name", [*families.DECODERS, *families.ENCODERS])
def test_p_begins_as_words_as_the_model_reads_them(folders, name):
    llm, _ = opened(folders(name))
    read = llm.embeddings(torch.arange(len(llm.embeddings.weight))).float()
    torch.testing.assert_close(llm.words(), read)
    P = SoftPrompt.untrained(llm, 5, seed=0)
    assert all((read == row).all(1).any() for row in P.vectors.detach()), "each soft token is a word"
    if name == "gemma3_text":  # which multiplies them by sqrt(d)
        rows = llm.embeddings.weight.float()[4:].norm(dim=1)
        assert (read[4:].norm(dim=1) / rows).mean().item() == pytest.approx(8, rel=0.02)


@pytest.mark.parametrize("name", families.DECODERS)
def test_control_tokens_in_a_title_are_words(folders, name):
    llm, _ = opened(folders(name))
    named = [token for token in llm.tokenizer.all_special_tokens if len(token) > 1]
    titles = ["", *(f"Red {token} Moon" for token in named)]
    table = PromptWriter(llm.tokenizer, Domain(), titles, format=llm.format).table
    assert named and not set(llm.tokenizer.all_special_ids) & {i for n in range(1, len(titles)) for i in table[n]}


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_prompts_that_list_nothing_rank_any_number_of_titles_after_one_reading(folders, name):
    """Several candidate sets behind one prompt score as each of them does by itself."""
    llm, writer = opened(folders(name), listed=False)
    assert not llm.lists and not llm.ranks_all
    recommender = LlmRecommender(llm, writer)
    prompts = [recommender.ask([7, 8], CANDIDATES[0]), recommender.ask([9, 10, 2, 11], CANDIDATES[1])]
    assert not any(segment.name == "candidates" for prompt in prompts for segment in prompt.segments)
    both = recommender.score_prompts(prompts, np.concatenate([CANDIDATES, CANDIDATES[:, ::-1]], 1))
    once = recommender.score_prompts(prompts, CANDIDATES)
    np.testing.assert_allclose(both, np.concatenate([once, once[:, ::-1]], 1), atol=2e-4)
