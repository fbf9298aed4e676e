import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from delrec_kit.data import Domain
from delrec_kit.llm import LlmRecommender, PromptWriter, SoftPrompt, check_reachable, load_llm, memory_footprint
from delrec_kit.settings.config import LlmConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.training.examples import Example, collate
from delrec_kit.training.loss import Ranker


def test_four_bit_weights_are_four_bit_and_frozen(toy_llm_folder):
    whole, packed = (load_llm(LlmConfig(name=str(toy_llm_folder), quantization=q), "cpu") for q in ("fp32", "nf4"))
    assert memory_footprint(packed) < 0.6 * memory_footprint(whole)
    kinds = {type(m).__name__ for m in packed.model.modules()}
    assert "Linear4bit" in kinds
    layer = packed.model.get_encoder().block[0].layer[0].SelfAttention.q.weight
    assert layer.quant_type == "nf4" and layer.quant_state.nested
    for llm in (whole, packed):
        assert not any(p.requires_grad for p in llm.parameters())


def test_gradient_checkpointing_changes_no_gradient(toy_llm_folder, writer):
    rows = [
        (writer.write("final", {"history": [7, 8], "candidates": [1, 2, 4]}, 2), [1, 2, 4], [0.0, 1.0, 0.0]),
        (writer.write("final", {"history": [9], "candidates": [5, 6, 8]}, 2), [5, 6, 8], [1.0, 0.0, 0.0]),
    ]
    rows = [Example(p, np.array(c), np.array(t, dtype=np.float32), False) for p, c, t in rows]
    gradients = []
    for recompute in (False, True):
        config = LlmConfig(name=str(toy_llm_folder), quantization="nf4", gradient_checkpointing=recompute)
        llm = load_llm(config, "cpu")
        model = Ranker(LlmRecommender(llm, writer, SoftPrompt.untrained(llm, 2, seed=0))).train()
        batch = collate(writer, rows)
        model(batch["prompts"], batch["titles"], batch["targets"]).backward()
        gradients.append(model.soft.vectors.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().min() > 0


def test_training_mode_of_a_frozen_model_adds_no_noise(llm, writer):
    prompts = [writer.write("final", {"history": [7, 8], "candidates": [1, 2, 4]}, 2)]
    batch, titles = writer.batch(prompts), writer.pack(prompts, np.array([[1, 2, 4]]))
    soft = SoftPrompt.untrained(llm, 2, seed=0).vectors
    with torch.no_grad():
        scores = [llm.train(mode).score_titles(batch, titles, soft) for mode in (True, False)]
    torch.testing.assert_close(*scores)


@pytest.mark.parametrize("name", ["/no/such/folder", "nobody/no-such-model-anywhere"])
def test_an_unreachable_model_is_said_in_one_line(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(KitError) as error:
        load_llm(LlmConfig(name=name), "cpu")
    assert name in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["bart", "bloom", "vit", "lfm2", "recurrent_gemma"])
def test_a_family_whose_titles_cannot_be_packed_is_refused_with_its_name(kind, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(KitError, match=f"is a {kind}"):
        load_llm(LlmConfig(name=str(tmp_path)), "cpu")


def test_a_soft_prompt_refuses_another_model_and_other_words(plain_llm, writer, tmp_path):
    soft = SoftPrompt.untrained(plain_llm, 2, seed=0)
    soft.save(tmp_path / "p.safetensors", plain_llm, writer)
    assert torch.equal(SoftPrompt.load(tmp_path / "p.safetensors", plain_llm, writer).vectors, soft.vectors)
    other = PromptWriter(plain_llm.tokenizer, Domain(), ["", "Red Moon"], {"final": "{history} {candidates}"})
    with pytest.raises(KitError, match="trained with template"):
        SoftPrompt.load(tmp_path / "p.safetensors", plain_llm, other)
    plain_llm.identity = plain_llm.identity | {"revision": "another"}
    with pytest.raises(KitError, match="trained with revision"):
        SoftPrompt.load(tmp_path / "p.safetensors", plain_llm, writer)
    with pytest.raises(KitError, match="run notebook 03"):
        SoftPrompt.load(tmp_path / "none.safetensors", plain_llm, writer)


def test_random_words_are_a_seed_apart_and_never_special(plain_llm):
    first, again, other = (SoftPrompt.untrained(plain_llm, 5, seed=s).vectors for s in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    table = plain_llm.embeddings.weight
    rows = [int((table == v).all(1).nonzero()[0]) for v in first]
    assert not set(rows) & set(plain_llm.tokenizer.all_special_ids)


def test_a_verbalizer_that_a_family_would_not_heed_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    for ask in (load_llm, check_reachable):
        with pytest.raises(KitError, match=r"llm\.verbalizer=index does nothing .* use title"):
            ask(LlmConfig(name=str(tmp_path), verbalizer="index"))


def test_the_identity_of_weights_is_read_in_blocks(toy_llm_folder, plain_llm, monkeypatch):
    """Shards may be larger than the memory; the digest is that of the whole files all the same."""
    whole = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(toy_llm_folder.glob("*.safetensors")))).hexdigest()
    assert plain_llm.identity["revision"] == whole[:16]
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read whole"))
    again = load_llm(LlmConfig(name=str(toy_llm_folder), quantization="fp32"), "cpu")
    assert again.identity == plain_llm.identity


def test_titles_that_the_tokenizer_cannot_tell_apart_are_counted(plain_llm):
    titles = ["", "Red Moon", "Red Moon", "\u6771", "\u897f", "word " * 60]
    notices = PromptWriter(plain_llm.tokenizer, Domain(), titles).notices
    assert notices[0].startswith("1 of 5 titles have the same tokens as another")
    assert notices[1] == "1 of 5 titles are cut at 48 tokens"
    assert PromptWriter(plain_llm.tokenizer, Domain(), titles[:3]).notices == []
