"""Explanations of a constructed ranker whose answer hangs on one piece: they must find it, and a wrong one fail."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from delrec_kit.interpret import (
    WORDS,
    by_kind,
    deletion_curves,
    faithfulness_table,
    insertion_curves,
    leave_one_out,
    leave_out,
    pieces_of,
    plot_faithfulness,
    rank_agreement,
    readouts,
    verdict,
    verdict_text,
)
from delrec_kit.llm import LlmRecommender, SoftPrompt

K, USERS = 3, 24
SLOTS = ("history", "candidates")
CANDIDATES = np.array([[4, 5, 6]] * USERS)
TESTS = {"deletion": deletion_curves, "insertion": insertion_curves}


@dataclass(frozen=True, eq=False)
class HangsOn(LlmRecommender):
    """Sure of candidate 1 while the tokens of one piece are there, of none without; keeps what it was asked."""

    piece: tuple[str, int] = ("", 0)
    asked: list = field(default_factory=list)

    def score_prompts(self, prompts, items, what=None):
        self.asked.extend(prompts)
        there = [self.piece in {numbered(prompt, piece) for piece in pieces_of(prompt)} for prompt in prompts]
        return np.array(there)[:, None] * np.array([0.0, 4.0, 0.0])


def numbered(prompt, piece):
    """Name and number of a piece, also where others have been taken: a soft token's number is its id."""
    return piece.name, -int(prompt.ids[piece.places[0]]) - 1 if piece.name == "soft" else piece.index


@pytest.fixture
def hangs_on(plain_llm, writer, question):
    """hangs_on(name, index): a question to a recommender whose answer hangs on that piece."""
    rng = np.random.default_rng(0)
    histories = [rng.permutation([1, 2, *range(7, 19)])[:6] for _ in range(USERS)]
    P = SoftPrompt.untrained(plain_llm, K, seed=0)
    return lambda *piece: question(HangsOn(plain_llm, writer, P, piece=piece), histories, CANDIDATES)


def test_the_pieces_are_the_soft_tokens_and_titles(hangs_on, writer):
    for prompt in hangs_on("", 0).prompts[:3]:
        found = pieces_of(prompt)
        wanted = [("history", 6), ("soft", K), ("candidates", 3)]
        assert [(p.name, p.index) for p in found] == [(name, i) for name, count in wanted for i in range(count)]
        less = leave_out(prompt, [found[1], found[6]])
        text = [writer.text(p) for p in (prompt, less)]
        assert text[0].count(";") - text[1].count(";") == 1, "the title goes with what separated it"
        assert len(prompt.ids) - len(less.ids) > len(found[1].places) + 1
        assert [s.start for s in less.segments] == [0, *(s.stop for s in less.segments)][:-1], "they tile the prompt"
        assert less.segments[-1].stop == len(less.ids) and less.segments[-1].name == "answer"


def test_no_separator_stays_behind(hangs_on, writer):
    """Whatever titles go, those that stay are separated once."""
    rng = np.random.default_rng(0)
    for prompt in hangs_on("", 0).prompts:
        stays = [(piece, rng.random() < 0.4) for piece in pieces_of(prompt)]
        text = writer.text(leave_out(prompt, [piece for piece, here in stays if not here]))
        left = [sum(piece.name == name and here for piece, here in stays) for name in SLOTS]
        assert text.count(";") == sum(max(0, count - 1) for count in left), text
    assert ";" not in writer.text(leave_out(prompt, pieces_of(prompt)))


@pytest.mark.parametrize("piece", [("history", 2), ("soft", 1), ("candidates", 1)])
def test_what_decides_is_found_and_a_wrong_explanation_rejected(piece, hangs_on):
    asked = hangs_on(*piece)
    effects = leave_one_out(asked)
    top = effects.loc[effects.groupby("user")["effect"].idxmax()]
    assert (top["name"] == piece[0]).all() and (top["index"] == piece[1]).all()
    np.testing.assert_allclose(top["effect"], np.log(3) - np.log1p(2 * np.exp(-4)))
    assert (effects["effect"] > 1e-9).sum() == USERS
    explanations = {"right": effects["effect"], "wrong": -effects["effect"]}
    curves = {name: of(asked, explanations, seed=0) for name, of in TESTS.items()}
    tables = {name: faithfulness_table(of, 200, 0) for name, of in curves.items()}
    rows = {name: {test: t.set_index("explanation").loc[name] for test, t in tables.items()} for name in explanations}
    assert all(row["faithful"] and row["value"] > 0.2 for row in rows["right"].values())
    assert not any(row["faithful"] or row["value"] > 0 for row in rows["wrong"].values())
    same = rank_agreement(effects["effect"], effects["effect"], effects[["user"]], 50, 0)
    assert same == pytest.approx((1, 1, 1))
    good = verdict("right", same, same, 0.5, rows["right"])
    assert verdict_text(good) == "right: good, 1.00 [1.00, 1.00]" and good["deletion"] > 0.2 < good["insertion"]
    noise = pd.Series(np.random.default_rng(1).random(len(effects)))
    rho, low, high = loose = rank_agreement(noise, effects["effect"], effects[["user"]], 200, 0)
    assert -0.3 < low < rho < high < 0.3
    assert verdict("wrong", loose, loose, 0.5, rows["wrong"])["verdict"] == "misleading"
    assert rank_agreement(noise * 0, effects["effect"], effects[["user"]], 50, 0) == (0, 0, 0)
    figure, numbers = plot_faithfulness(tables, [good])
    assert numbers["explanation"].unique().tolist() == ["right", "wrong"] and len(figure.axes) == 2
    ends = [bar.get_segments()[0][:, 0] for bar in figure.axes[0].collections]
    np.testing.assert_allclose(ends, tables["deletion"][["low", "high"]], err_msg="as the verdict has them")
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["right: good", "wrong"]
    assert "distilled P: right is good (1.00)" in figure.get_suptitle()


