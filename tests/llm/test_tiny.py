"""The language model that ships with the kit: whole, small, and able to read."""

import json

import pytest

from delrec_kit.data.made_world.titles import make_catalogue
from delrec_kit.llm.loading import load_llm
from delrec_kit.llm.place import TINY
from delrec_kit.settings.config import LlmConfig
from tools.tiny_t5.card import measure
from tools.tiny_t5.corpus import Corpus

PROMPTS = 50
SLACK = 0.12  # two to three standard errors at n = 50 for what the card says is above .9


@pytest.fixture(scope="module")
def card():
    return json.loads((TINY / "card.json").read_text())


@pytest.fixture(scope="module")
def corpus():
    return Corpus()


def test_it_is_small_and_whole():
    files = {path.name: path.stat().st_size for path in TINY.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "card.json", "README.md"} <= files.keys()
    assert 1_000_000 < sum(files.values()) <= 10_000_000


def test_its_tokenizer_is_the_corpus_own(corpus):
    llm = load_llm(LlmConfig(quantization="fp32"), device="cpu")
    assert llm.tokenizer.get_vocab() == corpus.tokenizer.get_vocab()
    for title in make_catalogue(360)["title"]:
        assert llm.tokenizer(title)["input_ids"] == corpus.tokenizer(title)["input_ids"]


def test_every_quantised_layer_takes_whole_blocks_of_64():
    config = json.loads((TINY / "config.json").read_text())
    assert config["d_model"] % 64 == config["d_ff"] % 64 == config["num_heads"] * config["d_kv"] % 64 == 0


SKILLS = (
    "genre of a title",
    "listed film of a stated genre",
    "rule: last",
    "rule: sequel",
    "rule: unless",
)


@pytest.mark.parametrize("quantization", ["fp32", "nf4"])
def test_it_reads(corpus, card, quantization):
    """On fresh prompts about as well as its card says, and far above chance, in 4-bit too."""
    llm = load_llm(LlmConfig(quantization=quantization), device="cpu")
    found = measure(llm, corpus, PROMPTS, only=SKILLS)
    for skill in SKILLS:
        assert found[skill]["n"] == PROMPTS
        assert found[skill]["accuracy"] > card["skills"][skill]["accuracy"] - SLACK
        assert found[skill]["accuracy"] > found[skill]["chance"] + 0.5


def test_its_card_is_honest_about_what_is_needed(card):
    for skill in SKILLS:
        assert card["skills"][skill]["n"] >= 200
        assert card["skills"][skill]["accuracy"] > 0.9
        assert card["skills_4bit"][skill]["accuracy"] > 0.85
