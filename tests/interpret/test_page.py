"""One user's page: what stands in it, and that nothing of the data is taken for markup."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from delrec_kit.data import Domain
from delrec_kit.interpret import Page, Span, leave_out, pieces_of, prompt_html, spans_of
from delrec_kit.llm import PromptWriter

SPANS = [
    Span("This person watched", "instruction", -1, {}),
    Span("Alien <1979> & 'co'", "history", 0, {"effect": 0.5}),
    Span("P0", "soft", 0, {"effect": -1.0}),
    Span("Red Moon", "candidates", 0, {"effect": 0.001}),
]
RANKING = pd.DataFrame({"candidate": ["Alien <1979>", "Red Moon"], "answer": [False, True], "rank": [2.0, 1.0]})


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text, self.kinds, self.links = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.open += [tag] * (tag != "meta")
        self.kinds += [value for name, value in attrs if name == "class"]
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def page(view=None):
    facts, verdicts = [("first choice", "Alien <1979>")], ["attention: <poor>, 0.12"]
    return Page("User <7>", facts, RANKING, SPANS, "effect", verdicts, view).html()


VIEW = {"title": "<b>", "sides": []}


@pytest.mark.parametrize("view", [None, VIEW], ids=["still", "to touch"])
def test_the_page_is_whole_and_titles_are_no_markup(view):
    reader = Reader()
    reader.feed(page(view))
    assert reader.open == [] and reader.links == [], "every tag is closed, and nothing is fetched"
    text = " ".join(reader.text)
    wanted = ["User <7>", "Alien <1979> & 'co'", "Red Moon ← what came next", "+0.5", "-1", "<poor>"]
    assert [part for part in wanted if part not in text] == []
    assert [reader.kinds.count(kind) for kind in ("piece for", "piece against", "piece")] == [1, 1, 1], (
        "the last unmarked"
    )
    assert ("<script" in page(view)) == ("<noscript>" in page(view)) == (view is not None)
    assert "width=device-width" in page(view) and "default-src 'none'" in page(view)


def test_the_look_of_a_prompt_stays_with_the_prompt():
    """A notebook that shows one is not styled anew."""
    sheet = prompt_html(SPANS, "effect").partition("</style>")[0].removeprefix("<style>")
    for rule in re.sub(r"\{[^}]*\}", "\n", sheet).split("\n"):
        assert not rule.strip() or rule.strip().startswith(".delrec-prompt "), rule


def test_spans_are_the_prompt_in_its_order(writer):
    prompt = writer.write("final", {"history": [4, 2], "candidates": [1, 5]}, 3)
    values = {(p.name, p.index): {"effect": float(n)} for n, p in enumerate(pieces_of(prompt))}
    spans = spans_of(writer, prompt, values)
    assert [s.values["effect"] for s in spans if s.values] == list(np.arange(len(values), dtype=float))
    named = [(s.name, s.index, s.text) for s in spans if s.values]
    assert named[0] == ("history", 0, "Silent Harbour") and ("soft", 2, "P2") in named
    assert ("candidates", 1, "The Last Harbour Song") in named


def test_a_title_of_unknown_words_is_shown_as_unknown(plain_llm):
    writer = PromptWriter(plain_llm.tokenizer, Domain(), ["", "Red Moon", "日本"])
    spans = spans_of(
        writer, writer.write("final", {"history": [1], "candidates": [2, 1]}), {("candidates", 0): {"e": 1.0}}
    )
    assert [span.text for span in spans if span.values] == ["<unk>"]


def test_a_candidates_letter_goes_with_it(plain_llm):
    writer = PromptWriter(plain_llm.tokenizer, Domain(), ["", "Red Moon", "Rising"], verbalizer="index")
    prompt = writer.write("final", {"history": [1], "candidates": [2, 1]})
    pieces = [piece for piece in pieces_of(prompt) if piece.name == "candidates"]
    text = writer.text(leave_out(prompt, pieces[:1]))
    assert "B ##: Red Moon" in text and "Rising" not in text and "A ##:" not in text
