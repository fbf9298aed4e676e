"""GGUF files and Gemma's parts: put together once, checked, kept whole, and refused with a line that helps."""

import hashlib
import os
import shutil
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from delrec_kit.llm import gemma, gguf, kept, load_llm
from delrec_kit.run.inputs import check_folders, digests, looks_like_path
from delrec_kit.settings.config import LlmConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(kept.pooch, "os_cache", lambda project: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def parts(monkeypatch, tmp_path):
    """Four packages that each carry a part, on the path, whose code would fail if it were run."""
    for n, name in enumerate(gemma.PACKAGES):
        (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('this code must not run')")
        (tmp_path / name / "data" / f"m.gguf.part0{n}").write_bytes(f"part {n}.".encode())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(gemma, "SHA256", hashlib.sha256(b"part 0.part 1.part 2.part 3.").hexdigest())


def test_a_folder_appears_whole_or_not_at_all_and_is_made_once(cache):
    made = []

    def dies(draft):
        (draft / "half").write_text("")
        raise KitError("no")

    def make(draft):
        made.append((draft / "model").write_text("whole"))

    with pytest.raises(KitError):
        kept.kept("m", dies)
    assert [path.name for path in cache.iterdir()] == ["m.lock"], "no draft stays"
    assert kept.kept("m", make) == kept.kept("m", make) == cache / "m" and len(made) == 1


@pytest.mark.parametrize("harm", ["cut", "gone", "changed", "no record", "spoilt record", "file"])
def test_what_was_spoilt_is_made_again(harm, cache, capsys):
    made = []

    def make(draft):
        made.append((draft / "model").write_text("whole"))
        (draft / "tokenizer").write_text("words")

    folder = kept.kept("m", make)
    if harm == "cut":
        (folder / "model").write_text("who")
    elif harm == "gone":
        (folder / "tokenizer").unlink()
    elif harm == "changed":
        (folder / "model").write_text("whale")
        os.utime(folder / "model", ns=(0, 0))
    elif harm == "no record":
        (folder / kept.RECORD).unlink()
    elif harm == "spoilt record":
        (folder / kept.RECORD).write_text('["half')
    else:
        shutil.rmtree(folder)
        folder.write_text("a file where the folder was")
    assert kept.kept("m", make) == folder and len(made) == 2 and (folder / "model").read_text() == "whole"
    assert "made again" in capsys.readouterr().out
    os.utime(folder / "model", ns=(0, 0))
    assert kept.kept("m", make) == folder and len(made) == 2, "the same bytes of another time are the same"


def tiny_gguf(path):
    """A random decoder whose matrices are packed in 8 bits, written by the format's own library; its matrix q."""
    gguf_format = pytest.importorskip("gguf")
    d, heads, vocabulary = (
        64,
        4,
        [
            "<unk>",
            "<s>",
            "</s>",
            *(chr(n) for n in range(33, 94)),
            "AB",
            "Ġ",
            *"abcdefghijklmnopqrstuvwxyz",
            "<|endoftext|>",
        ],
    )
    rng = np.random.default_rng(0)
    writer = gguf_format.GGUFWriter(path, "llama")
    writer.add_context_length(512)
    writer.add_embedding_length(d)
    writer.add_block_count(1)
    writer.add_feed_forward_length(96)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_rope_dimension_count(d // heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_merges(["A B"])
    writer.add_eos_token_id(2)
    writer.add_bos_token_id(1)
    shapes = {"attn_q": (d, d), "attn_k": (d, d), "attn_v": (d, d), "attn_output": (d, d)}
    shapes |= {"ffn_gate": (96, d), "ffn_up": (96, d), "ffn_down": (d, 96)}
    matrices = {f"blk.0.{name}.weight": shape for name, shape in shapes.items()}
    matrices |= {"token_embd.weight": (len(vocabulary), d), "output.weight": (len(vocabulary), d)}
    kind, kept_values = gguf_format.GGMLQuantizationType.Q8_0, {}
    for name, shape in matrices.items():
        packed = gguf_format.quants.quantize(rng.normal(size=shape).astype(np.float32), kind)
        kept_values[name] = gguf_format.quants.dequantize(packed, kind)
        writer.add_tensor(name, packed, raw_dtype=kind)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(d, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return kept_values


def test_packed_weights_become_plain_ones(tmp_path, monkeypatch):
    asked, load = [], gguf.AutoModelForCausalLM.from_pretrained
    spy = lambda *args, **kwargs: asked.append(kwargs["quantization_config"]) or load(*args, **kwargs)  # noqa: E731
    monkeypatch.setattr(gguf.AutoModelForCausalLM, "from_pretrained", spy)
    packed = tiny_gguf(tmp_path / "tiny.gguf")
    llm = load_llm(LlmConfig(name=str(tmp_path / "tiny.gguf"), quantization="fp32"), "cpu")
    assert llm.task_type == "CAUSAL_LM" and {p.dtype for p in llm.parameters()} == {torch.float32}
    assert asked[0].dequantize, "some architectures would stay packed"
    layer = llm.model.model.layers[0]
    for name, plain in {"ffn_up": layer.mlp.up_proj, "attn_v": layer.self_attn.v_proj}.items():
        wanted = torch.from_numpy(packed[f"blk.0.{name}.weight"]).bfloat16().float()
        torch.testing.assert_close(plain.weight.data, wanted)
    load_llm(LlmConfig(name=str(tmp_path / "tiny.gguf"), quantization="nf4"), "cpu")


def test_the_parts_are_joined_in_order_and_their_code_is_not_run(parts, cache, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(gemma, "convert", lambda file, folder: seen.append(file.read_bytes()))
    folder = gemma.gemma_folder()
    assert seen == [b"part 0.part 1.part 2.part 3."] and [path.name for path in folder.iterdir()] == [kept.RECORD], (
        "the joined file goes"
    )
    assert "Terms of Use" in capsys.readouterr().out
    assert gemma.gemma_folder() == folder and capsys.readouterr().out == ""


def test_a_damaged_part_and_a_missing_one_are_told_apart(parts, tmp_path, monkeypatch):
    (tmp_path / gemma.PACKAGES[2] / "data" / "m.gguf.part02").write_bytes(b"other")
    with pytest.raises(KitError, match="damaged"):
        gemma.gemma_folder()
    monkeypatch.setattr(gemma, "PACKAGES", ("no_such_package_part1",))
    with pytest.raises(KitError, match=r"pip install -e \"\.\[gemma\]\""):
        gemma.gemma_folder()


def test_a_file_that_is_none_is_refused_in_a_line(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"no GGUF at all")
    wanted = "transformers does not read model.gguf" if find_spec("gguf") else "pip install gguf"
    with pytest.raises(KitError, match=wanted):
        load_llm(LlmConfig(name=str(tmp_path / "model.gguf")), "cpu")


def test_a_run_takes_a_file_by_its_path_and_notices_when_it_changes(tmp_path):
    file = tmp_path / "model.gguf"
    config = resolve("demo", [f"llm.name={file}"])
    assert looks_like_path("model.gguf") and looks_like_path("models/model.gguf"), "no hub id"
    with pytest.raises(KitError, match="no language-model file"):
        check_folders(config)
    with pytest.raises(KitError, match="there is no such file"):
        load_llm(config.llm, "cpu")
    file.write_bytes(b"one")
    check_folders(config)
    before = digests(config, "prompt")
    file.write_bytes(b"another")
    assert list(before) == ["model.gguf"] and digests(config, "prompt") != before
