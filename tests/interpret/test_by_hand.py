"""A person's question put by hand, and the panel that puts it with the mouse."""

import asyncio
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax

from delrec_kit.interpret import ATTENTION, EFFECT, GRADIENTS, ROLLOUT, SAID, ByHand, plot_ranking
from delrec_kit.interpret.panel import OneUser
from delrec_kit.interpret.question import leave_out
from delrec_kit.llm import LlmRecommender, SoftPrompt
from delrec_kit.settings.errors import KitError

N, K = 18, 3
HISTORY, CANDIDATES = [7, 12, 9], [1, 2, 4, 6]


class SaysAfter:
    """The teacher's favourite is the item after the last one of the history."""

    def scores(self, cases, items=None):
        rows = [[-np.inf] + [-abs(item - h[-1] - 1.0) for item in range(1, N + 1)] for h in cases.history]
        table = np.array(rows, dtype=np.float32)
        return table if items is None else np.take_along_axis(table, items, 1)


@pytest.fixture
def asked(plain_llm, writer):
    soft = SoftPrompt.untrained(plain_llm, K, seed=0).requires_grad_(False)
    titles = [f"Title {item}" for item in range(N + 1)]
    return ByHand(LlmRecommender(plain_llm, writer, soft), SaysAfter(), titles)


def test_the_ranking_is_that_of_the_models(asked):
    table = asked.ranking(HISTORY, CANDIDATES)
    assert table["item"].tolist() == CANDIDATES and table["chance"].sum() == pytest.approx(1)
    assert table["teacher_rank"].tolist() == [4, 3, 2, 1], "6 is nearest to 10"
    assert (table["chance"].rank(ascending=False) == table["llm_rank"]).all() and table["llm_rank"].nunique() > 1
    moved = asked.ranking([*HISTORY, 1], CANDIDATES)
    assert moved["teacher_rank"].tolist() == [2, 1, 3, 4] and not np.allclose(moved["chance"], table["chance"])
    figure, shown = plot_ranking(moved, target=2, before=table)
    text = " ".join(t.get_text() for t in figure.axes[0].texts)
    assert "Title 2" in text and shown is moved
    steps = (table["llm_rank"] - moved["llm_rank"]).to_numpy()
    assert ("▲" in text) == (steps > 0).any() and ("▼" in text) == (steps < 0).any()


def test_ties_share_a_rank_and_dollars_stay_dollars():
    rows = [(1, "$9.99", 1.5, 2.0, 0.3), (2, "Money $$ Money", 1.5, 1.0, 0.6), (3, "C", 3.0, 3.0, 0.1)]
    figure, _ = plot_ranking(
        pd.DataFrame(rows, columns=["item", "title", "teacher_rank", "llm_rank", "chance"]), method="delrec"
    )
    texts = figure.axes[0].texts
    assert {"$9.99  1=", "Money $$ Money  1=", "C  3", "DELRec"} <= {text.get_text() for text in texts}
    assert "2 candidates alike" in figure.get_suptitle() and not any(text.get_parse_math() for text in texts[:6])
    figure.canvas.draw()


def test_what_popularity_alone_would_say_stands_beside(asked):
    plain = asked.ranking(HISTORY, CANDIDATES)
    assert "prior" not in plain
    popular = replace(asked, recommender=replace(asked.recommender, prior=torch.linspace(0, -3, N + 1)))
    ranked = popular.ranking(HISTORY, CANDIDATES)
    odds = np.exp(-3 / N * np.array(CANDIDATES))
    np.testing.assert_allclose(ranked["prior"], odds / odds.sum(), rtol=1e-5)
    together = plain["chance"] * ranked["prior"]
    np.testing.assert_allclose(ranked["chance"], together / together.sum(), rtol=1e-3)


