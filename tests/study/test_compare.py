from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from delrec_kit.data import Cases, PreparedData, Ragged, prepare
from delrec_kit.evaluation import means
from delrec_kit.llm import LlmRecommender
from delrec_kit.settings.resolve import resolve
from delrec_kit.study import protocols, recommend
from delrec_kit.study.protocols import Ranked, ranked, reordered, score_sets
from delrec_kit.study.study import Study


def test_an_answer_that_is_not_listed_is_missed_by_all():
    sets = made([[3, 5, 7], [3, 5, 7], [9, 8, 7]], [5, 4, 9])
    assert sets.place.tolist() == [[1, -1, 0]]
    ranks = sets.ranks(np.array([[[0.1, 0.9, 0.5], [0.9, 0.5, 0.1], [0.1, 0.2, 0.3]]]))
    assert ranks.tolist() == [1.0, np.inf, 3.0]
    assert means(ranks) == {
        "HR@1": 1 / 3, "HR@5": 2 / 3, "HR@10": 2 / 3, "NDCG@5": 0.5, "NDCG@10": 0.5, "MRR": (1 + 1 / 3) / 3,
    }  # fmt: skip


def made(items, target):
    items = np.array(items)[None]
    users = np.arange(items.shape[1])
    return Ranked(Cases(users, Ragged.from_lists([[1]] * len(users)), np.array(target)), items, -items.astype(float))


def test_draws_are_averaged_user_by_user():
    one = made([[3, 5], [4, 6]], [5, 4])
    two = Ranked(one.cases, np.concatenate([one.items, [[[5, 8], [7, 4]]]]), one.teacher)
    ranks = two.ranks(np.array([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]]))
    assert ranks.tolist() == [[2.0, 1.0], [1.0, 2.0]]
    assert means(ranks)["HR@1"] == 0.5 and means(ranks)["MRR"] == 0.75


def test_other_orders_hold_the_same_items_with_their_scores():
    sets = made([[3, 5, 7], [9, 8, 7]], [5, 9])
    shuffled = reordered(sets, 80, seed=0)
    assert (np.sort(shuffled.items, axis=2) == np.sort(sets.items, axis=2)).all()
    assert (shuffled.teacher == -shuffled.items).all()
    assert len({tuple(row) for row in shuffled.items[:, 0].tolist()}) == 6
    assert (shuffled.ranks(shuffled.teacher) == sets.ranks(sets.teacher)[:, None]).all()


class ByItem:
    """The teacher: likes an item the more, the higher its number."""

    def scores(self, cases, items=None):
        table = np.tile(np.arange(361, dtype=np.float32), (len(cases), 1))
        table[:, 0] = -np.inf
        return table if items is None else np.take_along_axis(table, items, 1)


class PicksTheFirst(LlmRecommender):
    """Scores what is listed first highest, whatever it is: a model that looks at places alone."""

    def prompts(self, cases, items):
        return [None] * len(cases)

    def score_prompts(self, prompts, items, what=None):
        return np.tile(-np.arange(items.shape[1], dtype=np.float32), (len(items), 1))


@pytest.fixture
def study(plain_llm, writer, monkeypatch):
    """200 people of the made world, a teacher that likes high numbers, and a model that picks what is listed first."""
    config = resolve("demo", ["data.world_users=200", "evaluation.protocols=[rerank-20]"])
    data = prepare(config.data, 0)
    best = np.tile(np.arange(360, 260, -1), (200, 1))
    table = pd.DataFrame({"top_items": list(best), "top_scores": list(best.astype(np.float32))})
    study = Study(SimpleNamespace(config=config))
    own = {"data": data, "teacher": ByItem()}
    study.__dict__.update(own)
    monkeypatch.setattr(Study, "proposed", lambda self, part: table)
    picks = PicksTheFirst(plain_llm, writer)
    monkeypatch.setattr(Study, "recommender", lambda self, name: picks)
    assert isinstance(data, PreparedData)
    return study


def test_the_place_in_the_list_does_not_tell_the_teachers_rank(study):
    """What is reranked is listed in random order, so that who picks the first gets no more than chance."""
    sets = ranked(study, "test", "rerank")
    assert (np.sort(sets.items[0], axis=1) == np.arange(341, 361)).all() and (sets.teacher == sets.items).all()
    first = score_sets(study.recommender("x"), sets.cases, {"": sets.items})[""].argmax(axis=2)
    favourite = np.take_along_axis(sets.items[0], first[0][:, None], 1)[:, 0] == 360
    assert favourite.mean() == pytest.approx(1 / 20, abs=0.045), "the teacher's first choice, by chance"
    assert (ranked(study, "test", "rerank").items == sets.items).all(), "the same order every time"


def test_what_is_recommended_is_listed_in_random_order(study, monkeypatch):
    monkeypatch.setattr(recommend, "Study", lambda run: study)
    titles, chosen = study.data.split.titles, []
    for first in range(1, 40):
        table = recommend.recommend(SimpleNamespace(config=study.run.config), [titles[first]], top=5)
        chosen.append(table["teacher_rank"].iloc[0])
        assert table["rank"].tolist() == [1, 2, 3, 4, 5] and table["score"].is_monotonic_decreasing
    assert len(set(chosen)) > 8 and chosen.count(1) < 10, "who always takes the first slot gets chance"
    again = recommend.recommend(SimpleNamespace(config=study.run.config), [titles[39]], top=5)
    assert again["teacher_rank"].iloc[0] == chosen[-1], "the same person, the same order"


def test_weights_are_fitted_on_people_that_stopped_no_training(study):
    everyone = np.sort(np.concatenate([study.stopping, study.weighing]))
    assert everyone.tolist() == list(range(len(study.data.split.valid))), "each in one half, none in both"
    assert abs(len(study.stopping) - len(study.weighing)) <= 1
    assert ranked(study, "valid", "rerank").cases.user.tolist() == study.data.split.valid.user[study.weighing].tolist()
    assert protocols.number(study, "rerank") == 20 and protocols.number(study, "full") == 0
