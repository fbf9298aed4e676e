"""Whatever a title says, it is text: no control token, no marker of the kit's own templates."""

import families
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from delrec_kit.data import Domain
from delrec_kit.llm import PromptWriter, words_of
from delrec_kit.llm.as_text import as_text, control_tokens
from delrec_kit.settings.config import LlmConfig

FAMILIES = ["tiny", "unigram", "minilm-like", *families.ARCHITECTURES]
TAGS = [
    "</s>",
    "<pad>",
    "<start_of_turn>",
    "[MASK]",
    "<|endoftext|>",
    "<unk>",
    "[UNK]",
    "[PAD]",
    "<bos>",
    "<eos>",
    "<mask>",
]
TAGS += ["<|user|>", "<|end|>", "<|assistant|>"]
MARKERS = ["{soft}", "{history}", "[ Pattern: {soft}.]", "[", "]", "{", "}", "<P>"]


def unigram():
    """As T5 and its kin have it: control tokens stand among the words, and would be found there."""
    letters = [chr(n) for n in range(33, 127)]
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((c, -5.0) for c in letters), ("▁Red", -3.0)]
    core = Tokenizer(models.Unigram(words, unk_id=2))
    core.normalizer = normalizers.NFKC()
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def word_pieces():
    """As BERT has it, with every character of its own."""
    special, letters = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], [chr(n) for n in range(33, 127)]
    vocabulary = [*special, *letters, *(f"##{letter}" for letter in letters)]
    core = Tokenizer(models.WordPiece({word: n for n, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    core.pre_tokenizer, core.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special))
    return PreTrainedTokenizerFast(tokenizer_object=core, **names)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """name -> a tokenizer and the format of its family, or no format."""
    made = {}

    def of(name):
        if name not in made:
            if name == "unigram":
                made[name] = (unigram(), None)
            elif name == "minilm-like":
                made[name] = (word_pieces(), None)
            else:
                folder = name if name == "tiny" else str(families.make_model(tmp_path_factory.mktemp(name), name))
                found = words_of(LlmConfig(name=folder))
                made[name] = (found.tokenizer, found.format)
        return made[name]

    return of


def bare(text):
    return "".join(text.split())


def writer_of(tokenizer, format, titles):
    return PromptWriter(tokenizer, Domain(), titles, format=format)


@pytest.mark.parametrize("name", FAMILIES)
def test_no_control_token_comes_from_a_title_and_its_text_comes_back(name, words):
    tokenizer, _ = words(name)
    named = [*TAGS, *control_tokens(tokenizer)]
    titles = ["", "Red Moon", *(f"Red {tag} Moon" for tag in named), *named, *(f"{tag}Red{tag}" for tag in named)]
    titles += [f"Red {marker} Moon" for marker in MARKERS]
    rows = as_text(tokenizer, titles[1:])
    unknown = tokenizer.unk_token_id
    control = set(control_tokens(tokenizer).values()) - {unknown}
    assert control
    for title, row in zip(titles[1:], rows, strict=True):
        assert control.isdisjoint(row), title
        if unknown not in row:
            assert bare(tokenizer.decode(row)) == bare(title)
    assert as_text(tokenizer, ["Red Moon"])[0] == tokenizer("Red Moon", add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("name", FAMILIES)
def test_different_titles_stay_different(name, words):
    tokenizer, _ = words(name)
    tags = [tag for tag in control_tokens(tokenizer) if len(tag) > 2]
    titles = [f"Red {tag}" for tag in tags] + [f"Red {tag[1:]}" for tag in tags] + ["Red"]
    rows = as_text(tokenizer, titles)
    unknown = tokenizer.unk_token_id
    known = [(title, tuple(row)) for title, row in zip(titles, rows, strict=True) if unknown not in row]
    assert len(known) > (1 if name != "bert" else 0), "whose letters here lack brackets"
    assert len({row for _, row in known}) == len({bare(title) for title, _ in known})


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in ("unigram", "minilm-like")])
def test_a_prompt_holds_the_control_tokens_of_its_format_and_no_others(name, words):
    tokenizer, format = words(name)
    tags = [*TAGS, *control_tokens(tokenizer), *MARKERS]
    plain = writer_of(tokenizer, format, ["", *("Red" for _ in tags)])
    tagged = writer_of(tokenizer, format, ["", *(f"Red {tag}" for tag in tags)])
    control = set(control_tokens(tokenizer).values()) - {tokenizer.unk_token_id}
    items = np.arange(1, len(tags) + 1)
    slots = {"history": items, "candidates": items, "teacher": items, "example": items, "last": items[:1]}
    slots |= {"example_answer": items[:1], "example_last": items[:1]}
    for task in ("final", "rps", "ta"):
        for k in (0, 3):
            wanted, found = (writer.write(task, slots, k) for writer in (plain, tagged))
            assert [i for i in found.ids if i in control] == [i for i in wanted.ids if i in control]
            assert (found.ids < 0).sum() == k
            assert [s.name for s in found.segments] == [s.name for s in wanted.segments]
    table = tagged.answers
    assert not {int(i) for item in items for i in table[item]} & control


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*TAGS, "Red", " ", "Moon", "{soft}", "[", "]", "<", "/s>"]), min_size=1, max_size=8))
def test_any_row_of_tags_is_text(parts):
    tokenizer = families.byte_level(chat=True)
    text = "".join(parts)
    (row,) = as_text(tokenizer, [text])
    assert tokenizer.decode(row, clean_up_tokenization_spaces=False) == text
    assert not set(row) & set(control_tokens(tokenizer).values())


def test_it_would_have_been_found_otherwise():
    """The ordinary tokenizers do end a text where a title says so."""
    for tokenizer, tag in ((unigram(), "</s>"), (families.byte_level(), "<eos>"), (families.word_pieces(), "[SEP]")):
        assert tokenizer.eos_token_id is None or tag == tokenizer.eos_token
        number = tokenizer.convert_tokens_to_ids(tag)
        assert number in tokenizer(f"Red {tag} Moon", add_special_tokens=False)["input_ids"]
        assert number not in as_text(tokenizer, [f"Red {tag} Moon"])[0]
