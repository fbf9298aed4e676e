"""Withheld items are in nothing that is learned from, and what is asked of them is asked fairly."""

import numpy as np
import pandas as pd
import pytest
from as_frame import as_frame

from delrec_kit.data import Interactions, PreparedData, prepare
from delrec_kit.data.cold import COLD, LEAST, MIXED
from delrec_kit.data.domain import FILMS
from delrec_kit.data.made_world.world import make_world
from delrec_kit.data.prepared import WORLD_ITEMS
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError

SETTINGS = DataConfig(cold_items=0.1, world_users=150, candidates=8)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return as_frame(make_world(150, WORLD_ITEMS, 0).interactions).astype({"user": str, "item": str})


@pytest.fixture(scope="module", params=[0.1, "newest"])
def data(request):
    return prepare(SETTINGS.model_copy(update={"cold_items": request.param}), 0)


def keys(data):
    return np.array([*data.split.item_keys, *data.cold.item_keys])


def test_what_is_learned_from_is_what_data_without_these_items_gives(data, rows, monkeypatch):
    """The proof: split, catalogue and candidate sets equal those of a world in which nobody ever had these items."""
    world = make_world(150, WORLD_ITEMS, 0)
    gone = set(data.cold.item_keys)
    left = rows[~rows["item"].isin(gone)]
    titles = world.interactions.titles.drop(list(gone))
    never = Interactions.of_frame(left, titles, FILMS, [])
    monkeypatch.setattr("delrec_kit.data.prepared.read_source", lambda config, seed: never)
    same = prepare(SETTINGS.model_copy(update={"cold_items": 0.0, "dataset": "custom", "data_dir": "."}), 0)
    for name in ("titles", "item_keys", "user_keys", "train"):
        assert getattr(same.split, name) == getattr(data.split, name), name
    for part in ("valid", "test"):
        one, other = getattr(same.split, part), getattr(data.split, part)
        assert one.history == other.history and (one.target == other.target).all() and (one.user == other.user).all()
        assert (getattr(same, f"{part}_candidates") == getattr(data, f"{part}_candidates")).all()
    assert not gone & set(data.split.item_keys) and not set(data.cold.titles) & set(data.split.titles)


def test_both_parts_are_popular_enough_and_alike(rows, data):
    counts = rows["item"].value_counts()[data.cold.item_keys].to_numpy()
    assert (counts == data.cold.counts).all() and counts.min() >= LEAST
    tests = np.array(data.cold.part) == "test"
    assert tests.sum() == 36 and 16 <= (~tests).sum() <= 18
    assert 0.7 < np.median(counts[tests]) / np.median(counts[~tests]) < 1.4


def test_newest_are_those_that_came_last(rows):
    data = prepare(SETTINGS.model_copy(update={"cold_items": "newest"}), 0)
    many = rows["item"].value_counts().loc[lambda n: n >= LEAST].index
    first = rows[rows["item"].isin(many)].groupby("item")["timestamp"].min()
    own = first[data.cold.item_keys]
    assert own.min() >= first.drop(data.cold.item_keys).max()


@pytest.mark.parametrize("part", ["valid", "test"])
def test_a_case_is_a_persons_last_withheld_choice_after_what_it_had_before(rows, data, part):
    names, N = keys(data), data.split.n_items
    cases, items = data.cold.sets[COLD][part]
    new = {key for key, of in zip(data.cold.item_keys, data.cold.part) if of == part}
    everyone = rows.groupby("user")["item"].agg(list)
    found = dict(zip(cases.user.tolist(), range(len(cases))))
    for user, key in enumerate(data.split.user_keys):
        had = everyone[key]
        places = [p for p, item in enumerate(had) if item in new and any(i not in data.cold.item_keys for i in had[:p])]
        assert bool(places) == (user in found)
        if not places:
            continue
        row = found[user]
        before = [i for i in had[: places[-1]] if i not in set(data.cold.item_keys)]
        assert names[cases.target[row]] == had[places[-1]] and names[cases.history[row]].tolist() == before
        assert (items[row] == cases.target[row]).sum() == 1 and len(set(items[row])) == items.shape[1]
        assert set(names[items[row]]) <= new and not (set(names[items[row]]) - {had[places[-1]]}) & set(had)
    assert (items > N).all()


