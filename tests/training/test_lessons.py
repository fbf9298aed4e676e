"""What each method's prompts show and its adapter learns from."""

import numpy as np
import pandas as pd
import pytest

from delrec_kit.data import Ragged
from delrec_kit.settings.config import DistillConfig
from delrec_kit.settings.methods import METHODS
from delrec_kit.training import Ask, ExampleWriter, Lessons

M, K = 5, 3
TRAIN = Ragged.from_lists([[1, 2, 4, 5, 6, 7, 8, 9], [10, 11, 12, 13, 14, 15, 16], [4, 8, 2]])
CONFIG = DistillConfig(k=K, h=2, examples=6)


@pytest.fixture
def lists():
    """The teacher's lists after 3 items of two users, and after the whole of the third's."""
    return pd.DataFrame(
        {
            "user": [0, 1, 2],
            "length": [3, 3, 3],
            "top_items": [[12, 10, 11], [5, 6, 7], [1, 9, 5]],
            "top_scores": [[3.0, 2.0, 1.0]] * 3,
            "other_items": [[13, 14, 15, 16], [8, 9, 1, 2], [10, 11, 12, 13]],
            "other_scores": [[0.0, -1.0, -2.0, -3.0]] * 3,
        }
    )


@pytest.fixture
def lessons(writer, lists):
    return Lessons(ExampleWriter(writer, TRAIN, TRAIN, M, 3), lists, CONFIG, 0)


def soft_tokens(prompt):
    return int((prompt.ids < 0).sum())


def test_a_method_learns_from_what_it_names_and_no_more(lessons):
    made = {name: lessons.of(METHODS[name], 4) for name in METHODS if METHODS[name].lessons}
    true = {name: examples.true_labels for name, examples in made.items()}
    assert true["llm_distilled_weights"] == 0 and true["delrec"] == true["llm_finetuned"] == true["delrec_kept"] == 4
    stage_1 = len(made["llm_distilled_weights"])
    assert stage_1 == 3 + 3, "three pairs of user and length are long enough for TA, and there are three lists"
    assert len(made["delrec_kept"]) == len(made["llm_finetuned_distilled_weights"]) == stage_1 + 4
    for name, examples in made.items():
        with_soft = METHODS[name].prompt in ("untrained", "distilled")
        assert {soft_tokens(p) for p in examples.prompts} == {K if with_soft else 0}, name
        np.testing.assert_allclose(examples.targets.sum(1), 1, rtol=1e-6)
        assert examples.candidates.shape == examples.targets.shape == (len(examples), M)


def test_with_and_without_p_the_same_labels_are_learned(lessons):
    with_p, without = (lessons.of(METHODS[name], 4) for name in ("delrec", "llm_finetuned"))
    assert np.array_equal(with_p.candidates, without.candidates) and np.array_equal(with_p.targets, without.targets)


def test_the_teachers_items_are_those_of_the_prefix_that_is_shown(lessons, writer, slot):
    made = lessons.of(METHODS["llm_finetuned_teacher_items"], 9)
    assert len(made) == 2, "the third user's list stands at the end of the sequence, where no true item follows"
    for prompt, row, target in zip(made.prompts, made.candidates, made.targets, strict=True):
        history = slot(prompt, writer.table, "history")
        user = 0 if history == [1, 2, 4] else 1
        assert history == TRAIN[user][:3].tolist()
        assert slot(prompt, writer.table, "teacher") == [[12, 10], [5, 6]][user]
        assert row[target == 1].tolist() == [TRAIN[user][3]]


def test_each_prompt_shows_what_its_method_says(writer, slot):
    histories, candidates, favourites = [np.array([1, 2, 4])], np.array([[5, 6, 7, 8, 9]]), np.array([[12, 10]])
    shown = {
        name: Ask(method, 2, K).prompts(writer, histories, candidates, favourites)[0]
        for name, method in METHODS.items()
    }
    plain = writer.text(shown["llm_zero_shot"])
    assert {name: soft_tokens(p) for name, p in shown.items() if soft_tokens(p)} == {
        name: K for name, method in METHODS.items() if method.prompt in ("untrained", "distilled", "shuffled")
    }
    assert slot(shown["llm_teacher_items"], writer.table, "teacher") == [12, 10]
    assert not slot(shown["llm_zero_shot"], writer.table, "teacher")
    assert len(shown["llm_described"].ids) > len(shown["llm_zero_shot"].ids) + 10
    assert all(slot(p, writer.table, "history") == [2, 4] for p in shown.values())
    assert plain == writer.text(shown["llm_finetuned"])
