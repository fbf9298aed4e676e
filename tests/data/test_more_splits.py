"""The temporal split, the split by user, popularity-matched distractors, and the optional filters."""

from dataclasses import replace

import numpy as np
import pytest
from as_frame import as_frame
from hypothesis import given, settings
from hypothesis import strategies as st

from delrec_kit.data import Interactions, draw_candidates, leave_one_out, prepare
from delrec_kit.data.domain import FILMS
from delrec_kit.data.filters import last_of_each, one_of_repeats, positive_only, with_titles
from delrec_kit.data.split import by_user, temporal
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError

MANY = [(f"u{u}", (u * 7 + step * 5) % 30 + 1, 100 * step + u) for u in range(30) for step in range(3 + u % 5)]


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 30), st.integers(0, 400)), min_size=20))
@settings(max_examples=40, deadline=None)
def test_nothing_that_trains_is_later_than_a_target(made, rows):
    rows = [(user, place % 30 + 1, time) for place, (user, _, time) in enumerate(rows)]
    try:
        split, _ = temporal(made(rows))
    except KitError as error:
        assert "leaves nothing" in str(error)
        return
    times = sorted(time for _, _, time in rows)
    first, second = times[len(rows) * 8 // 10], times[len(rows) * 9 // 10]
    assert len(split.train.values) == sum(time < first for time in times)
    for user, key in enumerate(split.user_keys):
        own = sorted((r for r in rows if r[0] == key), key=lambda r: r[2])
        items, when = [r[1] for r in own], [r[2] for r in own]
        assert split.train[user].tolist() == [i for i, t in zip(items, when) if t < first]
        for cases, low, high in ((split.valid, first, second), (split.test, second, 1000)):
            wanted = [n for n, t in enumerate(when) if low <= t < high][:1]
            found = np.flatnonzero(cases.user == user)
            assert len(found) == (1 if wanted and wanted[0] else 0)
            for case in found:
                assert cases.target[case] == items[wanted[0]]
                assert cases.history[case].tolist() == items[: wanted[0]]


def test_by_user_nothing_of_an_evaluated_user_trains(made):
    split = by_user(made(MANY), 0)
    assert (len(split.valid), len(split.test)) == (3, 3)
    evaluated = {*split.valid.user, *split.test.user}
    assert len(evaluated) == 6
    whole = leave_one_out(made(MANY))
    for user in range(30):
        everything = [*whole.test.history[user], whole.test.target[user]]
        if user not in evaluated:
            assert split.train[user].tolist() == everything
        else:
            assert not len(split.train[user])
            cases = split.valid if user in split.valid.user else split.test
            row = np.flatnonzero(cases.user == user)[0]
            assert [*cases.history[row], cases.target[row]] == everything
    assert not np.array_equal(by_user(made(MANY), 1).test.user, split.test.user)
    with pytest.raises(KitError, match="needs ten users"):
        by_user(made(MANY[:20]), 0)


def test_popular_items_are_drawn_as_often_as_they_are_chosen(made):
    rows = [(f"u{u}", i, t) for u in range(900) for t, i in enumerate((1 if u % 3 else 2, 3 + u % 20, 28, 29, 30))]
    split = leave_one_out(made(rows))
    drawn = draw_candidates(split, split.test, 3, 0, distractors="popularity")
    counts = np.bincount(drawn.ravel(), minlength=31)
    trained = np.bincount(split.train.values, minlength=31)
    assert counts[[23, 24, 25, 26, 27]].sum() == 0, "what nobody had is not drawn while there is other"
    free = {u: [i for i in range(1, 31) if i not in {*split.test.history[u], split.test.target[u]}] for u in range(900)}
    expected = sum(2 * trained[2] / trained[free[u]].sum() for u in range(900) if 2 in free[u])
    assert counts[2] > 1.3 * counts[3:23].max(), "what is chosen often stands there often"
    assert 0.75 * expected < counts[2] < 1.05 * expected, "without replacement a little less than in proportion"
    for row, user in zip(drawn, split.test.user):
        assert len(set(row)) == 3 and len({*row} & {*split.test.history[user]}) == 0


def test_filters_leave_out_what_they_say(made):
    repeated = made([("a", 1, 1), ("a", 2, 2), ("a", 1, 3), ("b", 1, 4), ("a", 1, 5)])
    times = [as_frame(one_of_repeats(repeated, which))["timestamp"].tolist() for which in ("first", "last")]
    assert times == [[1, 2, 4], [2, 5, 4]]
    assert one_of_repeats(repeated, "first").notices[-1].startswith("2 choices of an item")
    last = last_of_each(repeated, 2)
    assert as_frame(last)["timestamp"].tolist() == [3, 5, 4]
    assert last.notices == ["2 interactions of 1 users before their last 2 left out"]
    assert last_of_each(repeated, 4) is repeated
    rated = Interactions.of_frame(as_frame(repeated).assign(rating=[5, 1, 3, 2, 4]), repeated.titles, FILMS, [])
    assert as_frame(positive_only(rated, 3))["timestamp"].tolist() == [1, 3, 4]
    assert positive_only(rated, 3).notices == ["2 interactions rated below 3 left out"]
    assert as_frame(positive_only(rated, 3))["user"].cat.categories.tolist() == ["a", "b"]
    with pytest.raises(KitError, match="neither labels nor ratings"):
        positive_only(repeated, 3)
    with pytest.raises(KitError, match="leaves no interactions"):
        positive_only(rated, 6)
    titled = with_titles(replace(repeated, untitled=frozenset(["1", "9"])))
    assert as_frame(titled)["item"].tolist() == ["2"] and len(titled.titles) == 28
    assert titled.notices == ["2 items without a title and their 4 interactions, and with them 1 users, left out"]


@pytest.fixture
def folder(write):
    rows = [(*row, 1 + n % 5) for n, row in enumerate(MANY)] + [("u3", 8, 5000, 5), ("u3", 8, 5001, 5)]
    return write("user,item,timestamp,rating\n" + "".join(",".join(map(str, r)) + "\n" for r in rows))


@pytest.mark.parametrize(
    "settings_",
    [
        {"split": "temporal"},
        {"split": "by-user"},
        {"distractors": "popularity"},
        {"positive": 2.0},
        {"repeats": "first"},
        {"max_length": 4},
    ],
)
def test_each_setting_changes_the_data_and_repeats_itself(folder, settings_):
    make = lambda **more: prepare(DataConfig(dataset="custom", data_dir=str(folder), candidates=5, **more), 0)  # noqa: E731
    plain, one, two = make(), make(**settings_), make(**settings_)
    assert one.split.train == two.split.train and np.array_equal(one.test_candidates, two.test_candidates)
    assert one.split.train != plain.split.train or not np.array_equal(one.test_candidates, plain.test_candidates)


def test_rows_in_another_order_make_the_same_data(write):
    rows = [f"{u},{i},{t}\n" for u, i, t in MANY]
    made = []
    for order in (np.arange(len(rows)), np.random.default_rng(0).permutation(len(rows))):
        folder = write("user,item,timestamp\n" + "".join(rows[n] for n in order))
        made.append(prepare(DataConfig(dataset="custom", data_dir=str(folder), candidates=5), 0))
    assert made[0].split.train == made[1].split.train
    assert made[0].split.user_keys == made[1].split.user_keys
    assert np.array_equal(made[0].test_candidates, made[1].test_candidates)


def test_a_brought_split_stands_unless_another_is_asked(write):
    rows = "a,1,1,train\na,1,1,history\na,2,2,train\na,3,3,valid\na,5,4,test\nb,4,1,history\nb,5,2,test\nb,6,3,train\n"
    folder = str(write("user,item,timestamp,split\n" + rows))
    config = {"dataset": "custom", "data_dir": folder, "candidates": 5}
    with pytest.raises(KitError, match=r"data\.max_length=5 would break the split"):
        prepare(DataConfig(**config, max_length=5), 0)
    brought = prepare(DataConfig(**config), 0)
    assert "1 users have 'train' rows later than their own target" in brought.notices[-1]
    other = prepare(DataConfig(**config, split="leave-one-out"), 0)
    assert [row.tolist() for row in other.split.train] == [[1, 2], [4]]