def test_neither_new_nor_popular_tells_a_mixed_answer(data, rows):
    N = data.split.n_items
    cases, items = data.cold.sets[MIXED]["test"]
    new = cases.target > N
    assert abs(new.mean() - 0.5) <= 0.01
    shares = [(items[of] > N).mean() for of in (new, ~new)]
    assert all(abs(share - 0.5) < 1e-9 for share in shares), "half of every set is cold, whatever the answer"
    counts = rows["item"].value_counts().reindex(keys(data), fill_value=0).to_numpy()
    for kind in (new, ~new):
        answers, others = counts[cases.target[kind]], counts[items[kind]]
        above = (others > answers[:, None]).sum(1) + (others == answers[:, None]).sum(1) / 2 - 0.5
        assert 0.3 < above.mean() / (items.shape[1] - 1) < 0.7, "the answer is neither the most nor the least popular"
        assert 0.75 < others.mean() / answers.mean() < 1.35
    assert len(np.unique(items[items <= N])) > 0.5 * (counts[1 : N + 1] >= data.cold.counts.min()).sum(), (
        "of all places"
    )
    for user, answer, row in zip(cases.user, cases.target, items):
        assert (row == answer).sum() == 1 and len(set(row)) == len(row)
        assert not set(row.tolist()) - {answer} & set(data.split.train[user].tolist())


def test_the_truth_of_the_made_world_holds_for_cold_items_too(data):
    for protocol, parts in data.cold.sets.items():
        cases, items = parts["test"]
        chances = data.cold.oracle[protocol]
        hits = (items[np.arange(len(items)), chances.argmax(1)] == cases.target).mean()
        assert hits > 3 / items.shape[1] and (chances >= 0).all() and (chances.sum(1) <= 1 + 1e-9).all(), protocol


def test_a_seed_repeats_and_it_lies_on_disk_as_it_is(data, tmp_path):
    again = prepare(SETTINGS, 0)
    other = prepare(SETTINGS, 1)
    assert set(again.cold.item_keys) != set(other.cold.item_keys)
    data.save(tmp_path)
    read = PreparedData.load(tmp_path).cold
    assert (read.titles, read.item_keys, read.part) == (data.cold.titles, data.cold.item_keys, data.cold.part)
    for name, parts in data.cold.sets.items():
        for part, (cases, items) in parts.items():
            assert (read.sets[name][part][1] == items).all()
            assert (read.sets[name][part][0].target == cases.target).all()
            assert read.sets[name][part][0].history == cases.history
        assert (read.oracle[name] == data.cold.oracle[name]).all()
    (tmp_path / "mixed_test.parquet").write_bytes(b"PAR1")
    with pytest.raises(KitError, match=r"mixed_test.parquet is damaged"):
        PreparedData.load(tmp_path)


@pytest.mark.parametrize("share", [0.01, 0.9])
def test_too_few_or_too_many_are_refused_with_the_numbers(share):
    with pytest.raises(KitError, match=r"data.cold_items=.* would withhold \d+ of 360 items"):
        prepare(SETTINGS.model_copy(update={"cold_items": share}), 0)


def test_moments_and_cold_items_do_not_go_together():
    with pytest.raises(KitError, match="does not know the moments"):
        prepare(SETTINGS.model_copy(update={"split": "temporal"}), 0)
    with pytest.raises(KitError, match="by-user has none"):
        prepare(DataConfig(world_users=60, train_users=20, split="by-user"), 0)


def test_a_small_shop_trains_on_few_and_tests_all():
    whole, few = (prepare(DataConfig(world_users=60, train_users=n), 3) for n in (0, 20))
    trains = np.flatnonzero(few.split.train.lengths)
    assert len(trains) == 20 and set(few.split.valid.user) == set(trains)
    assert all((few.split.train[u] == whole.split.train[u]).all() for u in trains)
    assert (
        few.split.test.target == whole.split.test.target
    ).all() and few.split.test.history == whole.split.test.history
    assert (few.test_candidates == whole.test_candidates).all(), "the same questions in a shop of any size"
    few = prepare(SETTINGS.model_copy(update={"train_users": 20}), 3)
    for protocol in (COLD, MIXED):
        asked = {part: set(few.cold.sets[protocol][part][0].user) for part in ("valid", "test")}
        assert asked["valid"] <= set(few.split.valid.user) and len(asked["test"]) > 60, "customers alone set weights"
    with pytest.raises(KitError, match="only 60 users"):
        prepare(DataConfig(world_users=60, train_users=61), 3)
