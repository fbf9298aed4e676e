"""Explanations of a constructed ranker whose answer hangs on one piece: they must find it, and a wrong one fail."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from delrec_kit.interpret import (
    by_kind,
    deletion_curves,
    faithfulness_table,
    insertion_curves,
    leave_one_out,
    leave_out,
    pieces_of,
    plot_faithfulness,
    rank_agreement,
    retold,
    verdict,
)
from delrec_kit.interpret.pieces import Piece

K, USERS = 3, 24
SLOTS = ("history", "candidates")
CANDIDATES = np.array([[4, 5, 6]] * USERS)


@pytest.fixture
def prompts(writer):
    rng = np.random.default_rng(0)
    histories = [rng.permutation([1, 2, *range(7, 19)])[:6] for _ in range(USERS)]
    return [writer.write("final", {"history": h, "candidates": CANDIDATES[0]}, K) for h in histories]


def hangs_on(name, index, prompts):
    """Sure of candidate 1 while the tokens of one piece are there, of none without."""

    def score(asked, rows):
        there = [(name, index) in {(piece.name, piece.index) for piece in told(prompt)} for prompt in asked]
        return np.array(there)[:, None] * np.array([0.0, 4.0, 0.0])

    return score


def told(prompt):
    """The pieces of a prompt from which some may have been taken: a soft token's number is its id."""
    for piece in pieces_of(prompt):
        yield Piece("soft", -int(prompt.ids[piece.places[0]]) - 1, piece.places) if piece.name == "soft" else piece


def test_the_pieces_are_the_soft_tokens_and_titles(prompts, writer):
    for prompt in prompts[:3]:
        found = pieces_of(prompt)
        wanted = [("history", 6), ("soft", K), ("candidates", 3)]
        assert [(p.name, p.index) for p in found] == [(name, i) for name, count in wanted for i in range(count)]
        less = leave_out(prompt, [found[1], found[6]])
        text = [writer.text(p) for p in (prompt, less)]
        assert text[0].count(";") - text[1].count(";") == 1, "the title goes with what separated it"
        assert len(prompt.ids) - len(less.ids) > len(found[1].places) + 1
        assert [s.start for s in less.segments] == [0, *(s.stop for s in less.segments)][:-1], "they tile the prompt"
        assert less.segments[-1].stop == len(less.ids) and less.segments[-1].name == "answer"


def test_no_separator_stays_behind(prompts, writer):
    """Whatever titles go, those that stay are separated once."""
    rng = np.random.default_rng(0)
    for prompt in prompts:
        found = pieces_of(prompt)
        gone = [piece for piece in found if rng.random() < 0.6]
        text = writer.text(leave_out(prompt, gone))
        kept = [sum(p.name == name for p in found) - sum(p.name == name for p in gone) for name in SLOTS]
        assert text.count(";") == sum(max(0, count - 1) for count in kept), text
    assert ";" not in writer.text(leave_out(prompts[0], pieces_of(prompts[0])))


@pytest.mark.parametrize("piece", [("history", 2), ("soft", 1), ("candidates", 1)])
def test_what_decides_is_found_and_a_wrong_explanation_rejected(piece, prompts):
    score = hangs_on(*piece, prompts)
    effects = leave_one_out(score, prompts)
    top = effects.loc[effects.groupby("user")["effect"].idxmax()]
    assert (top["name"] == piece[0]).all() and (top["index"] == piece[1]).all()
    assert (
        np.allclose(top["effect"], np.log(3) - np.log1p(2 * np.exp(-4))) and (effects["effect"] > 1e-9).sum() == USERS
    )
    explanations = {"right": effects["effect"], "wrong": -effects["effect"]}
    tests = {"deletion": deletion_curves, "insertion": insertion_curves}
    curves = {name: of(score, prompts, explanations, seed=0) for name, of in tests.items()}
    tables = {name: faithfulness_table(of, 200, 0) for name, of in curves.items()}
    for table in tables.values():
        table = table.set_index("explanation")
        assert table.loc["right", "faithful"] and not table.loc["wrong", "faithful"]
        assert table.loc["right", "value"] > 0.2 > 0 > table.loc["wrong", "value"]
    row = lambda name: {test: table.set_index("explanation").loc[name] for test, table in tables.items()}  # noqa: E731
    same = rank_agreement(effects["effect"], effects["effect"], effects[["user"]], 50, 0)
    assert same == pytest.approx((1, 1, 1))
    assert "right is a good guide here: Spearman 1.00" in verdict("right", same, same, 0.5, row("right"))
    noise = pd.Series(np.random.default_rng(1).random(len(effects)))
    rho, low, high = loose = rank_agreement(noise, effects["effect"], effects[["user"]], 200, 0)
    assert -0.3 < low < rho < high < 0.3 and "misleading" in verdict("wrong", loose, loose, 0.5, row("wrong"))
    assert rank_agreement(noise * 0, effects["effect"], effects[["user"]], 50, 0) == (0, 0, 0)
    figure, numbers = plot_faithfulness(curves, tables)
    assert {"right", "wrong", "random"} == set(numbers["explanation"]) and len(figure.axes) == 2
    assert "distilled P: right surely beats random orders in both tests" in figure.get_suptitle()


