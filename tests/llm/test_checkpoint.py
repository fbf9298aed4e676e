"""Checkpoints as people have them: refused before anything is loaded, with what to do instead."""

import json
import shutil

import pytest
from transformers import T5Config

from delrec_kit.llm import TitleTable, load_llm
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


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_weights_that_are_quantised_for_serving(folder, method):
    settings(folder, quantization_config={"quant_method": method, "bits": 4})
    with pytest.raises(KitError, match=f"saved in {method}; give its unquantised folder"):
        load_llm(LlmConfig(name=str(folder)), "cpu")


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
