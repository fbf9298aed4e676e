"""What a split promises, on generated interactions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delrec_kit.data.split import brought_split, leave_one_out
from delrec_kit.data.statistics import one_case
from delrec_kit.settings.errors import KitError

TIMES = st.integers(0, 6)  # few, so that times tie
ROWS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 9), TIMES), min_size=1, max_size=40)
LOOSE = settings(max_examples=40)


def by_user(rows):
    """What the specification says, in the plainest way: each user's rows by time, ties in file order."""
    return {u: sorted((r for r in rows if r[0] == u), key=lambda r: r[2]) for u in sorted({r[0] for r in rows})}


def items(rows):
    return [row[1] for row in rows]


@given(ROWS)
@LOOSE
def test_leave_one_out_is_the_last_two_by_time(made, rows):
    expected = {u: items(own) for u, own in by_user(rows).items() if len(own) >= 3}
    if not expected:
        with pytest.raises(KitError, match="no user has 3 interactions"):
            leave_one_out(made(rows), 3)
        return
    split = leave_one_out(made(rows), 3)
    assert split.user_keys == list(expected)
    assert split.valid.user.tolist() == split.test.user.tolist() == list(range(len(expected)))
    for place, own in enumerate(expected.values()):
        assert split.train[place].tolist() == split.valid.history[place].tolist() == own[:-2]
        assert split.valid.target[place] == own[-2]
        assert split.test.history[place].tolist() == own[:-1]
        assert split.test.target[place] == own[-1]
    assert split.n_items == 30 and split.titles[:2] == ["", "Title 1"] and split.item_keys[:2] == ["", "1"]


@given(ROWS)
@LOOSE
def test_no_target_occurrence_is_part_of_train(made, rows):
    rows = [(*row, place) for place, row in enumerate(rows)]
    own = {u: r for u, r in by_user(rows).items() if len(r) >= 3}
    if not own:
        return
    split = leave_one_out(made([r[:3] for r in rows]), 3)
    occurrences = {u: [r[3] for r in sequence] for u, sequence in own.items()}
    for place, positions in enumerate(occurrences.values()):
        trained = positions[: len(split.train[place])]
        valid, test = positions[len(split.valid.history[place])], positions[len(split.test.history[place])]
        assert len({*trained, valid, test}) == len(trained) + 2 == len(positions)
    assert len(split.train.values) + len(split.valid) + len(split.test) == sum(map(len, occurrences.values()))


@given(st.data())
@LOOSE
def test_the_order_of_rows_matters_only_within_ties(made, data):
    users = data.draw(st.lists(st.sampled_from("abc"), min_size=3, max_size=25))
    rows = [(u, place % 9 + 1, place) for place, u in enumerate(users)]
    shuffled = data.draw(st.permutations(rows))
    if max(users.count(u) for u in "abc") < 3:
        return
    one, other = (leave_one_out(made(r), 3) for r in (rows, shuffled))
    place = [other.user_keys.index(key) for key in one.user_keys]
    assert other.train.take(place) == one.train
    assert other.test.history.take(place) == one.test.history
    assert np.array_equal(other.test.target[place], one.test.target)
    assert np.array_equal(other.valid.target[place], one.valid.target)


def test_users_with_too_few_items_are_left_out(made):
    rows = [("a", i, i) for i in range(1, 5)] + [("b", 1, 1), ("b", 2, 2)] + [("c", i, i) for i in range(1, 4)]
    assert leave_one_out(made(rows), 3).user_keys == ["a", "c"]
    assert leave_one_out(made(rows), 4).user_keys == ["a"]
    assert leave_one_out(made(rows), 1).user_keys == ["a", "c"], "below three there is nothing to split"


BROUGHT = [
    ("a", 1, 1, "train"),
    ("a", 2, 2, "train"),
    ("a", 3, 3, "valid"),
    ("a", 4, 4, "test"),
    ("b", 5, 1, "train"),
    ("b", 6, 2, "train"),
    ("c", 7, 2, "history"),
    ("c", 8, 1, "history"),
    ("c", 9, 3, "test"),
    ("d", 1, 1, "train"),
    ("d", 2, 5, "history"),
    ("d", 3, 6, "valid"),
    ("e", 4, 1, "train"),
    ("e", 5, 9, "test"),
]


