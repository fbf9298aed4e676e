from dataclasses import replace
from itertools import chain

import numpy as np
import pandas as pd
import pytest
import torch

from delrec_kit.interpret import attention, attention_by_piece, attention_mass, plot_attention, plot_heads, plot_places
from delrec_kit.interpret.attention import Attended
from delrec_kit.llm import LlmRecommender, SoftPrompt

CANDIDATES = np.array([[1, 2, 4], [6, 5, 8], [9, 10, 11]])


@pytest.fixture
def asked(plain_llm, writer, question, monkeypatch):
    monkeypatch.setattr(attention, "BATCH", 2)
    recommender = LlmRecommender(plain_llm, writer, SoftPrompt.untrained(plain_llm, 3, seed=0))
    return question(recommender, [[7, 12]] * 3, CANDIDATES)


@pytest.fixture
def mass(asked):
    return attention_mass(asked)[0]


def test_all_attention_is_accounted_for_and_lift_is_mass_per_token_over_the_mean(mass):
    sums = mass.groupby(["kind", "layer", "head"])["mass"].sum()
    assert len(sums) == 2 * 2 * 4 + 1 and set(mass["kind"]) == {"encoder", "cross", "rollout"}
    np.testing.assert_allclose(sums, 1, atol=1e-4)
    assert set(mass["segment"]) == {"instruction", "history", "soft", "candidates", "answer"}
    soft, total = mass[mass["segment"] == "soft"], mass.drop_duplicates("segment")["tokens"].sum()
    assert (soft["tokens"] == 3).all() and mass["lift"].std() > 0.01
    np.testing.assert_allclose(soft["lift"], soft["mass"] / 3 * total, rtol=0.05)  # prompts differ a little in length
    figure, shown = plot_attention(mass)
    assert len(figure.axes) >= 3 and len(shown) == 2 * 2 * 5 + 5
    figure, shown = plot_heads(mass)
    assert (shown["segment"] == "soft").all() and len(shown) == 2 * 2 * 4


def test_each_place_is_a_part_of_its_segment(asked, mass):
    table, _ = attention_mass(asked, by_place=True)
    places = {"history": ["title 2 back", "title 1 back"], "soft": ["P0", "P1", "P2"]}
    places["candidates"] = [f"candidate {n}" for n in (1, 2, 3)]
    assert set(table["segment"]) == {"instruction", "answer", *chain(*places.values())}
    at = ["kind", "layer", "head"]
    whole = mass.pivot(index=at, columns="segment", values="mass")
    each = table.pivot(index=at, columns="segment", values="mass")
    for segment, names in places.items():
        np.testing.assert_allclose(each[names].sum(axis=1), whole[segment], atol=1e-5)
    figure, numbers = plot_places(table)
    assert len(numbers) == 2 * 10 + 10 and "times even attention" in figure.get_suptitle()


def test_each_users_attention_has_the_same_mean(asked):
    table, users = attention_mass(asked)
    assert users.groupby(["user", "kind"])["mass"].sum().between(1 - 1e-4, 1 + 1e-4).all()
    at = ["kind", "segment"]
    mean = table.groupby(at)["mass"].mean()
    np.testing.assert_allclose(users.groupby(at)["mass"].mean().loc[mean.index], mean, atol=1e-5)


def test_where_tokens_see_only_those_before_them_even_attention_still_has_lift_1():
    """Under a causal mask the first tokens are seen by more; that alone is no sign of interest."""
    L = 6
    even = np.tril(np.ones((L, L))) / np.arange(1, L + 1)[:, None]
    weights = torch.tensor(even[None, None, None], dtype=torch.float32)
    all_look = torch.full((1, L), 1 / L)
    seen = Attended(0, [None], {"encoder": weights}, {"encoder": all_look}, False, all_look)
    np.testing.assert_allclose(seen.mass("encoder")[0, 0, 0], seen.even("encoder")[0], atol=1e-6)
    assert seen.even("encoder")[0, 0] > 3 * seen.even("encoder")[0, -1]


def attended(encoder, cross=None, reads_last=True):
    """One prompt, whose first token makes the answer; attention given by layer as (heads, Q, L)."""
    weights = {"encoder": torch.tensor(encoder, dtype=torch.float32)[:, None]}
    looks = {"encoder": torch.eye(weights["encoder"].shape[-1])[:1], "cross": torch.ones(1, 1)}
    if cross is not None:
        weights["cross"] = torch.tensor(cross, dtype=torch.float32)[:, None]
    return Attended(0, [None], weights, looks, reads_last, looks["encoder"] if cross is None else looks["cross"])


SWAP, STILL = [[[0.0, 1.0], [1.0, 0.0]]], [[[1.0, 0.0], [0.0, 1.0]]]  # one head: each looks at the other, or at itself
CHAIN = [[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]]
FIRST = [[[1.0, 0.0]]]  # a title token that looks at the first token


def test_rollout_by_hand():
    """Half of a state stays where it is, half comes from what its token looks at."""
    np.testing.assert_allclose(attended([SWAP]).rollout(), [[0.5, 0.5]])
    np.testing.assert_allclose(attended([STILL, STILL]).rollout(), [[1.0, 0.0]])
    np.testing.assert_allclose(attended([CHAIN, CHAIN]).rollout(), [[0.25, 0.5, 0.25]])
    np.testing.assert_allclose(attended([SWAP], [FIRST]).rollout(), [[0.5, 0.5]], err_msg="reads the last layer")
    compares = replace(attended([STILL]), answer=torch.tensor([[0.0, 1.0]]))
    np.testing.assert_allclose(compares.rollout(), [[0.0, 1.0]], err_msg="from the tokens that make the answer alone")
    seen = attended([SWAP, SWAP], [FIRST, FIRST], reads_last=False).rollout()
    np.testing.assert_allclose(seen, [[0.75, 0.25]], err_msg="its first layer reads words, its second their mixture")


def choosing(asked, columns):
    """The question, as if these columns of the candidates had been chosen."""
    other = replace(asked)
    other.__dict__["choice"] = (np.array(columns), np.zeros(len(columns)))
    return other


def test_rollout_sums_up_and_raw_attention_is_another_thing(asked):
    first = np.array([0, 2, 1])
    table = attention_by_piece(choosing(asked, first))
    assert list(table.columns) == ["user", "name", "index", "attention", "rollout"]
    assert table.groupby("user").size().tolist() == [2 + 3 + 3] * 3
    for column in ("attention", "rollout"):
        assert table.groupby("user")[column].sum().between(0.05, 1).all() and (table[column] > 0).all()
    assert not np.allclose(table["attention"], table["rollout"], rtol=0.05)
    other = attention_by_piece(choosing(asked, 2 - first))
    assert not np.allclose(table["attention"], other["attention"]), "another title looks elsewhere"
    kept = table["user"] == 2
    pd.testing.assert_frame_equal(table[kept], other[kept], check_exact=False, rtol=1e-4)
