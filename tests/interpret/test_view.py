"""The prompt that one can touch: its numbers against the tensors they come from, and its JSON as a part of a page."""

import json
import re

import families
import numpy as np
import pytest
import torch

from delrec_kit.data import Domain
from delrec_kit.interpret import (
    ByHand,
    PromptView,
    attention_by_piece,
    integrated_gradients,
    leave_one_out,
    plot_prompt,
)
from delrec_kit.interpret import side as side_of
from delrec_kit.interpret.by_piece import between
from delrec_kit.interpret.touch import Touch
from delrec_kit.interpret.view import MOST, embedded, sources, view_data
from delrec_kit.llm import LlmRecommender, PromptWriter, SoftPrompt, load_llm
from delrec_kit.settings.config import LlmConfig

N, HISTORY, CANDIDATES, TARGET = 18, [7, 12, 9], [1, 2, 4, 6], 4


class Even:
    def scores(self, cases, items=None):
        return np.zeros((len(cases.history), N + 1) if items is None else items.shape, dtype=np.float32)


@pytest.fixture
def asked(plain_llm, writer):
    P = SoftPrompt.untrained(plain_llm, 3, seed=0).requires_grad_(False)
    return ByHand(LlmRecommender(plain_llm, writer, P), Even(), [f"Title {item}" for item in range(N + 1)])


@pytest.fixture
def side(asked):
    return side_of(asked, HISTORY, CANDIDATES, TARGET, "DELRec")


def test_attention_between_groups_of_tokens_by_hand():
    """Two tokens look as one group, each counts half; the last two tokens are looked at as one."""
    weights = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.0, 0.0, 1.0]])
    looks = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    found = between(weights, looks, [np.array([0]), np.array([1, 2])])
    np.testing.assert_allclose(found, [[0.3, 0.7], [0.0, 1.0]], atol=1e-6)
    part = between(weights, looks, [np.array([0])])
    np.testing.assert_allclose(part, [[1.0], [0.0]], err_msg="what falls on no part is left out, nothing stays nothing")


def test_all_that_looks_is_accounted_for_and_agrees_with_the_tables(side, asked):
    n, m = len(side.pieces), len(CANDIDATES)
    assert n == len(HISTORY) + 3 + m + 1 and side.pieces[-1] == ("rest", 0)
    assert side.attention.shape == (2, 4, n, n) and side.answering.shape == (2, 4, m, n)
    for each in (side.attention, side.answering, side.rollout, side.rollout_answering):
        np.testing.assert_allclose(each.sum(-1), 1, atol=1e-5)
        assert np.ptp(each[..., 0]) > 1e-5, "who looks makes a difference"
    question = asked.question(HISTORY, CANDIDATES)
    table, pieces = attention_by_piece(question), slice(0, n - 1)
    raw, rolled = side.answering.mean((0, 1))[side.first], side.rollout_answering[side.first]
    np.testing.assert_allclose(raw[pieces], table["attention"], atol=1e-5)
    np.testing.assert_allclose(rolled[pieces], table["rollout"], atol=1e-5)
    np.testing.assert_allclose(side.effect[side.first][pieces], leave_one_out(question)["effect"], atol=1e-5)
    np.testing.assert_allclose(side.gradients[pieces], integrated_gradients(question)[0]["gradients"], atol=1e-5)
    assert (side.effect[:, -1] == 0).all() and side.gradients[-1] == 0
    assert side.first == np.argmax([chance for _, chance, _, _ in side.answers])
    assert [came for *_, came in side.answers] == [item == TARGET for item in CANDIDATES]


def test_what_speaks_for_one_candidate_speaks_against_others(side):
    """Leaving a piece out moves chance between the candidates: none gains where all lose."""
    moved = np.abs(side.effect[:, :-1]) > 1e-3
    signs = np.sign(side.effect[:, :-1])
    assert moved.any() and all(len({*column[on]}) != 1 or on.sum() < len(on) for column, on in zip(signs.T, moved.T))


