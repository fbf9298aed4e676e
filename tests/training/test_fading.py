"""The teacher's examples weigh less and less in stage 2 where a method says so, the labels always the same."""

import numpy as np
import pytest
import torch

from delrec_kit.data import Ragged
from delrec_kit.settings.config import FinetuneConfig
from delrec_kit.training import ExampleWriter, finetune
from delrec_kit.training.examples import Examples
from delrec_kit.training.fading import Marked, collate_marked, faded
from delrec_kit.training.task import CandidateRanker, collate

TRAIN = Ragged.from_lists([[1, 2, 4, 5, 6, 7, 8, 9], [10, 11, 12, 13, 14, 15, 16]])
CONFIG = FinetuneConfig(epochs=2, batch=4, validations=1, patience=9, init_r=4, target_r=2, learning_rate=0.05)


@pytest.fixture
def examples(writer):
    """Eight questions, of which the last three count as true labels."""
    made = ExampleWriter(writer, TRAIN, TRAIN, 5, 4).next_item(8, 0, seed=0)
    return Examples(made.prompts, made.candidates, made.targets, 3)


def test_weights_fall_in_a_straight_line_for_the_teachers_rows_alone(writer, examples):
    batch = collate_marked(writer, [Marked(examples)[i] for i in range(8)])
    assert batch["taught"].tolist() == [True] * 5 + [False] * 3
    for done in (0.0, 0.25, 1.0):
        assert faded(batch["taught"], done).tolist() == [1 - done] * 5 + [1.0] * 3


def test_a_row_counts_as_much_as_its_weight(plain_llm, writer, examples):
    ranker, rows = CandidateRanker(plain_llm, None), [examples[i] for i in range(3)]
    each = [ranker(**collate(writer, [row])).item() for row in rows]
    together = collate(writer, rows)
    assert ranker(**together).item() == pytest.approx(np.mean(each), rel=1e-5)
    weighed = ranker(**together, weights=torch.tensor([1.0, 0.0, 0.5])).item()
    assert weighed == pytest.approx((each[0] + each[2] / 2) / 3, rel=1e-5) and weighed != pytest.approx(np.mean(each))


def test_stage_2_fades_what_the_teacher_said(plain_llm, writer, examples, tmp_path, monkeypatch):
    seen = []
    inner = CandidateRanker.forward

    def watched(self, prompts, titles, targets, weights=None):
        if weights is not None:
            seen.append(weights.tolist())
        return inner(self, prompts, titles, targets, weights)

    monkeypatch.setattr(CandidateRanker, "forward", watched)
    measure = lambda: {"loss": 0.0}  # noqa: E731
    finetune(plain_llm, writer, None, examples, measure, CONFIG, 0, tmp_path / "c", tmp_path / "a", fades=True)
    assert len(seen) == 4, "two passes of two batches"
    for step, weights in enumerate(seen):
        assert set(weights) <= {1.0, 1 - step / 4}, "a quarter less with every step"
    assert sum(weight == 1.0 for weights in seen[1:] for weight in weights) < sum(map(len, seen[1:]))