def test_knowing_the_kind_of_a_piece_is_told_from_knowing_the_piece():
    """Soft tokens matter most, then titles; which of a kind is chance for one explanation, and known to the other."""
    rng, rows = np.random.default_rng(0), []
    for user in range(40):
        rows += [
            (user, name, n, base + rng.random()) for name, base in (("soft", 10), ("history", 5)) for n in range(5)
        ]
    effects = pd.DataFrame(rows, columns=["user", "name", "index", "effect"])
    kind = by_kind(effects, seed=1)
    own = effects.groupby(["user", "name"])["effect"].mean().xs("soft", level="name")
    told = kind[effects["name"] == "soft"].groupby(effects["user"]).mean()
    np.testing.assert_allclose(told, (own.sum() - own) / (len(own) - 1), atol=1e-6, err_msg="of the other users")
    among = {"all": ["user"], "a kind": ["user", "name"]}
    rho = {what: rank_agreement(kind, effects["effect"], effects[of], 200, 0) for what, of in among.items()}
    assert rho["all"][0] > 0.7 and rho["a kind"][1] < 0 < rho["a kind"][2]
    sure = {test: pd.Series({"value": 1.0, "low": 0.5, "high": 1.5}) for test in ("deletion", "insertion")}
    assert "a coarse guide here" in verdict("x", rho["a kind"], rho["all"], rho["all"][0], sure)
    assert "a poor guide here: Spearman 0.12" in verdict("x", (0.12, 0.1, 0.2), (0.2, 0.1, 0.3), 0.8, sure)
    assert "a fair guide" in verdict("x", (0.4, 0.3, 0.5), (0.4, 0.3, 0.5), 0.8, sure)
    unsure = sure | {"insertion": pd.Series({"value": 0.1, "low": -0.5, "high": 0.7})}
    assert "not surely better than chance" in verdict("x", (0.9, 0.8, 1.0), (0.9, 0.8, 1.0), 0.8, unsure)


def test_a_conditioned_p_is_told_anew_without_the_title(prompts, writer):
    """Else the teacher, who has read the title, would speak of it on."""
    asked = []

    class Expects:
        def of_history(self, history):
            asked.append(list(history))
            return np.full(2, float(len(history)))

    history = list(range(7, 17))  # of which the prompt lists the last six
    prompt = replace(writer.write("final", {"history": history[-6:], "candidates": CANDIDATES[0]}, K), state=np.ones(2))
    found = {(p.name, p.index): p for p in pieces_of(prompt)}
    gone = [
        leave_out(prompt, [found["history", 0], found["history", 5]]),
        leave_out(prompt, [found["soft", 1]]),
        prompt,
    ]
    told = retold(gone, [history] * 3, 6, Expects())
    assert asked == [[7, 8, 9, 10, 12, 13, 14, 15]]
    assert told[0].state.tolist() == [8, 8] and (told[1].state == 1).all() and (told[2].state == 1).all()
    constant = prompts[0]
    assert retold([constant], [history], 6, Expects())[0] is constant


def test_a_piece_that_is_kept_is_never_taken_out(prompts):
    """Where the answer is read from pieces alone, one of them stays, or the model would say nothing."""
    kept = [Piece("soft", K - 1, pieces_of(prompt)[6 + K - 1].places) for prompt in prompts]
    asked = []

    def score(some, rows):
        asked.extend(some[USERS:])  # after the whole prompts
        return hangs_on("history", 0, prompts)(some, rows)

    told = {"x": leave_one_out(hangs_on("history", 0, prompts), prompts)["effect"]}
    for of in (deletion_curves, insertion_curves):
        of(score, prompts, told, 0, shares=(1.0,), kept=kept)
    assert all(-K in prompt.ids for prompt in asked) and any(-1 not in prompt.ids for prompt in asked)


def test_insertion_ends_where_deletion_begins(prompts):
    score = hangs_on("history", 0, prompts)
    effect = {"x": leave_one_out(score, prompts)["effect"]}
    all_back = insertion_curves(score, prompts, effect, 0, shares=(1.0,))["nats"]
    all_gone = deletion_curves(score, prompts, effect, 0, shares=(1.0,))["nats"]
    np.testing.assert_allclose(all_back, all_gone)
    assert all_back.min() > 0.5


def test_the_same_inputs_give_the_same_numbers(prompts):
    score = hangs_on("history", 0, prompts)
    effects = leave_one_out(score, prompts)
    pd.testing.assert_frame_equal(effects, leave_one_out(score, prompts))
    one, two = (deletion_curves(score, prompts, {"x": effects["effect"]}, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
