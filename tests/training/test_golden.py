"""Losses of a few training steps on weights that are written out by a formula: any change of the maths shows."""

import numpy as np
import pandas as pd
import pytest
import torch

from delrec_kit.data import Ragged
from delrec_kit.llm import LlmRecommender, SoftPrompt
from delrec_kit.settings.config import DistillConfig
from delrec_kit.training import Ranker, TaskWriter
from delrec_kit.training.examples import collate

TRAIN = Ragged.from_lists([[1, 2, 4, 5, 6, 7, 8, 9], [10, 11, 12, 13, 14, 15, 16]])
GOLDEN = {"ta": (0.528659, 0.518146, 0.510102), "rps": (5.793478, 5.696938, 5.66783)}


@torch.no_grad()
def write_out(module):
    """Every weight a sine of its place."""
    for number, p in enumerate(module.parameters()):
        p.copy_((torch.arange(p.numel(), dtype=torch.float64) ** 2 * 0.7 + number).sin().view(p.shape).float() * 0.3)


@pytest.fixture
def steps(plain_llm, writer):
    """Losses of three plain gradient steps on P for each task by itself."""
    lists = pd.DataFrame(
        {
            "user": [0, 1],
            "length": [3, 4],
            "top_items": [[12, 10], [5, 6]],
            "top_scores": [[3.0, 2.0], [9.0, 8.0]],
            "other_items": [[13, 14, 15], [8, 9, 1]],
            "other_scores": [[0.0, -1.0, -2.0], [7.0, 6.0, 5.0]],
        }
    )
    write_out(plain_llm)
    losses = {}
    for task in GOLDEN:
        soft = SoftPrompt(torch.arange(2 * plain_llm.d).cos().view(2, -1))
        delrec = LlmRecommender(plain_llm, writer, soft, history=3)
        tasks = TaskWriter(delrec, TRAIN, TRAIN, 5, None, lists, seed=0)
        made = tasks.stage_1(DistillConfig(k=2, a=3, h=2, examples=2))[task]
        batch = collate(writer, [made[i] for i in range(2)])
        model = Ranker(delrec)
        optimizer = torch.optim.SGD([soft.vectors], lr=500.0)
        losses[task] = []
        for _ in range(3):
            loss = model(batch["prompts"], batch["titles"], batch["targets"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[task].append(loss.item())
    return losses


@pytest.mark.parametrize("task", GOLDEN)
def test_losses_are_the_golden_ones(steps, task):
    np.testing.assert_allclose(steps[task], GOLDEN[task], rtol=1e-3)
    assert steps[task][0] > steps[task][1] > steps[task][2] > 0