def test_every_explanation_speaks_of_every_piece(asked):
    spans, missed = asked.explained(HISTORY, CANDIDATES)
    assert abs(missed) < 0.1
    spoken = [span for span in spans if span.values]
    assert len(spoken) == len(HISTORY) + K + len(CANDIDATES)
    assert all(set(span.values) == {EFFECT, GRADIENTS, ATTENTION, ROLLOUT} == set(SAID) for span in spoken)
    only, nothing = asked.explained(HISTORY, CANDIDATES, [EFFECT])
    assert nothing is None
    same = [span.values[EFFECT] for span in spoken]
    np.testing.assert_allclose([s.values[EFFECT] for s in only if s.values], same, atol=1e-5)
    assert np.std(same) > 1e-4


def test_a_layer_and_a_head_can_be_chosen(asked):
    def seen(**where):
        spans, _ = asked.explained(HISTORY, CANDIDATES, [ATTENTION], **where)
        return np.array([span.values[ATTENTION] for span in spans if span.values])

    each = np.array([[seen(layer=layer, head=head) for head in range(4)] for layer in range(2)])
    np.testing.assert_allclose(each.mean((0, 1)), seen(), atol=1e-5)
    np.testing.assert_allclose(each[1].mean(0), seen(layer=1), atol=1e-5)
    assert each.std((0, 1)).max() > 1e-3


def test_what_cannot_be_asked_is_refused(asked):
    with pytest.raises(KitError, match="at least one"):
        asked.ranking([], CANDIDATES)
    with pytest.raises(KitError, match="at least two"):
        asked.ranking(HISTORY, [1])


@pytest.fixture
def panel(asked):
    users = {"ann": lambda: (list(HISTORY), list(CANDIDATES), 4), "bob": lambda: ([3, 8], [1, 2, 5], 5)}
    return OneUser({"delrec": lambda: asked}, users, (2, 4))


def test_the_history_is_changed_with_the_mouse(panel, asked):
    first, seen = bytes(panel.picture.value), [panel.ranking["chance"].tolist()]
    assert (
        first[:8] == b"\x89PNG\r\n\x1a\n" and SAID[EFFECT] in panel.prompt.value and "piece for" in panel.prompt.value
    )
    assert [text for text, _ in panel.titles.options] == [asked.titles[item] for item in HISTORY]
    assert panel.titles.index == len(HISTORY) - 1, "the list begins at the titles that the prompt shows"
    panel.titles.index = 0
    panel.buttons["remove"].click()
    assert panel.history == HISTORY[1:] and panel.titles.index == 0
    seen.append(panel.ranking["chance"].tolist())
    panel.buttons["later"].click()
    assert panel.history == [9, 12] and panel.titles.index == 1, "the choice goes with the title"
    seen.append(panel.ranking["chance"].tolist())
    panel.buttons["earlier"].click()
    assert panel.history == [12, 9]
    panel.new.value = "title 5"
    assert panel.history == [12, 9, 5] and panel.new.value == "" and panel.titles.index == 2
    seen.append(panel.ranking["chance"].tolist())
    panel.buttons["as it was"].click()
    assert panel.history == HISTORY and len({*map(tuple, seen)}) == 4, "each change is asked about"
    assert bytes(panel.picture.value) == first
    panel.user.value = "bob"
    assert panel.history == [3, 8] and len(panel.titles.options) == 2


def test_what_cannot_be_done_is_said_and_loses_nothing(panel):
    panel.new.value = "Titel 5 <b>"
    assert "no title" in panel.message.value and "<b>" not in panel.message.value and panel.history == HISTORY
    assert panel.new.value == "", "the same can be tried again"
    panel.titles.index = None
    panel.buttons["remove"].click()
    assert "choose a title" in panel.message.value and panel.history == HISTORY
    for _ in HISTORY:
        panel.titles.index = 0
        panel.buttons["remove"].click()
    assert "at least one title" in panel.message.value and panel.history == HISTORY[2:]


