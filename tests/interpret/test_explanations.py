"""Explanations of a constructed ranker whose answer hangs on one piece: they must find it, and a wrong one fail."""

import numpy as np
import pandas as pd
import pytest

from delrec_kit.interpret import (
    attention_by_piece,
    deletion_curves,
    faithfulness_table,
    leave_one_out,
    leave_out,
    pieces_of,
    plot_deletion,
    rank_agreement,
    verdict,
)
from delrec_kit.llm import SoftPrompt

K, USERS = 3, 24
CANDIDATES = np.array([[4, 5, 6]] * USERS)


@pytest.fixture
def prompts(writer):
    rng = np.random.default_rng(0)
    histories = [rng.permutation([1, 2, *range(7, 19)])[:6] for _ in range(USERS)]
    return [writer.write("final", {"history": h, "candidates": CANDIDATES[0]}, K) for h in histories]


def hangs_on(name, index, prompts):
    """Sure of candidate 1 while the tokens of one piece are there, of none without."""
    wanted = [next(p for p in pieces_of(prompt) if (p.name, p.index) == (name, index)) for prompt in prompts]
    words = [prompt.ids[piece.places] for prompt, piece in zip(prompts, wanted)]
    # a title may stand in the history and in the list: what stands before it tells which one is meant
    before = [None if name == "soft" else p.ids[piece.places[0] - 1] for p, piece in zip(prompts, wanted)]

    def score(asked, rows):
        there = [
            any(
                np.array_equal(prompt.ids[i : i + len(words[u])], words[u]) and before[u] in (None, prompt.ids[i - 1])
                for i in range(1, len(prompt.ids))
            )
            for prompt, u in zip(asked, rows)
        ]
        return np.array(there)[:, None] * np.array([0.0, 4.0, 0.0])

    return score


def test_the_pieces_are_the_soft_tokens_and_titles(prompts, writer):
    for prompt in prompts[:3]:
        found = pieces_of(prompt)
        wanted = [("history", 6), ("soft", K), ("candidates", 3)]
        assert [(p.name, p.index) for p in found] == [(name, i) for name, count in wanted for i in range(count)]
        less = leave_out(prompt, [found[1], found[6]])
        gone = np.concatenate([found[1].places, found[6].places])
        assert less.ids.tolist() == np.delete(prompt.ids, gone).tolist()
        assert [s.start for s in less.segments] == [0, *(s.stop for s in less.segments)][:-1], "they tile the prompt"
        assert less.segments[-1].stop == len(less.ids) and less.segments[-1].name == "answer"


@pytest.mark.parametrize("piece", [("history", 2), ("soft", 1), ("candidates", 1)])
def test_what_decides_is_found_and_a_wrong_explanation_rejected(piece, prompts):
    score = hangs_on(*piece, prompts)
    effects = leave_one_out(score, prompts)
    top = effects.loc[effects.groupby("user")["effect"].idxmax()]
    assert (top["name"] == piece[0]).all() and (top["index"] == piece[1]).all()
    assert (
        np.allclose(top["effect"], np.log(3) - np.log1p(2 * np.exp(-4))) and (effects["effect"] > 1e-9).sum() == USERS
    )
    wrong = -effects["effect"]
    curves = deletion_curves(score, prompts, {"right": effects["effect"], "wrong": wrong}, seed=0)
    table = faithfulness_table(curves, 200, 0).set_index("explanation")
    assert table.loc["right", "faithful"] and not table.loc["wrong", "faithful"]
    assert table.loc["right", "value"] > 0.2 > 0 > table.loc["wrong", "value"]
    rho = rank_agreement(effects["effect"], effects["effect"], effects["user"])
    assert rho == pytest.approx(1) and "right is a good guide here: Spearman 1.00" in verdict(
        "right", rho, table.loc["right"]
    )
    noise = pd.Series(np.random.default_rng(1).random(len(effects)))
    loose = rank_agreement(noise, effects["effect"], effects["user"])
    assert abs(loose) < 0.3 and "a poor guide" in verdict("wrong", loose, table.loc["wrong"])
    assert rank_agreement(noise * 0, effects["effect"], effects["user"]) == 0
    figure, numbers = plot_deletion(curves, table.reset_index())
    assert {"right", "wrong", "random"} == set(numbers["explanation"]) and "Right finds" in figure._suptitle.get_text()


def test_the_same_inputs_give_the_same_numbers(prompts):
    score = hangs_on("history", 0, prompts)
    effects = leave_one_out(score, prompts)
    pd.testing.assert_frame_equal(effects, leave_one_out(score, prompts))
    one, two = (deletion_curves(score, prompts, {"x": effects["effect"]}, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


def test_attention_of_the_pieces_is_part_of_all_attention(plain_llm, writer, prompts):
    soft = SoftPrompt.untrained(plain_llm, K, seed=0)
    table = attention_by_piece(plain_llm, writer, prompts[:5], CANDIDATES[:5], soft, batch=2)
    assert list(table.columns) == ["user", "name", "index", "attention"]
    own = table.groupby("user")["attention"].sum()
    assert len(own) == 5 and own.between(0.05, 1).all() and (table["attention"] > 0).all()
    assert table.groupby("user").size().eq(6 + K + 3).all()
