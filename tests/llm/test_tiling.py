"""Segments name every token of a prompt once, whatever the template, the tokenizer, the verbalizer and k."""

import os

import families
import numpy as np
import pytest
from transformers import AutoTokenizer

from delrec_kit.data import Domain
from delrec_kit.llm import PromptWriter, load_llm
from delrec_kit.llm.place import TINY
from delrec_kit.llm.templates import TEMPLATES
from delrec_kit.settings.config import LlmConfig

SLOTS = {
    "final": {"history": [1, 2, 5], "candidates": [4, 6]},
    "rps": {"history": [1, 2], "candidates": [4, 6, 7]},
    "ta": {
        "example": [7, 8],
        "example_answer": [9],
        "example_last": [10],
        "history": [1],
        "last": [2],
        "candidates": [4, 5],
    },
}
REAL = os.environ.get("DELREC_TOKENIZER")
needs_real = pytest.mark.skipif(not REAL, reason="set DELREC_TOKENIZER to a folder with T5's tokenizer to lift this")
TOKENIZERS = ["t5", "tiny", *families.DECODERS, *families.ENCODERS, pytest.param("real", marks=needs_real)]


@pytest.fixture(scope="module", params=TOKENIZERS)
def family(request, tmp_path_factory):
    """A tokenizer and the form that its family's prompts have."""
    if request.param == "real":
        return AutoTokenizer.from_pretrained(REAL, eos_token="</s>", pad_token="<pad>"), None
    if request.param == "t5":
        folder = request.getfixturevalue("toy_llm_folder")
    elif request.param == "tiny":
        folder = TINY
    else:
        folder = families.make_model(tmp_path_factory.mktemp(request.param), request.param)
    llm = load_llm(LlmConfig(name=str(folder), quantization="fp32"), "cpu")
    return llm.tokenizer, llm.format


@pytest.mark.parametrize("verbalizer", ["title", "index", "first_token"])
@pytest.mark.parametrize("task", TEMPLATES)
@pytest.mark.parametrize("k", [0, 5])
def test_segments_tile_the_prompt(family, task, k, verbalizer):
    tokenizer, form = family
    more = {} if form is None else {"format": form}
    writer = PromptWriter(tokenizer, Domain(), families.TITLES, verbalizer=verbalizer, **more)
    prompt = writer.write(task, SLOTS[task], k)
    edges = [0, *(s.stop for s in prompt.segments)]
    assert [s.start for s in prompt.segments] == edges[:-1] and edges[-1] == len(prompt.ids)
    assert all(s.stop > s.start for s in prompt.segments)
    for name, items in SLOTS[task].items():
        shown = [prompt.ids[s.start : s.stop] for s in prompt.segments if s.name == name]
        assert len(shown) == len(items), name
        for item, ids in zip(items, shown, strict=True):
            title = [t for t in writer.table[item] if t >= 0]
            assert title == list(ids)[-len(title) :], "a piece is its title, behind a letter where answers are letters"
    soft = [s for s in prompt.segments if s.name == "soft"]
    assert len(soft) == (k > 0) and (np.asarray(prompt.ids) < 0).sum() == k
    for s in soft:
        assert (np.asarray(prompt.ids[s.start : s.stop]) < 0).all()
