import numpy as np
import pytest

from delrec_kit.data import PreparedData, answer_index, leave_one_out, prepare
from delrec_kit.data.prepared import WORLD_ITEMS
from delrec_kit.data.statistics import describe, timeline
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError


def same(one, other):
    for name in ("titles", "item_keys", "user_keys", "train"):
        assert getattr(one.split, name) == getattr(other.split, name), name
    for part in ("valid", "test"):
        mine, theirs = getattr(one.split, part), getattr(other.split, part)
        assert np.array_equal(mine.user, theirs.user) and np.array_equal(mine.target, theirs.target)
        assert mine.history == theirs.history
    for name in ("valid_candidates", "test_candidates"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert (one.oracle is None) == (other.oracle is None)
    assert one.oracle is None or np.array_equal(one.oracle, other.oracle)
    assert (one.statistics, one.notices, one.domain) == (other.statistics, other.notices, other.domain)
    assert one.timeline.astype("str").equals(other.timeline.astype("str"))


@pytest.fixture
def rows():
    return [(f"u{u}", (u * 11 + step * 3) % 30 + 1, 1000 + step * 100) for u in range(12) for step in range(6)]


@pytest.fixture
def folder(write, rows):
    return write("user,item,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in rows) + "short,1,1\n")


def test_custom_data_is_prepared_saved_and_loaded(folder, tmp_path):
    config = DataConfig(dataset="custom", data_dir=str(folder), candidates=7)
    data = prepare(config, seed=4)
    assert data.test_candidates.shape == data.valid_candidates.shape == (12, 7)
    assert data.oracle is None and data.domain.past == "chose"
    assert data.notices[0].startswith("73 timestamps (1 to 1500) are too small for seconds since 1970")
    assert data.notices[1:] == ["1 users with fewer than 3 interactions left out"]
    assert not np.array_equal(np.sort(data.valid_candidates), np.sort(data.test_candidates))
    data.save(tmp_path / "data")
    assert {p.suffix for p in (tmp_path / "data").iterdir()} == {".parquet", ".json", ".csv"}
    same(PreparedData.load(tmp_path / "data"), data)
    same(prepare(config, seed=4), data)
    other = prepare(config, seed=5)
    assert not np.array_equal(other.test_candidates, data.test_candidates) and other.split.train == data.split.train
    for name in ("statistics.json", "test.parquet"):
        path = tmp_path / "data" / name
        content = path.read_bytes()
        if name.endswith("parquet"):
            path.write_bytes(content[: len(content) // 2])
            with pytest.raises(KitError, match=r"test\.parquet is damaged or cut off"):
                PreparedData.load(tmp_path / "data")
        path.unlink()
        with pytest.raises(KitError, match=f"has no {name}"):
            PreparedData.load(tmp_path / "data")
        path.write_bytes(content)


def test_a_brought_split_is_prepared(write, tmp_path):
    rows = "a,1,1,train\na,2,2,train\na,3,3,valid\nb,4,1,history\nb,5,2,test\nc,9,9,test\n"
    folder = write("user,item,timestamp,split\n" + rows)
    data = prepare(DataConfig(dataset="custom", data_dir=str(folder), candidates=5), 0)
    assert data.notices == ["1 targets with nothing known before them left out"]
    assert data.split.user_keys == ["a", "b"] and len(data.split.valid) == len(data.split.test) == 1
    assert data.statistics["interactions"] == 5 and data.statistics["training_interactions"] == 2
    data.save(tmp_path / "data")
    same(PreparedData.load(tmp_path / "data"), data)
    with pytest.raises(KitError, match=r"data\.core=2 would break the split"):
        prepare(DataConfig(dataset="custom", data_dir=str(folder), candidates=5, core=2), 0)


def test_k_core_applies_before_the_split(folder):
    config = DataConfig(dataset="custom", data_dir=str(folder), candidates=3, core=3)
    data = prepare(config, 0)
    owners = np.bincount(data.split.consumed().values)[1:]
    assert owners.min() >= 3 and data.split.n_items == len(owners) < 30
    assert any(notice.startswith("3-core: ") for notice in data.notices)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "custom"}, r"needs --data-dir \(data\.data_dir\)"),
        ({"dataset": "demo", "data_dir": "x"}, "demo is made by the kit and reads no --data-dir"),
        ({"dataset": "custom", "data_dir": "nowhere/at/all"}, "no data folder"),
        ({"dataset": "custom", "candidates": 26}, r"data\.candidates=26 .* at most 25"),
        ({"dataset": "custom", "core": 40}, r"data\.core=40 leaves no interactions"),
    ],
)
def test_settings_that_do_not_fit(folder, settings, message):
    if settings["dataset"] == "custom" and len(settings) > 1:
        settings = {"data_dir": str(folder), **settings}
    with pytest.raises(KitError, match=message):
        prepare(DataConfig(**settings), 0)


def test_statistics_by_hand(made):
    rows = [("a", 1, 0), ("a", 2, 0), ("a", 3, 86400), ("b", 1, 5), ("b", 2, 9), ("b", 4, 9), ("b", 1, 9)]
    interactions = made(rows, items=5)
    interactions.titles["5"] = "Title 1"
    found = describe(interactions, leave_one_out(interactions, 3))
    assert found["users"] == 2 and found["items"] == 5 and found["interactions"] == 7
    assert found["density"] == pytest.approx(0.7)
    assert found["length"] == {
        "mean": 3.5, "min": 3.0, "quarter": 3.25, "median": 3.5, "three_quarters": 3.75, "max": 4.0
    }  # fmt: skip
    assert found["ties_in_time"] == pytest.approx(3 / 5) and found["last_two_tie"] == 0.5
    assert (found["first_day"], found["last_day"], found["days"]) == ("1970-01-01", "1970-01-02", 1.0)
    assert found["repeated_choices"] == 1 and found["duplicate_titles"] == 1 and found["items_nobody_had"] == 1
    assert found["training_interactions"] == 3 and found["valid_cases"] == found["test_cases"] == 2
    spans = timeline(interactions)
    assert spans["interactions"].sum() == 7 and spans["interactions"].iloc[0] == 6 and spans["users"].iloc[0] == 2


def test_the_oracle_knows_the_made_world():
    data = prepare(DataConfig(world_users=150), seed=0)
    assert data.oracle.shape == data.test_candidates.shape == (150, 15)
    assert np.isfinite(data.oracle).all() and (data.oracle >= 0).all() and (data.oracle.sum(1) <= 1 + 1e-9).all()
    answer = answer_index(data.test_candidates, data.split.test.target)
    assert (data.oracle[np.arange(150), answer] > 0).all(), "what happened was possible"
    hits = (data.oracle.argmax(1) == answer).mean()
    assert 0.4 < hits < 0.95, "the oracle knows much and not all"
    common = np.array(data.patterns) == "common to all"
    assert 0.5 < common.mean() < 0.9 and set(data.patterns) > {"common to all", "item to item"}
    linked = np.array(data.patterns) == "item to item"
    chance = data.oracle[np.arange(150), answer]
    assert chance[linked].mean() > 0.03 and chance[common].mean() > 0.1
    shuffled = np.random.default_rng(0).permutation(data.oracle, axis=0)
    assert (shuffled.argmax(1) == answer).mean() < 0.25


def test_the_oracle_follows_items_when_the_catalogue_shrinks():
    config = DataConfig(world_users=200, core=9, candidates=5)
    small = prepare(config, 0)
    assert small.split.n_items < WORLD_ITEMS
    answer = answer_index(small.test_candidates, small.split.test.target)
    assert (small.oracle.argmax(1) == answer).mean() > 0.35