def test_knowing_the_kind_of_a_piece_is_not_taken_for_knowing_the_piece():
    """Soft tokens matter most, then titles; which of a kind is chance for one explanation, and known to the other."""
    rng, kinds = np.random.default_rng(0), {"soft": 10, "history": 5}
    rows = [(user, name, n, kinds[name] + rng.random()) for user in range(40) for name in kinds for n in range(5)]
    effects = pd.DataFrame(rows, columns=["user", "name", "index", "effect"])
    kind = by_kind(effects, seed=0)
    own = effects.groupby(["user", "name"])["effect"].mean().xs("soft", level="name")
    known = kind[effects["name"] == "soft"].groupby(effects["user"]).mean()
    np.testing.assert_allclose(known, (own.sum() - own) / (len(own) - 1), atol=1e-6, err_msg="of the other users")
    over_all, within = (
        rank_agreement(kind, effects["effect"], effects[of], 200, 0) for of in (["user"], ["user", "name"])
    )
    assert over_all[0] > 0.7 and within[1] < 0 < within[2]
    sure = {test: pd.Series({"value": 1.0, "low": 0.5, "high": 1.5}) for test in TESTS}
    unsure = sure | {"insertion": pd.Series({"value": 0.1, "low": -0.5, "high": 0.7})}
    found = [
        verdict("x", within, over_all, over_all[0], sure),
        verdict("x", (0.12, 0.1, 0.2), (0.2, 0.1, 0.3), 0.8, sure),
        verdict("x", (0.4, 0.3, 0.5), (0.4, 0.3, 0.5), 0.8, sure),
        verdict("x", (0.9, 0.8, 1.0), (0.9, 0.8, 1.0), 0.8, unsure),
    ]
    words = ["coarse", "poor", "fair", "unsure"]
    assert [each["verdict"] for each in found] == words and set(words) <= set(WORDS)


def test_the_teacher_does_not_read_a_title_that_is_left_out(plain_llm, writer, question):
    """Else it would speak of it on, through a conditioned P. Prompts without a change are not asked about."""
    read, history = [], list(range(7, 17))  # of which the prompt lists the last six

    def expects(cases):
        read.append([history.tolist() for history in cases.history])
        return np.array([[float(len(history))] * plain_llm.d for history in cases.history], dtype=np.float32)

    P = SoftPrompt.untrained(plain_llm, K, seed=0, conditioned=1)
    asked = question(LlmRecommender(plain_llm, writer, P, history=6, expects=expects), [history], CANDIDATES[:1])
    (prompt,), found = asked.prompts, {(p.name, p.index): p for p in asked.pieces[0]}
    assert (prompt.expects == 10).all() and read == [[history]]
    out = [[found["history", 0], found["history", 5]], [found["soft", 1]], [], [found["history", 1]]]
    changed = [leave_out(prompt, pieces) for pieces in out]
    anew = asked.expecting_anew(changed, np.zeros(4, int))
    assert read[1:] == [[[7, 8, 9, 10, 12, 13, 14, 15], [7, 8, 9, 10, 11, 13, 14, 15, 16]]], "at once"
    assert [set(prompt.expects.tolist()) for prompt in anew] == [{8}, {10}, {10}, {9}]
    assert anew[1] is changed[1] and anew[2] is changed[2]
    constant = question(LlmRecommender(plain_llm, writer, SoftPrompt(P.vectors), history=6), [history], CANDIDATES[:1])
    gone = leave_out(constant.prompts[0], constant.pieces[0][:1])
    assert constant.expecting_anew([gone], [0])[0].expects is None
    assert np.ptp(asked.scores(changed, np.zeros(4, int)), axis=0).max() > 1e-3, "and the scores follow"


def test_a_piece_that_is_read_out_is_never_taken_out(hangs_on, monkeypatch):
    """Where the answer is read from pieces alone, one of them stays, or the model would say nothing."""
    asked = hangs_on("history", 0)
    assert readouts(asked) == [None] * USERS, "the answer of this model is read from all that it sees"
    explanation = {"x": leave_one_out(asked)["effect"]}
    monkeypatch.setattr(asked.recommender.llm, "read_out", lambda prompts: prompts.ids < 0)
    assert [(piece.name, piece.index) for piece in readouts(asked)] == [("soft", K - 1)] * USERS
    asked.recommender.asked.clear()
    for of in TESTS.values():
        of(asked, explanation, 0, shares=(1.0,))
    changed = asked.recommender.asked
    assert all(-K in prompt.ids for prompt in changed) and any(-1 not in prompt.ids for prompt in changed)


def test_insertion_ends_where_deletion_begins_and_again_the_same(hangs_on):
    asked = hangs_on("history", 0)
    effects = leave_one_out(asked)
    pd.testing.assert_frame_equal(effects, leave_one_out(hangs_on("history", 0)))
    all_back, all_gone = (of(asked, {"x": effects["effect"]}, 0, shares=(1.0,)) for of in TESTS.values())
    np.testing.assert_allclose(all_back["nats"], all_gone["nats"])
    assert all_back["nats"].min() > 0.5
    one, two, other = (deletion_curves(asked, {"x": effects["effect"]}, seed=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(one, two)
    assert not one["nats"].equals(other["nats"]), "another seed, other random orders"
