"""A conditioned P: stage 1 learns to say what differs between users, and begins where a linear map ends."""

from dataclasses import replace

import families
import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from delrec_kit.data import Domain, Ragged
from delrec_kit.llm import Expectation, LlmRecommender, PromptWriter, SoftPrompt, load_llm
from delrec_kit.settings.config import LlmConfig
from delrec_kit.settings.resolve import resolve
from delrec_kit.training import Ranker, TaskWriter, distill, warm_start
from delrec_kit.training.examples import collate

M, K, N = 5, 3, 18
TRAIN = Ragged.from_lists([[1, 2, 4, 5, 6, 7, 8, 9], [10, 11, 12, 13, 14, 15, 16], [4, 8, 5, 9, 6, 10, 7]])


class Last:
    """Sure that what comes next is the item after the history's last one."""

    def scores(self, cases, items=None):
        table = np.zeros((len(cases), N + 1), dtype=np.float32)
        table[np.arange(len(cases)), [history[-1] % N + 1 for history in cases.history]] = 60.0
        table[:, 0] = -np.inf
        return table if items is None else np.take_along_axis(table, items, 1)


@pytest.fixture
def lists():
    """Of a teacher that wants what comes after the last item."""
    rows = []
    for user, length in [(u, n) for u in range(3) for n in range(1, 7)]:
        first = TRAIN[user][length - 1] % N + 1
        rest = [i for i in range(1, N + 1) if i != first and i not in TRAIN[user]]
        rows.append((user, length, [first], [5.0], rest[:4], [0.0] * 4))
    names = ["user", "length", "top_items", "top_scores", "other_items", "other_scores"]
    return pd.DataFrame(rows, columns=names)


@pytest.fixture
def recommender(plain_llm, writer):
    def _recommender(c):
        soft = SoftPrompt.untrained(plain_llm, K, seed=0, conditioned=c)
        expects = Expectation(Last(), plain_llm.title_vectors(writer.table).numpy()) if c else None
        return LlmRecommender(plain_llm, writer, soft, history=4, expects=expects)

    return _recommender


def simulating(recommender, lists):
    return TaskWriter(recommender, TRAIN, TRAIN, M, Last(), lists, seed=0).pattern_simulating(99, h=1)


def test_stage_1_learns_what_differs_between_users(recommender, lists, tmp_path):
    """The teacher's choice follows from the last item alone: a constant P cannot say it, a conditioned one can."""
    config = resolve("smoke", ["train.epochs=60", "train.batch=6", "distill.learning_rate=0.05"])
    losses = []
    for c in (0, 1):
        delrec = recommender(c)
        rps, soft = simulating(delrec, lists), delrec.P
        batch = collate(delrec.writer, [rps[i] for i in range(len(rps))])
        ranker = Ranker(delrec)
        measure = lambda ranker=ranker, batch=batch: {  # noqa: E731
            "loss": ranker(batch["prompts"], batch["titles"], batch["targets"]).item()
        }
        parts = [*delrec.llm.parameters(), *soft.parameters()]
        before = [p.detach().clone() for p in parts]
        distill(delrec, {"rps": rps}, config, measure, tmp_path / str(c))
        moved = [not torch.equal(p, q) for p, q in zip(before, parts, strict=True)]
        assert moved == [False] * (len(moved) - 1 - c) + [True] * (1 + c)
        losses.append(measure()["loss"])
    assert losses[1] < 0.8 * losses[0], losses


def test_a_warm_start_begins_where_a_linear_map_ends(recommender, lists):
    """The teacher wants the title after the last one: a map can say so, and the identity cannot."""
    delrec = recommender(1)
    rps, constant = simulating(delrec, lists), delrec.P.vectors.detach().clone()
    before = loss_of_the_map(delrec, rps)
    loss = warm_start(delrec, rps, seed=0)
    after = loss_of_the_map(delrec, rps)
    assert after < 0.6 * before and loss == pytest.approx(after, rel=0.2)
    assert torch.equal(delrec.P.vectors, constant), "only the maps are set"
    mapped = expected(rps) @ delrec.P.maps[0].detach() / expected(rps).shape[1] ** 0.5
    assert mapped.norm(dim=-1).mean() == pytest.approx(constant.norm(dim=1).mean().item(), rel=1e-3)
    again = replace(delrec, P=SoftPrompt.untrained(delrec.llm, K, seed=0, conditioned=1))
    warm_start(again, rps, seed=0)
    assert torch.equal(again.P.maps, delrec.P.maps)


@pytest.mark.parametrize("name", ["llama", "gemma3_text"])
def test_a_decoder_whose_prompts_list_nothing_is_conditioned_and_warm_started_too(name, lists, tmp_path):
    llm = load_llm(LlmConfig(name=str(families.make_model(tmp_path, name)), quantization="fp32", listed=False), "cpu")
    writer = PromptWriter(llm.tokenizer, Domain(), families.TITLES, format=llm.format)
    expects = Expectation(Last(), llm.title_vectors(writer.table).numpy())
    soft = SoftPrompt.untrained(llm, K, seed=0, conditioned=1)
    delrec = LlmRecommender(llm, writer, soft, history=4, expects=expects)
    rps = simulating(delrec, lists)
    assert not any(segment.name == "candidates" for prompt in rps.prompts for segment in prompt.segments)
    before = loss_of_the_map(delrec, rps)
    warm_start(delrec, rps, seed=0)
    assert loss_of_the_map(delrec, rps) < 0.7 * before
    batch = collate(writer, [rps[row] for row in range(6)])
    Ranker(delrec)(batch["prompts"], batch["titles"], batch["targets"]).backward()
    assert delrec.P.maps.grad.abs().sum() > 0 and (delrec.P.vectors.grad.abs().amax(1) > 0).all()


def expected(examples):
    return torch.from_numpy(np.stack([p.expects for p in examples.prompts]))


def loss_of_the_map(delrec, examples):
    """KL divergence of the examples' targets from what the first map alone says, by cosine."""
    titles = F.normalize(delrec.llm.title_vectors(delrec.writer.table), dim=1)
    answers = F.normalize(expected(examples) @ delrec.P.maps[0].detach(), dim=1)
    scores = 20 * torch.einsum("bd,bmd->bm", answers, titles[torch.from_numpy(examples.candidates)])
    return F.kl_div(scores.log_softmax(-1), torch.from_numpy(examples.targets).float(), reduction="batchmean").item()