def test_a_brought_split_is_taken_as_marked(made):
    split = brought_split(made(BROUGHT))
    assert split.user_keys == list("abcde")
    assert [row.tolist() for row in split.train] == [[1, 2], [5, 6], [], [1], [4]]
    assert split.valid.user.tolist() == [0, 3] and split.valid.target.tolist() == [3, 3]
    assert [row.tolist() for row in split.valid.history] == [[1, 2], [2]], "history rows stand before train rows"
    assert split.test.user.tolist() == [0, 2, 4] and split.test.target.tolist() == [4, 9, 5]
    assert [row.tolist() for row in split.test.history] == [[1, 2, 3], [8, 7], [4]]
    assert [row.tolist() for row in split.consumed()] == [[1, 2, 3, 4], [5, 6], [7, 8, 9], [1, 2, 3], [4, 5]]


def test_one_case_tells_each_item_s_role(made):
    split = brought_split(made(BROUGHT))
    roles = [one_case(split, row)["role"].tolist() for row in range(3)]
    assert roles[0] == ["training", "training", "validation target", "test target"]
    assert roles[1] == ["history", "history", "test target"]
    assert roles[2] == ["training", "test target"]
    last = leave_one_out(made([("a", item, item) for item in range(1, 6)]))
    assert one_case(last)["role"].tolist() == ["training"] * 3 + ["validation target", "test target"]
    assert one_case(last)["title"].iloc[-1] == last.titles[last.test.target[0]]


@pytest.mark.parametrize("label", ["train", "valid", "test"])
def test_a_brought_split_needs_every_part(made, label):
    with pytest.raises(KitError, match=f"no row marked '{label}'"):
        brought_split(made([row for row in BROUGHT if row[3] != label]))


def test_two_targets_of_a_kind_are_refused(made):
    with pytest.raises(KitError, match="user 'e' has 2 rows marked 'test'"):
        brought_split(made([*BROUGHT, ("e", 6, 10, "test")]))


def test_a_target_that_nothing_precedes_is_no_case(made):
    split = brought_split(made([*BROUGHT, ("f", 1, 1, "valid"), ("f", 2, 2, "test")]))
    assert split.valid.user.tolist() == [0, 3] and split.test.user.tolist() == [0, 2, 4]
    alone = [("a", 1, 1, "train"), ("b", 2, 2, "valid"), ("a", 3, 3, "test")]
    with pytest.raises(KitError, match="no 'valid' row has anything known before it"):
        brought_split(made(alone))


@given(st.data())
@LOOSE
def test_brought_targets_never_train(made, data):
    rows, marks = [], {}
    for user in "abcd":
        lengths = [data.draw(st.integers(0, 3)) for _ in range(2)]
        targets = [data.draw(st.booleans()) for _ in range(2)]
        labels = ["train"] * lengths[0] + ["history"] * lengths[1]
        labels += [name for name, there in zip(("valid", "test"), targets) if there]
        rows += [(user, len(rows) + place + 1, place, label) for place, label in enumerate(labels)]
        marks[user] = labels
    rows += [("z", 61, 1, "train"), ("z", 62, 2, "valid"), ("z", 63, 3, "test")]
    split = brought_split(made(rows, items=63))
    label_of = {row[1]: row[3] for row in rows}
    assert {label_of[i] for i in split.train.values} == {"train"}
    assert sorted(split.train.values) == [i for i, label in label_of.items() if label == "train"]
    assert {label_of[i] for i in split.valid.target} == {"valid"} and {label_of[i] for i in split.test.target} == {
        "test"
    }
    assert "test" not in {label_of[i] for i in split.test.history.values}
    known = {user for user, labels in marks.items() if {"train", "history"} & set(labels)} | {"z"}
    for name, cases in (("valid", split.valid), ("test", split.test)):
        wanted = [u for u in split.user_keys if u in known and name in marks.get(u, ["valid", "test"])]
        assert [split.user_keys[u] for u in cases.user] == wanted
        assert (cases.history.lengths > 0).all()
        assert all((np.diff(history) > 0).all() for history in cases.history), "items rise with time here"
