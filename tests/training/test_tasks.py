"""The three tasks: what is asked, what is answered, what is shown, and that no held-out target reaches an example."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from delrec_kit.data import Cases, Ragged, prepare
from delrec_kit.llm import Expectation, LlmRecommender, PromptWriter, SoftPrompt
from delrec_kit.settings.config import DataConfig, DistillConfig, TeacherConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.methods import METHODS, base_of
from delrec_kit.teachers import Popularity, distillation_table
from delrec_kit.training import Joined, TaskWriter, check_lengths
from delrec_kit.training.examples import collate
from delrec_kit.training.tasks import teacher_targets

M, K, N = 5, 2, 18
TRAIN = Ragged.from_lists([[1, 2, 4, 5, 6, 7, 8, 9], [10, 11, 12, 13, 14, 15, 16], [4, 8]])


class HighestFirst:
    """Scores an item by its number, and remembers of whom it was asked."""

    def __init__(self):
        self.asked = []

    def scores(self, cases, items=None):
        self.asked += [(int(user), history.tolist()) for user, history in zip(cases.user, cases.history)]
        table = np.tile(np.arange(N + 1, dtype=np.float32), (len(cases), 1))
        table[:, 0] = -np.inf
        return table if items is None else np.take_along_axis(table, items, 1)


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


@pytest.fixture
def delrec(plain_llm, writer):
    return LlmRecommender(plain_llm, writer, SoftPrompt.untrained(plain_llm, K, seed=0), history=3)


@pytest.fixture
def tasks(delrec, lists):
    return TaskWriter(delrec, TRAIN, TRAIN, M, HighestFirst(), lists, seed=0)


def rows(examples):
    return [examples[i] for i in range(len(examples))]


def answer(example):
    chosen = example.candidates[example.target == 1]
    assert len(chosen) == 1
    return int(chosen[0])


def test_next_item_asks_for_what_came_next(tasks, writer, slot):
    made = tasks.next_item(100)
    assert len(made) == 7 + 6 + 1, "every prefix once, and no more than there are"
    seen = set()
    for example in rows(made):
        assert len(set(example.candidates)) == M and example.true_label
        history = slot(example.prompt, writer.table, "history")
        for u in range(3):
            sequence = TRAIN[u].tolist()
            place = sequence.index(answer(example)) if answer(example) in sequence else -1
            if place > 0 and sequence[max(0, place - 3) : place] == history:
                assert not set(example.candidates) & (set(sequence) - {answer(example)}), "a distractor was consumed"
                seen.add((u, place))
        listed = slot(example.prompt, writer.table, "candidates")
        assert listed == writer.table.canonical[example.candidates].tolist()
    assert len(seen) == len(made)


def test_temporal_analysis_hides_the_item_before_the_last(tasks, writer, slot):
    made = tasks.temporal_analysis(100, a=4)
    table = writer.table
    assert len(made) == 2 + 1, "only users with a + 3 items"
    for example in rows(made):
        shown = {name: slot(example.prompt, table, name) for name in ("example", "example_answer", "example_last")}
        s = TRAIN[0 if shown["example"] == [1, 2] else 1].tolist()
        assert list(shown.values()) == [s[:2], [s[2]], [s[3]]]
        last = s.index(slot(example.prompt, table, "last")[0])
        assert answer(example) == s[last - 1] and not example.true_label
        assert slot(example.prompt, table, "history") == s[4 : last - 1][-3:]


def test_pattern_simulating_follows_the_teacher(tasks, lists, writer, slot):
    made = tasks.pattern_simulating(10, h=2, form="hard_rest")
    for example, row in zip(rows(made), lists.itertuples(), strict=True):
        assert answer(example) == row.top_items[0]
        assert set(example.candidates) == {*row.top_items[:2], *row.other_items[:3]}
        assert slot(example.prompt, writer.table, "history") == TRAIN[row.user][: row.length][-3:].tolist()
        assert slot(example.prompt, writer.table, "teacher") == row.top_items[1:2]
    assert not slot(tasks.pattern_simulating(10, 2, "hard")[0].prompt, writer.table, "teacher")


def test_listwise_targets_are_the_teachers_softmax(tasks):
    example = tasks.pattern_simulating(10, h=2)[0]
    scores = dict(zip([12, 10, 13, 14, 15], [3.0, 2.0, 0.0, -1.0, -2.0], strict=True))
    wanted = np.exp([scores[i] for i in example.candidates])
    np.testing.assert_allclose(example.target, wanted / wanted.sum(), rtol=1e-5)
    assert teacher_targets(np.array([[1.0, 5.0]]), "hard").tolist() == [[0.0, 1.0]]


def test_too_short_histories_and_too_many_candidates_are_said(tasks):
    with pytest.raises(KitError, match="no training sequence has 7 items"):
        replace(tasks, train=Ragged.from_lists([[1, 2, 4]])).temporal_analysis(9, a=4)
    with pytest.raises(KitError, match=r"needs a training sequence of 7 .* distill\.tasks=\[rps\]$"):
        check_lengths(Ragged.from_lists([[1, 2, 4]]), DistillConfig())
    with pytest.raises(KitError, match=r"or distill\.a=3$"):
        check_lengths(Ragged.from_lists([[1, 2, 4, 5, 6, 7]]), DistillConfig())
    check_lengths(Ragged.from_lists([[1, 2, 4]]), DistillConfig(tasks=("rps",)))
    with pytest.raises(KitError, match=r"data\.candidates=12"):
        replace(tasks, m=12).pattern_simulating(2, h=2)


def small_world(plain_llm):
    data = prepare(DataConfig(world_users=40), seed=0)
    return data, LlmRecommender(plain_llm, PromptWriter(plain_llm.tokenizer, data.domain, data.split.titles))


def test_no_validation_or_test_target_reaches_an_example(plain_llm, slot):
    """Every training example of a small world, user by user: no own target as history, answer or distractor."""
    data, asking = small_world(plain_llm)
    split = data.split
    made = TaskWriter(asking, split.train, split.consumed(), 15, HighestFirst(), None, 0).next_item(10_000)
    assert len(made) == sum(split.train.lengths - 1)
    answers = dict.fromkeys(range(len(split.train)), 0)
    held_out = {u: set() for u in answers}
    for cases in (split.valid, split.test):
        for user, target in zip(cases.user, cases.target, strict=True):
            held_out[user].add(target)
    starts = {u: {tuple(split.train[u][max(0, n - 10) : n]): split.train[u][n] for n in range(1, len(split.train[u]))}
              for u in answers}  # fmt: skip
    for example in rows(made):
        history = tuple(slot(example.prompt, asking.writer.table, "history"))
        users = [u for u in answers if starts[u].get(history) == answer(example)]
        assert users, "an example that no training sequence holds"
        assert any(not held_out[u] & {*history, *example.candidates} for u in users)
        answers[users[0]] += 1
    assert min(answers.values()) > 0


def test_other_targets_would_lead_to_the_same_examples_of_stage_1(plain_llm, slot):
    """Validation and test targets changed: the histories, gaps and teacher's answers of stage 1 are what they were."""
    data, asking = small_world(plain_llm)
    split, rng = data.split, np.random.default_rng(0)
    elsewhere = lambda cases: replace(cases, target=rng.integers(1, 301, len(cases)))  # noqa: E731
    other = replace(split, valid=elsewhere(split.valid), test=elsewhere(split.test))
    made = []
    for s in (split, other):
        lists = distillation_table(s, Popularity(s), TeacherConfig().prefixes, 0)
        tasks = TaskWriter(asking, s.train, s.consumed(), 15, Popularity(s), lists, 0)
        ta, rps = tasks.temporal_analysis(500, a=4), tasks.pattern_simulating(500, h=5)
        shown = [[slot(p, asking.writer.table, n) for n in ("example", "history", "last")] for p in ta.prompts]
        made.append((shown, ta.candidates[ta.targets == 1], rps.candidates, rps.targets))
    assert made[0][0] == made[1][0] and len(made[0][0]) > 100
    for one, two in zip(made[0][1:], made[1][1:], strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.fixture
def unlisted(tasks, plain_llm, monkeypatch):
    monkeypatch.setattr(type(plain_llm), "lists", False)
    monkeypatch.setattr(type(plain_llm), "ranks_all", True)
    return tasks


def test_where_nothing_is_listed_an_example_ranks_the_whole_catalogue(unlisted, lists, writer, slot):
    made = {
        "next": unlisted.next_item(100),
        "ta": unlisted.temporal_analysis(100, a=4),
        "rps": unlisted.pattern_simulating(2, h=2),
    }
    for name, part in made.items():
        for example in rows(part):
            assert not slot(example.prompt, writer.table, "candidates"), name
            assert example.candidates.tolist() == list(range(1, N + 1))
            assert example.target.shape == (N,) and np.isclose(example.target.clip(min=0).sum(), 1, atol=1e-3)
            assert name == "rps" or (example.target > 0).sum() == 1
            shown = {*slot(example.prompt, writer.table, "history"), *slot(example.prompt, writer.table, "last")}
            assert all(example.target[item - 1] == -1 for item in shown), "what the user has had is not ranked"
    for row in range(2):
        history = set(TRAIN[lists["user"][row]][: lists["length"][row]].tolist())
        wanted = np.array([0 if item in history else np.exp(item - N) for item in range(1, N + 1)])
        target = made["rps"][row].target
        np.testing.assert_allclose(target.clip(min=0), wanted / wanted.sum(), atol=1e-3)
        assert {item for item in range(1, N + 1) if target[item - 1] < 0} == history


def test_the_same_questions_are_asked_whatever_is_listed(tasks, plain_llm, monkeypatch):
    listed = [answer(example) for example in rows(tasks.next_item(100))]
    monkeypatch.setattr(type(plain_llm), "lists", False)
    monkeypatch.setattr(type(plain_llm), "ranks_all", True)
    assert [answer(example) for example in rows(tasks.next_item(100))] == listed


def test_labels_over_the_whole_catalogue_are_indices(unlisted):
    """A dense target for every example would take 19 GB at 97,000 examples of 100,000 items."""
    made = unlisted.next_item(100)
    held = [getattr(made.targets, name) for name in ("answers",)]
    assert sum(part.nbytes for part in held) == 8 * len(made) and made.targets.shown.values.nbytes < 8 * 14 * 9


def test_an_adapter_learns_from_what_its_method_names_and_no_more(tasks, writer):
    config = DistillConfig(k=K, h=2, examples=6)
    made = {name: tasks.of(METHODS[name], config, 4) for name in METHODS if METHODS[name].learns_from}
    stage_1 = len(made["llm_distilled_weights"])
    assert stage_1 == 3 + 2, "three pairs of user and length are long enough for TA, and there are two lists"
    for name, examples in made.items():
        labels = 4 * ("labels" in METHODS[name].learns_from)
        assert examples.true_labels == labels, name
        assert len(examples) == labels + stage_1 * ("stage 1" in METHODS[name].learns_from), name
        assert [e.true_label for e in rows(examples)] == [False] * (len(examples) - labels) + [True] * labels
        assert examples.fades == (base_of(name) == "delrec_faded") and len(examples.lengths) == len(examples)
    batch = collate(writer, [made["delrec_kept"][i] for i in (0, len(made["delrec_kept"]) - 1)])
    assert batch["true_label"].tolist() == [False, True]
    np.testing.assert_array_equal(batch["targets"][1], made["delrec"][3].target)


def test_with_and_without_p_the_same_labels_are_learned(tasks):
    with_p, without = tasks.next_item(4), replace(tasks, recommender=replace(tasks.recommender, P=None)).next_item(4)
    np.testing.assert_array_equal(with_p.candidates, without.candidates)
    np.testing.assert_array_equal(with_p.targets, without.targets)
    assert [int((p.ids < 0).sum()) for p in with_p.prompts + without.prompts] == [K] * 4 + [0] * 4


def test_the_teachers_items_are_those_of_the_prefix_that_is_shown(tasks, lists, writer, slot):
    more = pd.concat([lists, lists.iloc[:1].assign(user=2, length=2)], ignore_index=True)
    suggesting = replace(tasks.recommender, P=None, suggests=lambda cases: pytest.fail("only lists may speak here"))
    made = replace(tasks, recommender=suggesting, lists=more).next_item(9, h=2)
    assert len(made) == 2, "the third user's list stands at the end of the sequence, where no true item follows"
    for example in rows(made):
        history = slot(example.prompt, writer.table, "history")
        user, length = (0, 3) if history == [1, 2, 4] else (1, 4)
        assert history == TRAIN[user][:length].tolist()[-3:]
        assert slot(example.prompt, writer.table, "teacher") == [[12, 10], [5, 6]][user]
        assert answer(example) == TRAIN[user][length]


def test_what_is_expected_ends_before_what_is_asked(tasks, plain_llm, writer, slot):
    vectors = plain_llm.title_vectors(writer.table).numpy()
    knowing = replace(tasks.recommender, expects=Expectation(None, vectors))
    tasks = replace(tasks, recommender=knowing)
    made = tasks.next_item(30)
    for (user, history), example in zip(tasks.teacher.asked, rows(made), strict=True):
        assert TRAIN[user].tolist()[: len(history) + 1] == [*history, answer(example)]
    tasks.teacher.asked.clear()
    for example in rows(tasks.temporal_analysis(30, a=3)):
        user, history = tasks.teacher.asked.pop(0)
        last = slot(example.prompt, writer.table, "last")[0]
        assert TRAIN[user].tolist()[: len(history) + 2] == [*history, answer(example), last]
    assert all(p.expects.shape == (plain_llm.d,) for p in made.prompts)
    without = replace(tasks, recommender=replace(knowing, P=None))
    assert all(p.expects is None for p in without.next_item(5).prompts), "only prompts with soft tokens carry it"


def test_a_recommender_asks_as_it_was_made_to(delrec, writer, slot):
    cases, items = Cases.of_histories(Ragged.from_lists([[1, 2, 4, 5]])), np.array([[5, 6, 7, 8, 9]])
    plain = replace(delrec, P=None)
    ask = lambda recommender: recommender.prompts(cases, items)[0]  # noqa: E731
    assert slot(ask(delrec), writer.table, "history") == [2, 4, 5]
    assert int((ask(delrec).ids < 0).sum()) == K and not (ask(plain).ids < 0).any()
    suggested = ask(replace(plain, suggests=lambda cases: np.array([[12, 10]])))
    assert slot(suggested, writer.table, "teacher") == [12, 10] and not slot(ask(plain), writer.table, "teacher")
    assert len(ask(replace(plain, pattern="a b c d e f")).ids) > len(ask(plain).ids) + 5
    assert torch.isfinite(plain.logits(*plain.tensors([ask(plain)], items))).all()


def test_joined_examples_keep_their_order(tasks):
    ta, labels = tasks.temporal_analysis(2, a=4), tasks.next_item(3)
    both = Joined([ta, labels])
    assert len(both) == 5 and both.true_labels == 3
    np.testing.assert_array_equal(both[4].target, labels[2].target)