def test_the_json_is_small_and_holds_what_is_shown(side):
    data = view_data([side, side], "two")
    text = json.dumps(data)
    assert len(text) < 60_000 and json.loads(text) == data
    one = data["sides"][0]
    assert [piece["key"] for piece in one["pieces"]][:2] == ["history:0", "history:1"]
    labels = [piece["label"] for piece in one["pieces"]]
    assert labels[:4] == ["title 3 back", "title 2 back", "title 1 back", "P0"] and labels[-1] == "the other words"
    np.testing.assert_allclose(np.array(one["attention"]) / 1000, side.attention, atol=6e-4)
    np.testing.assert_allclose(one["effect"], side.effect, atol=6e-4)
    spoken = " ".join(text for text, _ in one["spans"])
    assert "P0 P1 P2" in spoken and len({at for _, at in one["spans"]}) == len(labels)


def test_the_heads_of_a_large_model_are_averaged(side, monkeypatch):
    assert side.attention.size < MOST
    monkeypatch.setattr("delrec_kit.interpret.view.MOST", 10)
    one = view_data([side])["sides"][0]
    np.testing.assert_allclose(np.array(one["attention"])[:, 0] / 1000, side.attention.mean(1), atol=6e-4)


EVIL = "</script><script>alert(1)</script><b>&amp;\u2028"


def test_a_title_cannot_end_the_script_that_holds_it(side):
    data = view_data([side], EVIL)
    html = embedded(data)
    held = re.search(r"<script type='application/json' class='delrec-view-data'>(.*?)</script>", html, re.S).group(1)
    assert json.loads(held) == data and json.loads(held)["title"] == EVIL
    assert html.count("</script>") == 2 and html.count("</style>") == 1 and "\u2028" not in html


def test_the_script_and_the_sheet_fetch_nothing_and_make_no_markup_of_text():
    script, sheet = sources()
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "eval(",
        "fetch(",
        "import(",
        "document.write",
        "</script",
    ):
        assert word not in script
    assert "url(" not in sheet and "@import" not in sheet
    every = re.sub(r"/\*.*?\*/|\{[^{}]*\}", "", sheet, flags=re.S)
    parts = [part.strip() for line in re.split(r"[{},\n]", every) for part in [line] if part.strip()]
    assert all(part.startswith((".delrec-view", "@")) for part in parts), "it touches nothing but the view"


def test_a_picture_and_a_widget_of_the_same(side, tmp_path, monkeypatch):
    figure, table = plot_prompt([side])
    assert len(table) == 4 * len(side.pieces) and np.isfinite(table["value"]).all()
    assert side.answers[side.first][0] in figure.get_suptitle()
    view = PromptView([side], "Ann")
    monkeypatch.setenv("DELREC_KIT_PROGRESS", "bar")
    widget = view.touch()
    assert isinstance(widget, Touch) and json.loads(widget.data) == view.data
    sent = []
    monkeypatch.setattr(widget, "send", sent.append)
    widget._handle_custom_msg({"want": "page"}, [])
    assert sent == [{"page": view.page()}] and view.save(tmp_path / "ann.html").read_text() == view.page()
    assert view.save(tmp_path / "ann.png").read_bytes()[:4] == b"\x89PNG"
    monkeypatch.setenv("DELREC_KIT_PROGRESS", "lines")
    assert view.touch().data == embedded(view.data), "what nobody watches is kept as HTML"


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_other_families_look_too(name, tmp_path):
    """A decoder's tokens see only what stands before them; a masked encoder compares all titles with one state."""
    llm = load_llm(LlmConfig(name=str(families.make_model(tmp_path, name)), quantization="fp32"), "cpu")
    writer = PromptWriter(llm.tokenizer, Domain(), families.TITLES, format=llm.format)
    llm.encode_titles(writer.table)
    P = SoftPrompt.untrained(llm, 3, seed=0).requires_grad_(False)
    one = side_of(ByHand(LlmRecommender(llm, writer, P), Even(), families.TITLES), HISTORY, CANDIDATES, TARGET, name)
    for each in (one.attention, one.answering, one.rollout, one.rollout_answering):
        np.testing.assert_allclose(each.sum(-1), 1, atol=1e-4)
    rows = len(CANDIDATES) if name == "llama" else 1
    assert len(one.rollout_answering) == one.answering.shape[2] == rows and one.effect.shape[0] == len(CANDIDATES)
    later = [at for at, (kind, _) in enumerate(one.pieces) if kind == "soft"]
    assert (one.attention[:, :, 0, later].max() == 0) == (name == "llama")
    assert json.loads(json.dumps(view_data([one])))["sides"][0]["first"] == one.first
