from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from delrec_kit.data import Ragged, prepare
from delrec_kit.llm import PromptWriter
from delrec_kit.settings.config import DataConfig, DistillConfig, TeacherConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.teachers import Popularity, distillation_table
from delrec_kit.training import Examples, ExampleWriter, check_lengths, teacher_targets

M = 5
TRAIN = Ragged.from_lists([[1, 2, 4, 5, 6, 7, 8, 9], [10, 11, 12, 13, 14, 15, 16], [4, 8]])


@pytest.fixture
def examples(writer):
    return ExampleWriter(writer, TRAIN, TRAIN, M, 3)


def test_next_item_asks_for_what_came_next(examples, slot):
    made = examples.next_item(100, k=2, seed=0)
    assert len(made) == 7 + 6 + 1, "every prefix once, and no more than there are"
    seen = set()
    for prompt, candidates, target in (made[i] for i in range(len(made))):
        answer = candidates[target == 1]
        assert len(answer) == 1 and len(set(candidates)) == M
        history = slot(prompt, examples.writer.table, "history")
        for u in range(3):
            sequence = TRAIN[u].tolist()
            place = sequence.index(answer[0]) if answer[0] in sequence else -1
            if place > 0 and sequence[max(0, place - 3) : place] == history:
                assert not set(candidates) & (set(sequence) - set(answer)), "a distractor was consumed"
                seen.add((u, place))
        table = examples.writer.table
        assert slot(prompt, table, "candidates") == table.canonical[candidates].tolist()
    assert len(seen) == len(made)


def test_temporal_analysis_hides_the_item_before_the_last(examples, slot):
    config = DistillConfig(k=2, a=4)
    made = examples.temporal_analysis(100, config, seed=0)
    table = examples.writer.table
    assert len(made) == 2 + 1, "only users with a + 3 items"
    for prompt, candidates, target in (made[i] for i in range(len(made))):
        example = slot(prompt, table, "example")
        user = 0 if example == [1, 2] else 1
        s = TRAIN[user].tolist()
        assert example == s[:2]
        assert slot(prompt, table, "example_answer") == [s[2]] and slot(prompt, table, "example_last") == [s[3]]
        last = s.index(slot(prompt, table, "last")[0])
        assert candidates[target == 1].tolist() == [s[last - 1]]
        assert slot(prompt, table, "history") == s[4 : last - 1][-3:]
        assert s[last - 1] not in slot(prompt, table, "history")


@pytest.fixture
def lists():
    return pd.DataFrame(
        {
            "user": [0, 1],
            "length": [3, 4],
            "top_items": [[12, 10, 11], [5, 6, 7]],
            "top_scores": [[3.0, 2.0, 1.0], [9.0, 8.0, 7.0]],
            "other_items": [[13, 14, 15, 16], [8, 9, 1, 2]],
            "other_scores": [[0.0, -1.0, -2.0, -3.0], [0.0, -1.0, -2.0, -3.0]],
        }
    )


def test_pattern_simulating_follows_the_teacher(examples, lists, slot):
    config = DistillConfig(k=2, h=2, rps="hard", show_rest=True)
    made = examples.pattern_simulating(lists, 10, config, seed=0)
    table = examples.writer.table
    for (prompt, candidates, target), row in zip((made[i] for i in range(2)), lists.itertuples(), strict=True):
        assert candidates[target == 1].tolist() == [row.top_items[0]]
        assert set(candidates) == {*row.top_items[:2], *row.other_items[:3]}
        assert slot(prompt, table, "history") == TRAIN[row.user][: row.length][-3:].tolist()
        assert slot(prompt, table, "teacher") == row.top_items[1:2]


def test_listwise_targets_are_the_teachers_softmax(examples, lists):
    config = DistillConfig(k=2, h=2, rps="listwise", temperature=2.0)
    made = examples.pattern_simulating(lists, 10, config, seed=0)
    _, candidates, target = made[0]
    scores = dict(zip([12, 10, 13, 14, 15], [3.0, 2.0, 0.0, -1.0, -2.0], strict=True))
    wanted = np.exp(np.array([scores[i] for i in candidates]) / 2)
    np.testing.assert_allclose(target, wanted / wanted.sum(), rtol=1e-5)
    assert teacher_targets(np.array([[1.0, 5.0]]), DistillConfig(rps="hard")).tolist() == [[0.0, 1.0]]


def test_too_short_histories_and_too_many_candidates_are_said(writer, examples, lists):
    with pytest.raises(KitError, match="no training sequence has 7 items"):
        ExampleWriter(writer, *2 * [Ragged.from_lists([[1, 2, 4]])], M, 3).temporal_analysis(9, DistillConfig(), 0)
    with pytest.raises(KitError, match=r"needs a training sequence of 7 .* distill\.weight_ta=0$"):
        check_lengths(Ragged.from_lists([[1, 2, 4]]), DistillConfig())
    with pytest.raises(KitError, match=r"or distill\.a=3$"):
        check_lengths(Ragged.from_lists([[1, 2, 4, 5, 6, 7]]), DistillConfig())
    check_lengths(Ragged.from_lists([[1, 2, 4]]), DistillConfig(weight_ta=0))
    with pytest.raises(KitError, match=r"data\.candidates=12"):
        ExampleWriter(writer, TRAIN, TRAIN, 12, 3).pattern_simulating(lists, 2, DistillConfig(h=2), 0)


