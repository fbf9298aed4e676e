"""Prompts that carry what the teacher expects: of whom, after what, and that stage 1 learns to say it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from delrec_kit.data import Ragged
from delrec_kit.llm import SoftPrompt
from delrec_kit.settings.config import DistillConfig
from delrec_kit.settings.methods import METHODS
from delrec_kit.training import Ask, ExampleWriter, Expectations, distill, warm_start
from delrec_kit.training.task import CandidateRanker, collate

M, K, N = 5, 3, 18
TRAIN = Ragged.from_lists([[1, 2, 4, 5, 6, 7, 8, 9], [10, 11, 12, 13, 14, 15, 16], [4, 8, 5, 9, 6, 10, 7]])


class Last:
    """Sure that what comes next is the item after the history's last one; counts who asks."""

    def __init__(self):
        self.asked = []

    def scores(self, histories, users=None):
        self.asked += [(int(user), histories[row].tolist()) for row, user in enumerate(users)]
        table = np.zeros((len(histories), N + 1), dtype=np.float32)
        table[np.arange(len(histories)), [histories[row][-1] % N + 1 for row in range(len(histories))]] = 60.0
        table[:, 0] = -np.inf
        return table


@pytest.fixture
def unseeing():
    return Last()


@pytest.fixture
def examples(plain_llm, writer, unseeing):
    vectors = plain_llm.title_vectors(writer.table).numpy()
    expectations = Expectations(Last(), unseeing, TRAIN, vectors)
    return ExampleWriter(writer, TRAIN, TRAIN, M, 4, expectations)


def test_what_is_expected_ends_before_what_is_asked(examples, unseeing, slot):
    table = examples.writer.table
    made = examples.next_item(30, K, seed=0)
    answers = made.candidates[made.targets == 1]
    for (user, told), answer in zip(unseeing.asked, answers, strict=True):
        assert TRAIN[user].tolist()[: len(told) + 1] == [*told, answer]
    unseeing.asked.clear()
    made = examples.temporal_analysis(30, DistillConfig(k=K, a=3), seed=0)
    answers = made.candidates[made.targets == 1]
    for (user, told), answer, prompt in zip(unseeing.asked, answers, made.prompts, strict=True):
        last = slot(prompt, table, "last")[0]
        assert TRAIN[user].tolist()[: len(told) + 2] == [*told, answer, last]


def test_only_prompts_with_soft_tokens_carry_it(examples):
    assert all(p.state is None for p in examples.next_item(5, 0, seed=0).prompts)
    ask, states = Ask(METHODS["llm_zero_shot"], 4, K), np.zeros((1, 64), np.float32)
    asked = (examples.writer, [np.array([1, 2])], np.array([[4, 5]]), np.array([[6]]), states)
    assert ask.prompts(*asked)[0].state is None
    assert replace(ask, method=METHODS["delrec"]).prompts(*asked)[0].state is not None


def test_stage_1_learns_what_differs_between_users(plain_llm, writer, examples, tmp_path):
    """The teacher's choice follows from the last item alone: a constant P cannot say it, a conditioned one can."""
    lists = follows()
    config = DistillConfig(k=K, h=1, weight_ta=0, epochs=60, batch=6, validations=1, learning_rate=0.05, patience=9)
    lost = [taught(plain_llm, writer, examples, lists, config, c, tmp_path) for c in (0, 1)]
    assert lost[1] < 0.8 * lost[0], lost


def follows():
    """Lists of a teacher that wants what comes after the last item."""
    rows = []
    for user, length in [(u, n) for u in range(3) for n in range(1, 7)]:
        first = TRAIN[user][length - 1] % N + 1
        rest = [i for i in range(1, N + 1) if i != first and i not in TRAIN[user]]
        rows.append((user, length, [first], [5.0], rest[:4], [0.0] * 4))
    names = ["user", "length", "top_items", "top_scores", "other_items", "other_scores"]
    return pd.DataFrame(rows, columns=names)


def taught(llm, writer, examples, lists, config, c, folder):
    """Loss on its own lessons of a P with c conditioned vectors."""
    soft = SoftPrompt.untrained(llm, K, seed=0, conditioned=c)
    rps = (examples if c else replace(examples, expectations=None)).pattern_simulating(lists, 99, config, seed=0)
    batch = collate(writer, [rps[i] for i in range(len(rps))])
    measure = lambda: {"loss": CandidateRanker(llm, soft)(**batch).item()}  # noqa: E731
    parts = [*llm.parameters(), *soft.parameters()]
    before = [p.detach().clone() for p in parts]
    distill(llm, writer, soft, {"rps": rps}, measure, config, 0, folder / str(c))
    moved = [not torch.equal(p, q) for p, q in zip(before, parts, strict=True)]
    assert moved == [False] * (len(moved) - 1 - c) + [True] * (1 + c)
    return measure()["loss"]


def test_a_warm_start_begins_where_a_linear_map_ends(plain_llm, examples):
    """The teacher wants the title after the last one: a map can say so, and the identity cannot."""
    config, vectors = (
        DistillConfig(k=K, h=1, weight_ta=0, conditioned=1, epochs=1),
        torch.from_numpy(examples.expectations.vectors),
    )
    rps = examples.pattern_simulating(follows(), 99, config, seed=0)
    soft = SoftPrompt.untrained(plain_llm, K, seed=0, conditioned=1)
    constant = soft.vectors.detach().clone()
    before = said_loss(soft, rps, vectors)
    loss = warm_start(soft, rps, vectors, seed=0)
    after = said_loss(soft, rps, vectors)
    assert after < 0.6 * before and loss == pytest.approx(after, rel=0.2)
    assert torch.equal(soft.vectors, constant), "only the maps are set"
    states = torch.from_numpy(np.stack([p.state for p in rps.prompts]))
    loud = torch.einsum("bd,cde->bce", states, soft.maps.detach()) / states.shape[1] ** 0.5
    assert loud.norm(dim=-1).mean() == pytest.approx(constant.norm(dim=1).mean().item(), rel=1e-3)
    again = SoftPrompt.untrained(plain_llm, K, seed=0, conditioned=1)
    warm_start(again, rps, vectors, seed=0)
    assert torch.equal(again.maps, soft.maps)


def said_loss(soft, rps, vectors):
    """KL divergence of the examples' targets from what the first map alone says, by cosine."""
    states = torch.from_numpy(np.stack([p.state for p in rps.prompts]))
    titles = F.normalize(vectors, dim=1)
    told = F.normalize(states @ soft.maps[0].detach(), dim=1)
    scores = 20 * torch.einsum("bd,bmd->bm", told, titles[torch.from_numpy(rps.candidates)])
    return F.kl_div(scores.log_softmax(-1), torch.from_numpy(rps.targets).float(), reduction="batchmean").item()