def test_layer_and_head_are_for_attention(panel):
    assert panel.layer.disabled and panel.head.disabled
    panel.how.value = ATTENTION
    shown = [panel.prompt.value]
    assert not panel.layer.disabled
    panel.layer.value, panel.head.value = 1, 2
    assert panel.prompt.value not in shown
    panel.how.value = ROLLOUT
    assert SAID[ROLLOUT] in panel.prompt.value and panel.layer.disabled


@pytest.fixture
def asking(asked, monkeypatch):
    """The histories that the models have been asked about."""
    seen, ranking = [], type(asked).ranking
    monkeypatch.setattr(type(asked), "ranking", lambda self, h, c: seen.append(list(h)) or ranking(self, h, c))
    return seen


def test_quick_clicks_are_one_question_and_busy_is_said(panel, asking, monkeypatch):
    monkeypatch.setattr("delrec_kit.interpret.panel.PAUSE", 0.05)

    async def click():
        for _ in range(10):
            panel.new.value = "title 5"
        assert "working" in panel.message.value and len(panel.titles.options) == len(HISTORY) + 10
        await asyncio.sleep(0.5)

    asyncio.run(click())
    assert asking == [[*HISTORY, *[5] * 10]] and panel.message.value == ""


def test_soft_tokens_are_switched_off(panel, asked):
    on = panel.ranking["chance"].tolist()
    panel.off.value = (1,)
    one = panel.ranking["chance"].tolist()
    question = asked.question(HISTORY, CANDIDATES)
    (gone,) = [piece for piece in question.pieces[0] if (piece.name, piece.index) == ("soft", 1)]
    without = asked.recommender.score_prompts([leave_out(question.prompts[0], [gone])], question.items)[0]
    np.testing.assert_allclose(one, softmax(without.astype(float)), rtol=1e-5)
    assert "P0" in panel.prompt.value and "P1" not in panel.prompt.value and "P2" in panel.prompt.value
    panel.off.value = ()
    assert on != one and panel.ranking["chance"].tolist() == on


def test_what_fails_is_said_and_the_history_is_that_of_the_answer(panel, asked, monkeypatch):
    def fails(*_):
        raise RuntimeError("out of <memory>")

    with monkeypatch.context() as patch:
        patch.setattr(type(asked), "ranking", fails)
        panel.new.value = "title 5"
    assert "RuntimeError: out of &lt;memory&gt;" in panel.message.value
    assert panel.history == HISTORY and len(panel.titles.options) == len(HISTORY)
    panel.new.value = "title 5"
    assert panel.history == [*HISTORY, 5] and panel.message.value == ""


def test_a_user_is_searched_for_and_another_method_asked(asked, asking, tmp_path):
    users = {f"user {n}": lambda n=n: ([1 + n % N], list(CANDIDATES), 4) for n in range(1000)}
    other = replace(asked, recommender=replace(asked.recommender, P=None))
    methods = {"delrec": lambda: asked, "llm_finetuned": lambda: other}
    panel = OneUser(methods, users, (2, 4), lambda name: [f"verdict on {name}"], tmp_path)
    panel.user.value = "user 1717"
    assert "no user 'user 1717'" in panel.message.value and panel.history == [1]
    panel.user.value = "user 3"
    first = panel.ranking["chance"].tolist()
    assert panel.history == [4] and asking[-1] == [4] and "verdict on delrec" in panel.believe.value
    panel.method.value = "llm_finetuned"
    assert panel.ranking["chance"].tolist() != first and "verdict on llm_finetuned" in panel.believe.value
    assert "P0" not in panel.prompt.value
    panel.more["touch the prompt"].click()
    assert "LLM, fine-tuned" in panel.touched.children[0].data
    panel.more["save as page"].click()
    assert panel.shown() in (None, panel.box)
    assert "user 3" in (tmp_path / "05c_user3.html").read_text() and "05c_user3.html" in panel.message.value