def test_no_validation_or_test_target_reaches_an_example(plain_llm, slot):
    """Every training example of a small world, user by user: no own target as history, answer or distractor."""
    data = prepare(DataConfig(world_users=40, world_items=200), seed=0)
    split = data.split
    writer = PromptWriter(plain_llm.tokenizer, data.domain, split.titles)
    made = ExampleWriter(writer, split.train, split.consumed(), 15, 10).next_item(10_000, 0, seed=0)
    assert len(made) == sum(split.train.lengths - 1)
    answers = dict.fromkeys(range(len(split.train)), 0)
    held_out = {u: set() for u in answers}
    for cases in (split.valid, split.test):
        for user, target in zip(cases.user, cases.target, strict=True):
            held_out[user].add(target)
    starts = {u: {tuple(split.train[u][max(0, n - 10) : n]): split.train[u][n] for n in range(1, len(split.train[u]))}
              for u in answers}  # fmt: skip
    for prompt, candidates, target in (made[i] for i in range(len(made))):
        history = tuple(slot(prompt, writer.table, "history"))
        answer = candidates[target == 1][0]
        users = [u for u in answers if starts[u].get(history) == answer]
        assert users, "an example that no training sequence holds"
        assert any(not held_out[u] & {*history, *candidates} for u in users)
        answers[users[0]] += 1
    assert min(answers.values()) > 0


def test_other_targets_would_lead_to_the_same_lessons(plain_llm, slot):
    """Validation and test targets changed: the histories, gaps and teacher's answers of stage 1 are what they were."""
    data = prepare(DataConfig(world_users=40, world_items=200), seed=0)
    split, rng = data.split, np.random.default_rng(0)
    elsewhere = lambda cases: replace(cases, target=rng.integers(1, 201, len(cases)))  # noqa: E731
    other = replace(split, valid=elsewhere(split.valid), test=elsewhere(split.test))
    writer = PromptWriter(plain_llm.tokenizer, data.domain, split.titles)
    config = DistillConfig(k=2)
    lessons = []
    for s in (split, other):
        examples = ExampleWriter(writer, s.train, s.consumed(), 15, 10)
        lists = distillation_table(s, Popularity(s), TeacherConfig(), 0)
        ta, rps = examples.temporal_analysis(500, config, 0), examples.pattern_simulating(lists, 500, config, 0)
        shown = [[slot(p, writer.table, n) for n in ("example", "history", "last")] for p in ta.prompts]
        lessons.append((shown, ta.candidates[ta.targets == 1], rps.candidates, rps.targets))
    assert lessons[0][0] == lessons[1][0] and len(lessons[0][0]) > 100
    for one, two in zip(lessons[0][1:], lessons[1][1:], strict=True):
        np.testing.assert_array_equal(one, two)


class HighestFirst:
    """Scores an item by its number."""

    def scores(self, histories, users=None):
        scores = np.tile(np.arange(19, dtype=np.float32), (len(histories), 1))
        scores[:, 0] = -np.inf
        return scores


def test_where_nothing_is_listed_an_example_compares_the_whole_catalogue(writer, lists, slot):
    N, config = len(writer.table.lengths) - 1, DistillConfig(k=2, h=2, temperature=2.0)
    examples = ExampleWriter(writer, TRAIN, TRAIN, M, 3, listed=False, unseeing=HighestFirst())
    made = {
        "next": examples.next_item(100, 2, seed=0),
        "ta": examples.temporal_analysis(100, config, seed=0),
        "rps": examples.pattern_simulating(lists, 2, config, seed=0),
    }
    for name, part in made.items():
        for prompt, candidates, target in (part[i] for i in range(len(part))):
            assert not slot(prompt, writer.table, "candidates"), name
            assert candidates.tolist() == list(range(1, N + 1))
            assert target.shape == (N,) and np.isclose(target.clip(min=0).sum(), 1, atol=1e-3)
            assert name == "rps" or (target > 0).sum() == 1
            shown = {*slot(prompt, writer.table, "history"), *slot(prompt, writer.table, "last")}
            assert all(target[item - 1] == -1 for item in shown), "what the user has had is not ranked"
    for row in range(2):
        history = set(TRAIN[lists["user"][row]][: lists["length"][row]].tolist())
        wanted = np.array([0 if item in history else np.exp((item - N) / 2) for item in range(1, N + 1)])
        told = made["rps"][row][2]
        np.testing.assert_allclose(told.clip(min=0), wanted / wanted.sum(), atol=1e-3)
        assert {item for item in range(1, N + 1) if told[item - 1] < 0} == history
    listed = ExampleWriter(writer, TRAIN, TRAIN, M, 3).next_item(100, 2, seed=0)
    answers = [int(target.argmax()) + 1 for _, _, target in (made["next"][i] for i in range(len(made["next"])))]
    assert answers == listed.candidates[listed.targets == 1].tolist(), "the same questions, whatever is listed"
    both = Examples.joined([made["next"], made["rps"]])
    assert both.true_labels == len(made["next"]) and len(both) == len(made["next"]) + 2
    np.testing.assert_array_equal(both[len(both) - 1][2], made["rps"][1][2])
