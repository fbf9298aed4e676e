"""What was left out of a split is still what its user had: it is counted, and never a distractor."""

import numpy as np
import pandas as pd
import pytest

from delrec_kit.data import PreparedData, prepare
from delrec_kit.data.plots import plot_popularity, plot_split, plot_time
from delrec_kit.data.split import temporal
from delrec_kit.data.statistics import one_case
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError

USERS, LONG = 30, 20
ROWS = [
    (f"u{u}", (u * 7 + n * 11) % 60 + 1, 50 * n + 17 * u, 1 + (u + n) % 5) for u in range(USERS) for n in range(LONG)
]
HEAD = "user,item,timestamp,rating\n"


def lines(rows):
    return HEAD + "".join(",".join(map(str, row)) + "\n" for row in rows)


@pytest.fixture
def folder(write):
    return str(write(lines(ROWS), "item,title\n" + "".join(f"{i},Title {i}\n" for i in range(1, 61))))


@pytest.mark.parametrize("cut", [{"max_length": 6}, {"positive": 3.0}, {"split": "temporal"}, {}])
def test_nothing_that_a_user_ever_had_is_a_distractor(cut, folder, tmp_path):
    made = prepare(DataConfig(dataset="custom", data_dir=folder, **cut), 0)
    made.save(tmp_path / "data")
    data = PreparedData.load(tmp_path / "data")
    had = {f"u{u}": {i for key, i, *_ in ROWS if key == f"u{u}"} for u in range(USERS)}
    split, extra = data.split, 0
    for cases, candidates in ((split.valid, data.valid_candidates), (split.test, data.test_candidates)):
        for user, target, row in zip(cases.user, cases.target, candidates, strict=True):
            items = {int(split.item_keys[item]) for item in row if item != target}
            assert not items & had[split.user_keys[user]]
    for user, own in enumerate(split.consumed()):
        assert {int(split.item_keys[item]) for item in own} == had[split.user_keys[user]]
        extra += len(own)
    assert (extra > sum(len(set(c)) for c in split.test.history)) and (split.cut is None) == (not cut)


def test_the_core_holds_after_the_cut(folder):
    data = prepare(DataConfig(dataset="custom", data_dir=folder, max_length=8, core=4), 0)
    split = data.split
    whole = np.concatenate([split.test.history.values, split.test.target])
    assert np.bincount(whole, minlength=61)[1 : split.n_items + 1].min() >= 4
    assert (split.test.history.lengths + 1).min() >= 4


def test_titles_with_nothing_in_them_are_left_out(write):
    blank = {1: '"  "', 2: "&nbsp;", 3: "\u200b", 4: ""}
    items = "item,title\n" + "".join(f"{i},{blank.get(i, f'Title {i}')}\n" for i in range(1, 61))
    data = prepare(DataConfig(dataset="custom", data_dir=str(write(lines(ROWS), items)), untitled="drop"), 0)
    assert data.split.n_items == 56 and not {"1", "2", "3", "4"} & set(data.split.item_keys)
    assert any(notice.startswith("4 items without a title and their") for notice in data.notices)


def test_users_who_go_with_a_filter_are_counted(write):
    rows = ROWS + [("low", n, n, 1) for n in range(1, 6)]
    items = "item,title\n" + "".join(f"{i},Title {i}\n" for i in range(1, 61))
    data = prepare(DataConfig(dataset="custom", data_dir=str(write(lines(rows), items)), positive=2.0), 0)
    assert any("rated below 2, and with them 1 users, left out" in notice for notice in data.notices)


@pytest.mark.parametrize(("times", "kept"), [(("1000", "1000"), 1), (("1000000000000", "1000000000400"), 2)])
def test_what_happened_twice_within_a_second_happened_twice(times, kept, write):
    unit = 1000 if len(times[0]) > 4 else 1
    rows = [f"a,1,{t}\n" for t in times] + [
        f"a,{i},{(10**9 + i) * unit if unit > 1 else 1000 + i}\n" for i in range(2, 7)
    ]
    data = prepare(
        DataConfig(dataset="custom", data_dir=str(write("user,item,timestamp\n" + "".join(rows))), candidates=5), 0
    )
    assert data.statistics["interactions"] == 5 + kept


def test_a_validation_target_is_labelled_wherever_it_stands(made):
    rows = [(f"u{u}", (u + n * 3) % 30 + 1, 100 * n + u) for u in range(20) for n in range(20)]
    split, notices = temporal(made(rows))
    labelled = [one_case(split, row)["role"].tolist().count("validation target") for row in range(len(split.test))]
    both = set(split.valid.user) & set(split.test.user)
    assert sum(labelled) == len(both) > 10 and set(labelled) <= {0, 1}
    for row in range(len(split.test)):
        case = one_case(split, row)
        place = np.flatnonzero(case["role"] == "validation target")
        valid = split.valid.target[split.valid.user == split.test.user[row]]
        assert [split.titles[v] for v in valid] == case["title"].iloc[place].tolist()
        assert place[0] == len(split.train[split.test.user[row]]), "the first after what trains"
    times = sorted(time for *_, time in rows)
    first, second = times[320], times[360]
    used = 0
    for u in range(20):
        own = sorted(time for key, _, time in rows if key == f"u{u}")
        spans = ((first, second), (second, 10**9))
        targets = [next((t for t in own if low <= t < high), 0) for low, high in spans]
        used += sum(t <= max(targets) for t in own)
    assert notices == [f"{400 - used} interactions neither train, nor are predicted, nor stand before a target"]


def test_popularity_counts_all_that_users_had(folder):
    data = prepare(DataConfig(dataset="custom", data_dir=folder, split="temporal"), 0)
    _, table = plot_popularity(data)
    assert table["users"].sum() == len({(user, item) for user, item, *_ in ROWS})


def test_card_and_timeline_count_a_brought_split_alike(write):
    rows = [(f"u{u}", (u + n) % 30 + 1, 10 * n + u, 3, label) for u in range(12)
            for n, label in enumerate(["train"] * 6 + ["valid", "test"])]  # fmt: skip
    rows += [(*row[:3], 4, "history") for row in rows if row[4] == "train"]
    text = HEAD.strip() + ",split\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    config = DataConfig(dataset="custom", data_dir=str(write(text)), candidates=5)
    data = prepare(config, 0)
    assert data.timeline["interactions"].sum() == data.statistics["interactions"] == 12 * 8
    for plot in (plot_time, plot_split):
        plot(data)
    with pytest.raises(KitError, match=r"data\.core=7 would break the split that the data brings"):
        prepare(config.model_copy(update={"core": 7}), 0)
    assert isinstance(data.timeline, pd.DataFrame)
