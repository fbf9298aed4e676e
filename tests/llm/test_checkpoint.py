"""Checkpoints as people have them: refused before anything is loaded, with what to do instead."""

import json
import shutil

import families
import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, T5Config

from delrec_kit.llm import TitleTable, check_reachable, checkpoint, load_llm, words_of
from delrec_kit.llm.checkpoint import saved_quantization
from delrec_kit.llm.place import TINY
from delrec_kit.settings.config import LlmConfig
from delrec_kit.settings.errors import KitError


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(TINY, tmp_path / "model")


def settings(folder, **more):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | more))


def test_a_folder_without_a_tokenizer(folder):
    for path in folder.glob("*token*"):
        path.unlink()
    for path in folder.glob("spiece*"):
        path.unlink()
    with pytest.raises(KitError, match="has no tokenizer"):
        load_llm(LlmConfig(name=str(folder)), "cpu")


def test_an_adapter_alone(folder):
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(KitError, match="adapter alone; merge it"):
        load_llm(LlmConfig(name=str(folder)), "cpu")


def test_code_of_its_own_is_never_run(folder, monkeypatch):
    (folder / "own.py").write_text("raise SystemExit('this code ran')")
    settings(folder, model_type="own_kind", auto_map={"AutoConfig": "own.OwnConfig", "AutoModel": "own.Own"})
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("nobody is asked"))
    with pytest.raises(KitError, match="code of its own, which the kit never runs"):
        load_llm(LlmConfig(name=str(folder)), "cpu")


def refused(folder, line):
    """By everyone who could ask, in one line."""
    for ask in (check_reachable, words_of, lambda config: load_llm(config, "cpu")):
        with pytest.raises(KitError, match=line) as error:
            ask(LlmConfig(name=str(folder), quantization="fp32"))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "method", ["gptq", "awq", "fp8", "fbgemm_fp8", "mxfp4", "compressed-tensors", "hqq", "torchao"]
)
def test_weights_that_are_quantised_for_serving(folder, method):
    settings(folder, quantization_config={"quant_method": method, "bits": 4})
    refused(folder, f"saved in {method}; give its unquantised folder")


def test_code_is_not_run_where_transformers_has_its_own(folder, monkeypatch):
    (folder / "own.py").write_text("raise SystemExit('this code ran')")
    settings(folder, auto_map={"AutoConfig": "own.OwnConfig", "AutoModelForSeq2SeqLM": "own.Own"})
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": {"AutoTokenizer": ["own.Words", None]}}))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("nobody is asked"))
    assert load_llm(LlmConfig(name=str(folder), quantization="fp32"), "cpu").task_type == "SEQ_2_SEQ_LM"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_weights_that_could_run_code(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    refused(folder, f"weights as {name} alone, which can run code")
    (folder / name).unlink()
    refused(folder, "has no weights; the kit reads .safetensors")


def test_a_shard_that_is_missing(folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    shards = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    names = sorted(tensors)
    save_file({name: tensors[name] for name in names[::2]}, folder / shards[0], metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: shards[n % 2] for n, name in enumerate(names)}}
    (folder / checkpoint.INDEX).write_text(json.dumps(index))
    refused(folder, rf"lacks {shards[1]} \(1 of 2 shards\)")
    save_file({name: tensors[name] for name in names[1::2]}, folder / shards[1], metadata={"format": "pt"})
    load_llm(LlmConfig(name=str(folder), quantization="fp32"), "cpu")
    (folder / checkpoint.INDEX).write_text("{")
    refused(folder, "is damaged")


@pytest.mark.parametrize("inside", [[], ["readme.md"]])
def test_a_folder_without_a_model(tmp_path, inside):
    for name in inside:
        (tmp_path / name).write_text("no model")
    refused(tmp_path, "has no config.json" if inside else "is empty: give the folder of a model")


@pytest.mark.parametrize("kind", ["gemma3", "llava", "qwen2_vl", "whisper", "mllama", "qwen2_audio", "paligemma"])
def test_a_model_that_sees_or_hears(tmp_path, kind):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    refused(tmp_path, f"is a {kind}, which sees or hears too; give a model of text alone")


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_a_head_that_knows_classes(tmp_path, name):
    families.make_model(tmp_path, name)
    kind = {"llama": "LlamaForSequenceClassification", "bert": "BertForSequenceClassification"}[name]
    settings(tmp_path, architectures=[kind])
    refused(tmp_path, f"is a {kind}, whose head knows classes and no words")


def test_weights_that_would_be_random_numbers(tmp_path):
    families.make_model(tmp_path, "llama")
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(KitError, match=r"lacks lm_head\.weight \(1 of its weights\), which would be random"):
        load_llm(LlmConfig(name=str(tmp_path), quantization="fp32"), "cpu")
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(KitError, match="its weights are damaged"):
        load_llm(LlmConfig(name=str(tmp_path), quantization="fp32"), "cpu")


def test_a_tokenizer_with_more_words_than_the_model(tmp_path):
    families.make_model(tmp_path, "gpt2")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    had = len(tokenizer)
    tokenizer.add_tokens(["fairy", "dragon"])
    tokenizer.save_pretrained(tmp_path)
    refused(tmp_path, f"has {had + 2} words and its model {had} embeddings")


def test_a_run_is_labelled_with_what_it_truly_is():
    saved = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}
    config = T5Config(quantization_config=saved)
    for asked in ("nf4", "int8", "fp32"):
        with pytest.raises(KitError, match=r"set llm\.quantization=fp4"):
            saved_quantization(config, "model", asked)
    assert saved_quantization(config, "model", "fp4") == "fp4" and saved_quantization(T5Config(), "m", "nf4") is None


def test_control_tokens_in_a_title_are_text(folder):
    tokenizer = load_llm(LlmConfig(name=str(folder), quantization="fp32"), "cpu").tokenizer
    table = TitleTable.build(tokenizer, ["", "Red </s> Moon", "Red <pad> Moon"], 1)
    assert not {tokenizer.eos_token_id, tokenizer.pad_token_id} & {*table[1].tolist(), *table[2].tolist()}
    assert len(set(map(tuple, (table[1].tolist(), table[2].tolist())))) == 2, "and it still tells titles apart"
