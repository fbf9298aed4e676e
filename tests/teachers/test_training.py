import dataclasses
import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from delrec_kit.data import Cases, Ragged, halves
from delrec_kit.evaluation import full_ranks, means
from delrec_kit.settings.errors import KitError
from delrec_kit.teachers import MODELS, Popularity, Teacher, train_teacher
from delrec_kit.teachers import training as module
from delrec_kit.teachers.teacher import padded

NAMES = list(MODELS)
SEQUENCES = st.lists(st.lists(st.integers(1, 50), max_size=23), max_size=6)


def equal(one: Teacher, two: Teacher) -> bool:
    """But for the order in which threads add."""
    states = (teacher.model.state_dict().values() for teacher in (one, two))
    return all(torch.allclose(*pair, rtol=1e-4, atol=1e-5) for pair in zip(*states, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_teacher_learns_an_order_that_popularity_cannot_see(name, cyclic_split, make_config):
    config = make_config(name, learning_rate=2e-2)
    teacher, curve = module.fit(cyclic_split.train, 12, config, 0, until=15)
    test, none = cyclic_split.test, Ragged.from_lists([[]] * 40)

    def hits(scores: np.ndarray) -> float:
        return means(full_ranks(scores, test.target, none))["HR@1"]

    assert hits(teacher.scores(test)) > 0.95
    assert hits(Popularity(cyclic_split).scores(test)) < 0.4
    assert hits(np.zeros((40, 13))) == 0.0
    assert hits(np.random.default_rng(0).random((40, 13))) < 0.4
    assert curve["loss"].iloc[-1] < curve["loss"].iloc[0] / 2


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_repeats_and_another_differs(name, random_split, make_config):
    config = make_config(name, dropout=0.2)
    one, two, other = (train_teacher(random_split, config, seed)[0] for seed in (3, 3, 4))
    assert equal(one, two) and not equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_no_target_reaches_the_weights(name, random_split, make_config, monkeypatch):
    """With the targets poisoned, and the choice of the epoch taken out of play, the weights come out the same."""
    monkeypatch.setattr(module, "means", lambda ranks: {module.METRIC: 0.5})
    poison = np.random.default_rng(9)

    def poisoned(cases: Cases) -> Cases:
        return dataclasses.replace(cases, target=poison.integers(1, 31, len(cases.target)))

    spoilt = dataclasses.replace(random_split, valid=poisoned(random_split.valid), test=poisoned(random_split.test))
    assert not np.array_equal(spoilt.valid.target, random_split.valid.target)
    config = make_config(name, dropout=0.2)
    assert equal(train_teacher(random_split, config, 0)[0], train_teacher(spoilt, config, 0)[0])


def test_test_cases_are_never_read(random_split, make_config):
    bare = dataclasses.replace(random_split, test=None)
    assert equal(train_teacher(random_split, make_config(), 0)[0], train_teacher(bare, make_config(), 0)[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_training_equals_an_uninterrupted_one(name, random_split, make_config, tmp_path, monkeypatch, capsys):
    config = make_config(name, epochs=4, dropout=0.3, learning_rate=1e-2)
    whole, curve = train_teacher(random_split, config, 0, tmp_path / "whole")
    ranks, called = module.catalogue_ranks, iter(range(1, 9))
    with monkeypatch.context() as patch:
        patch.setattr(module, "catalogue_ranks", lambda *of: ranks(*of) if next(called) < 3 else sys.exit("killed"))
        with pytest.raises(SystemExit):
            train_teacher(random_split, config, 0, tmp_path / "torn")
    resumed, again = train_teacher(random_split, config, 0, tmp_path / "torn")
    steps = -(-len(module.windows(random_split.train, config.length)) // config.batch)
    assert f"resuming after step {2 * steps}/{4 * steps}" in capsys.readouterr().out
    assert equal(whole, resumed) and whole.epochs == resumed.epochs
    pd.testing.assert_frame_equal(curve, again)


def test_a_teacher_whose_batches_are_halved_ends_the_same(make_split, make_config, monkeypatch):
    """Rows of many and of few positions: halves count by positions, as the whole does."""
    rng = np.random.default_rng(0)
    train = Ragged.from_lists([list(rng.integers(1, 9, size)) for size in (9, 2, 7, 3, 5, 2, 8, 4)])
    config = make_config(dropout=0.0, batch=8, length=8)
    whole, curve = module.fit(train, 9, config, 0, until=3)
    forward = module.MODELS["sasrec"].forward

    def narrow(self, items, targets):
        if len(items) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(self, items, targets)

    monkeypatch.setattr(module.MODELS["sasrec"], "forward", narrow)
    halves, again = module.fit(train, 9, config, 0, until=3)
    assert equal(whole, halves)
    pd.testing.assert_series_equal(curve["loss"], again["loss"], rtol=1e-4)


def test_early_stopping_keeps_the_best_epoch(random_split, make_config, monkeypatch):
    told, short = iter([0.1, 0.4, 0.3, 0.2, 0.1, 0.9]), make_config(epochs=6)
    monkeypatch.setattr(module, "PATIENCE", 2)
    monkeypatch.setattr(module, "means", lambda ranks: {module.METRIC: next(told)})
    kept = []
    monkeypatch.setattr(module, "catalogue_ranks", lambda teacher, cases: kept.append(teacher.scores(cases)))
    teacher, curve = train_teacher(random_split, short, 0)
    assert curve["valid_NDCG@10"].tolist() == [0.1, 0.4, 0.3, 0.2] and teacher.epochs == 2
    stopping, weighing = (random_split.valid.take(rows) for rows in halves(random_split.valid, 0))
    assert np.array_equal(teacher.scores(stopping), kept[1]) and not set(stopping.user) & set(weighing.user)
    assert not np.array_equal(kept[1], kept[3])


def test_a_finished_teacher_is_not_trained_again(random_split, make_config, tmp_path, monkeypatch):
    teacher, curve = train_teacher(random_split, make_config(), 0, tmp_path)
    monkeypatch.setattr(module, "KitTrainer", None)
    again, same = train_teacher(random_split, make_config(), 0, tmp_path)
    assert equal(teacher, again) and curve.equals(same)


def test_the_curve_tells_each_epoch(random_split, make_config):
    teacher, curve = train_teacher(random_split, make_config(), 0)
    assert list(curve.columns) == ["epoch", "loss", "valid_NDCG@10"] and curve["epoch"].tolist() == [1, 2, 3]
    assert np.isfinite(curve.to_numpy()).all() and abs(curve["loss"].iloc[0] - np.log(30)) < 0.3
    best = curve.loc[curve["valid_NDCG@10"].idxmax()]
    ranks = module.catalogue_ranks(teacher, random_split.valid.take(halves(random_split.valid, 0)[0]))
    assert teacher.epochs == best["epoch"] and teacher.seconds > 0
    assert means(ranks)["NDCG@10"] == pytest.approx(best["valid_NDCG@10"], abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_teacher_scores_the_same(name, random_split, make_config, tmp_path):
    teacher = Teacher(MODELS[name](30, make_config(name)), make_config(name), 30, 7)
    teacher.save(tmp_path)
    loaded = Teacher.load(tmp_path)
    assert (loaded.config, loaded.n_items, loaded.epochs) == (teacher.config, 30, 7)
    assert np.array_equal(loaded.scores(random_split.test), teacher.scores(random_split.test))


def test_a_torn_or_missing_teacher_is_one_clear_line(make_config, tmp_path):
    with pytest.raises(KitError, match="run notebook 02"):
        Teacher.load(tmp_path)
    Teacher(MODELS["sasrec"](30, make_config()), make_config(), 30).save(tmp_path)
    Teacher(MODELS["caser"](30, make_config("caser")), make_config("caser"), 30).save(tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").replace(tmp_path / "model.safetensors")
    with pytest.raises(KitError, match="does not fit"):
        Teacher.load(tmp_path)


def test_nothing_to_train_on_is_one_clear_line(make_split, random_split, make_config):
    with pytest.raises(KitError, match="nothing to learn"):
        train_teacher(make_split([[1, 2, 3]], 5), make_config(), 0)
    empty = Cases(np.array([], int), Ragged.from_lists([]), np.array([], int))
    with pytest.raises(KitError, match="validation"):
        train_teacher(dataclasses.replace(random_split, valid=empty), make_config(), 0)


def test_windows_by_hand():
    found = module.windows(Ragged.from_lists([[1, 2, 3, 4, 5, 6], [7], [8, 9]]), 2)
    assert sorted(found.tolist()) == [[1, 2, 0], [2, 3, 4], [4, 5, 6], [8, 9, 0]]


@given(SEQUENCES, st.integers(1, 9))
def test_every_item_but_the_first_is_a_target_once(sequences, length):
    found = module.windows(Ragged.from_lists(sequences), length)
    pairs = sorted((a, b) for row in found.tolist() for a, b in pairwise(row) if b)
    assert pairs == sorted(pair for s in sequences for pair in pairwise(s))


@given(SEQUENCES, st.integers(1, 9))
def test_padded_histories_keep_the_last_items(sequences, length):
    items, sizes = padded(Ragged.from_lists(sequences), length)
    assert items.shape == (len(sequences), length) and items.dtype == torch.int64
    for sequence, row, size in zip(sequences, items.tolist(), sizes.tolist()):
        assert row == sequence[-length:] + [0] * (length - len(sequence[-length:]))
        assert size == min(len(sequence), length)
