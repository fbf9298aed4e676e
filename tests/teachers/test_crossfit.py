import dataclasses

import numpy as np
import pytest

from delrec_kit.data import Ragged
from delrec_kit.settings.errors import KitError
from delrec_kit.teachers import CrossFitted, Popularity, assign_folds, distillation_table, fold_teachers
from delrec_kit.teachers import crossfit as module
from delrec_kit.teachers.crossfit import draw_prefixes


def with_user(split, user: int, sequence):
    """The split with another training sequence for one user."""
    rows = [np.asarray(sequence) if u == user else row for u, row in enumerate(split.train)]
    return dataclasses.replace(split, train=Ragged.from_lists(rows))


def test_folds_are_a_balanced_partition():
    fold = assign_folds(25, 3, seed=0)
    assert sorted(np.bincount(fold).tolist()) == [8, 8, 9]
    assert np.array_equal(fold, assign_folds(25, 3, 0)) and not np.array_equal(fold, assign_folds(25, 3, 1))


def test_the_teacher_that_labels_a_user_never_saw_that_user(random_split, make_config):
    """Another sequence for one user changes the other teacher, and not the one that labels this user."""
    user, config = 5, make_config(dropout=0.2)
    fold, before = fold_teachers(random_split, config, 2, 0)
    changed = with_user(random_split, user, [29, 28, 27, 26, 25])
    _, after = fold_teachers(changed, config, 2, 0)
    histories = random_split.test.history
    same = [np.allclose(a.scores(histories), b.scores(histories), atol=1e-4) for a, b in zip(before, after)]
    assert same == [f == fold[user] for f in range(config.folds)]


def test_each_fold_trains_on_the_others_only(random_split, make_config, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "fit", lambda train, *args, **kwargs: (seen.append(train), None))
    fold, _ = fold_teachers(random_split, make_config(folds=3), 2, 0)
    for f, train in enumerate(seen):
        assert train == random_split.train.take(np.flatnonzero(fold != f))


class Constant:
    def __init__(self, value: float):
        self.value = value

    def scores(self, histories, users=None):
        return np.full((len(histories), 5), self.value, np.float32)


def test_each_user_is_scored_by_the_teacher_of_their_fold():
    scorer = CrossFitted(np.array([1, 0, 1]), [Constant(0.0), Constant(1.0)])
    histories = Ragged.from_lists([[1], [2], [3], [4]])
    assert scorer.scores(histories, np.array([2, 1, 1, 0]))[:, 1].tolist() == [1, 0, 0, 1]
    with pytest.raises(ValueError, match="users"):
        scorer.scores(histories)


def test_prefixes_are_different_lengths_of_the_training_sequence():
    train = Ragged.from_lists([[1, 2], [], [1, 2, 3, 4, 5, 6]])
    users, lengths = draw_prefixes(train, 3, seed=0)
    assert users.tolist() == [0, 0, 2, 2, 2] and lengths[:2].tolist() == [1, 2]
    assert len(set(lengths[2:])) == 3 and lengths.max() <= 6 and lengths.min() >= 1


@pytest.fixture(scope="module")
def lists(random_split, make_config):
    config = make_config(top=6)
    fold, teachers = fold_teachers(random_split, config, 2, 0)
    scorer = CrossFitted(fold, teachers)
    return scorer, config, distillation_table(random_split, scorer, config, 0)


def test_lists_are_what_the_unseeing_teacher_says(lists, random_split):
    scorer, _, table = lists
    assert list(table.columns) == ["user", "length", "top_items", "top_scores", "other_items", "other_scores"]
    assert len(table) == sum(min(2, n) for n in random_split.train.lengths)
    for row in table.itertuples():
        history = random_split.train[row.user][: row.length]
        scores = scorer.scores(Ragged.from_lists([history]), np.array([row.user]))[0]
        assert np.allclose(scores[row.top_items], row.top_scores, atol=1e-5)
        assert np.allclose(scores[row.other_items], row.other_scores, atol=1e-5)
        free = np.setdiff1d(np.arange(1, 31), history)
        assert np.isclose(row.top_scores[0], scores[free].max(), atol=1e-5)
        assert np.all(np.diff(row.top_scores) <= 0)


def test_lists_hold_nothing_they_must_not(lists, random_split):
    for row in lists[2].itertuples():
        sequence = random_split.train[row.user]
        top, others = set(row.top_items), set(row.other_items)
        assert not top & set(sequence[: row.length]) and not others & (set(sequence) | top)
        assert len(top) == 6 and len(others) == len(row.other_items) and 0 not in top | others


def test_lists_are_deterministic_and_read_no_target(lists, random_split):
    scorer, config, table = lists
    bare = dataclasses.replace(random_split, valid=None, test=None)
    again = distillation_table(bare, scorer, config, 0)
    for column in table:
        assert np.array_equal(np.stack(table[column]), np.stack(again[column]))
    other = distillation_table(bare, scorer, config, 1)
    assert not np.array_equal(np.stack(table["other_items"]), np.stack(other["other_items"]))


def test_other_items_are_spread_evenly(make_split, make_config):
    split = make_split([[1, 2, 9, 9]] * 400, 20)
    table = distillation_table(split, Popularity(split), make_config(top=3, prefixes=1), 0)
    drawn = np.bincount(np.stack(table["other_items"]).ravel(), minlength=21)
    assert drawn[[0, 1, 2]].tolist() == [0, 0, 0]
    assert len(np.stack(table["other_items"])[0]) == 15  # all that a catalogue of 20 leaves


def test_a_small_catalogue_shortens_both_lists_and_a_used_up_one_is_refused(make_split, make_config):
    split = make_split([[1, 2, 3, 9, 9], [4, 5, 9, 9]], 11)
    table = distillation_table(split, Popularity(split), make_config(top=20), 0)
    assert {len(row) for row in table["top_items"]} == {4} and {len(row) for row in table["other_items"]} == {4}
    with pytest.raises(KitError, match="all but 1"):
        distillation_table(make_split([[1, 2, 3, 1, 1]], 4), Popularity(split), make_config(), 0)
