import dataclasses

import numpy as np
import pytest

from delrec_kit.data import Cases, Ragged
from delrec_kit.settings.errors import KitError
from delrec_kit.teachers import CatalogueScorer, CrossFitted, Popularity, distillation_table, fold_teachers
from delrec_kit.teachers import crossfit as module
from delrec_kit.teachers.crossfit import assign_folds, draw_prefixes


def with_user(split, user: int, sequence):
    """The split with another training sequence for one user."""
    rows = [np.asarray(sequence) if u == user else row for u, row in enumerate(split.train)]
    return dataclasses.replace(split, train=Ragged.from_lists(rows))


def test_folds_are_a_balanced_partition():
    trained = np.arange(40) % 8 < 5
    fold = assign_folds(trained, 3, seed=0)
    assert sorted(np.bincount(fold[trained]).tolist()) == [8, 8, 9]
    assert np.bincount(fold[~trained]).tolist() == [5, 5, 5]
    assert np.array_equal(fold, assign_folds(trained, 3, 0)) and not np.array_equal(fold, assign_folds(trained, 3, 1))


def test_few_people_get_more_folds(random_split, make_config, monkeypatch):
    """So that the teachers that label a small shop have seen four fifths of it and not a half."""
    asked = {(few, folds): None for few in (24, 25) for folds in (0, 3)}
    for few, folds in asked:
        monkeypatch.setattr(module, "FEW", few)
        asked[few, folds] = len(fold_teachers(random_split, make_config(folds=folds), 1, 0).teachers)
    assert asked == {(24, 0): 2, (25, 0): 5, (24, 3): 3, (25, 3): 3}


def test_the_teacher_that_labels_a_user_never_saw_that_user(random_split, make_config):
    """Another sequence for one user changes the other teacher, and not the one that labels this user."""
    user, config = 5, make_config(dropout=0.2)
    before = fold_teachers(random_split, config, 2, 0)
    after = fold_teachers(with_user(random_split, user, [29, 28, 27, 26, 25]), config, 2, 0)
    pairs = [[teacher.scores(random_split.test) for teacher in pair] for pair in zip(before.teachers, after.teachers)]
    assert [np.allclose(*pair, atol=1e-4) for pair in pairs] == [f == before.fold[user] for f in range(5)]


class Constant(CatalogueScorer):
    def __init__(self, value: float):
        self.value = value

    def catalogue(self, cases):
        return np.full((len(cases), 5), self.value, np.float32)


def test_each_user_is_scored_by_the_teacher_of_their_fold():
    scorer = CrossFitted(np.array([1, 0, 1]), [Constant(0.0), Constant(1.0)])
    histories = Ragged.from_lists([[1], [2], [3], [4]])
    people = Cases.of_histories(histories, np.array([2, 1, 1, 0]))
    assert scorer.scores(people)[:, 1].tolist() == scorer.scores(people, people.user[:, None])[:, 0].tolist()
    assert scorer.scores(people)[:, 1].tolist() == [1, 0, 0, 1] and scorer.scores(people.take([])).shape == (0, 5)
    for users in (None, np.array([0, 1, 2, 3])):
        with pytest.raises(ValueError, match="users"):
            scorer.scores(Cases.of_histories(histories, users))


def test_prefixes_are_different_lengths_of_the_training_sequence():
    train = Ragged.from_lists([[1, 2], [], [1, 2, 3, 4, 5, 6]])
    users, lengths = draw_prefixes(train, 3, seed=0)
    assert users.tolist() == [0, 0, 2, 2, 2] and lengths[:2].tolist() == [1, 2]
    assert len(set(lengths[2:])) == 3 and lengths.max() <= 6 and lengths.min() >= 1


@pytest.fixture(scope="module")
def lists(random_split, make_config):
    scorer = fold_teachers(random_split, make_config(), 2, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LISTED", 6)
        yield scorer, distillation_table(random_split, scorer, 2, 0)


def test_lists_are_what_the_unseeing_teacher_says(lists, random_split):
    scorer, table = lists
    assert list(table.columns) == ["user", "length", "top_items", "top_scores", "other_items", "other_scores"]
    assert len(table) == sum(min(2, n) for n in random_split.train.lengths)
    for row in table.itertuples():
        history = random_split.train[row.user][: row.length]
        scores = scorer.scores(Cases.of_histories(Ragged.from_lists([history]), np.array([row.user])))[0]
        assert np.allclose(scores[row.top_items], row.top_scores, atol=1e-5)
        assert np.allclose(scores[row.other_items], row.other_scores, atol=1e-5)
        free = np.setdiff1d(np.arange(1, 31), history)
        assert np.isclose(row.top_scores[0], scores[free].max(), atol=1e-5)
        assert np.all(np.diff(row.top_scores) <= 0)


def test_lists_hold_nothing_they_must_not(lists, random_split):
    for row in lists[1].itertuples():
        sequence = random_split.train[row.user]
        top, others = set(row.top_items), set(row.other_items)
        assert not top & set(sequence[: row.length]) and not others & (set(sequence) | top)
        assert len(top) == 6 and len(others) == len(row.other_items) and 0 not in top | others


def test_lists_are_deterministic_and_read_no_target(lists, random_split):
    scorer, table = lists
    bare = dataclasses.replace(random_split, valid=None, test=None)
    again = distillation_table(bare, scorer, 2, 0)
    for column in table:
        assert np.array_equal(np.stack(table[column]), np.stack(again[column]))
    other = distillation_table(bare, scorer, 2, 1)
    assert not np.array_equal(np.stack(table["other_items"]), np.stack(other["other_items"]))


def test_other_items_are_spread_evenly(make_split, monkeypatch):
    monkeypatch.setattr(module, "LISTED", 3)
    split = make_split([[1, 2, 9, 9]] * 400, 20)
    table = distillation_table(split, Popularity(split), 1, 0)
    drawn = np.bincount(np.stack(table["other_items"]).ravel(), minlength=21)
    assert drawn[[0, 1, 2]].tolist() == [0, 0, 0]
    assert len(np.stack(table["other_items"])[0]) == 15  # all that a catalogue of 20 leaves


def test_a_small_catalogue_shortens_both_lists_and_a_used_up_one_is_refused(make_split):
    split = make_split([[1, 2, 3, 9, 9], [4, 5, 9, 9]], 11)
    table = distillation_table(split, Popularity(split), 2, 0)
    assert {len(row) for row in table["top_items"]} == {4} and {len(row) for row in table["other_items"]} == {4}
    with pytest.raises(KitError, match="all but 1"):
        distillation_table(make_split([[1, 2, 3, 1, 1]], 4), Popularity(split), 2, 0)
