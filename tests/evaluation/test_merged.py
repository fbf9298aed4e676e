"""Several seeds as one comparison: known answers by hand."""

import numpy as np
import pytest

from delrec_kit.evaluation import compare, merged_differences, write_comparison
from delrec_kit.evaluation.statistics import holm
from delrec_kit.run.directory import RunDirectory
from delrec_kit.settings.config import resolve
from delrec_kit.settings.errors import KitError


def made(folder, seed, delrec, teacher, *overrides, users=None):
    run = RunDirectory.create(folder, resolve("smoke", ["data.dataset=ml-100k", *overrides], seed=seed))
    ranks = {"delrec": np.array(delrec, dtype=float), "teacher": np.array(teacher, dtype=float)}
    users = users or [f"u{n}" for n in range(len(delrec))]
    write_comparison(
        run.folder("evaluation"), compare(ranks, protocol="candidates", m=15, seed=seed, resamples=50), ranks, users
    )
    return run.path


def test_a_user_counts_once_over_all_seeds(tmp_path):
    runs = [
        made(tmp_path / "a", 0, [1, 1, 3, 4], [2, 1, 1, 4]),
        made(tmp_path / "b", 1, [1, 2, 1, 4], [2, 1, 2, 4], users=["u0", "u1", "u3", "u4"]),
    ]
    row = merged_differences(runs, ["HR@1"]).iloc[0]
    assert (row["a"], row["b"], row["metric"], row["runs"], row["users"]) == ("delrec", "teacher", "HR@1", 2, 5)
    # HR@1 of delrec − teacher by user: u0 (1, 1), u1 (0, -1), u2 (-1), u3 (0, 1), u4 (0)
    each = np.array([1, -0.5, -1, 0.5, 0])
    assert row["value"] == pytest.approx(each.mean()) and row["effect"] == pytest.approx(each.mean() / each.std(ddof=1))
    assert (row["win"], row["tie"], row["loss"]) == (2, 1, 2)
    assert row["low"] <= row["value"] <= row["high"]
    # the runs' own means are 0 and 1/4
    assert row["sd"] == pytest.approx(0.25 / 2**0.5) and row["agree"] == 1


def test_seeds_of_the_made_world_are_other_people(tmp_path):
    ranks = ([1, 1, 3], [2, 1, 1])
    runs = [made(tmp_path / str(seed), seed, *ranks, "data.dataset=demo") for seed in (0, 1)]
    row = merged_differences(runs, ["HR@1"]).iloc[0]
    assert row["users"] == 6 and (row["win"], row["tie"], row["loss"]) == (2, 2, 2)


def test_two_who_both_miss_tie(tmp_path):
    row = merged_differences([made(tmp_path / "a", 0, [np.inf, np.inf, 2], [np.inf, 3, 2])], ["HR@1"]).iloc[0]
    assert (row["win"], row["tie"], row["loss"]) == (0, 2, 1)


def test_a_sure_gain_is_found_and_none_is_not(tmp_path):
    rng = np.random.default_rng(0)
    base = rng.integers(1, 15, 300)
    better = np.maximum(base - rng.integers(0, 4, 300), 1)
    sure = merged_differences([made(tmp_path / "a", 0, better, base)])
    assert (sure["low"] > 0).all() and (sure["p"] < 0.01).all() and (sure["loss"] == 0).all()
    none = merged_differences([made(tmp_path / "b", 0, rng.permutation(base), base)])
    assert (none["low"] < 0).all() and (none["high"] > 0).all() and (none["p"] > 0.05).all()


def test_other_settings_are_another_group(tmp_path):
    runs = [made(tmp_path / "a", 0, [1, 2], [2, 1]), made(tmp_path / "b", 0, [1, 1], [2, 2], "distill.k=7")]
    table = merged_differences(runs, ["HR@1"]).set_index("settings")
    assert table["value"].to_dict() == {"distill.k=4": 0.0, "distill.k=7": 1.0}


def test_runs_without_a_pair_are_said(tmp_path):
    run = RunDirectory.create(tmp_path / "r", resolve("smoke"))
    ranks = {"delrec": np.array([1.0, 2])}
    comparison = compare(ranks, protocol="candidates", m=15, seed=0, resamples=10)
    write_comparison(run.folder("evaluation"), comparison, ranks, ["a", "b"])
    with pytest.raises(KitError, match="no two methods"):
        merged_differences([run.path])


def test_holm_is_stepwise_and_never_above_one():
    assert holm(np.array([0.01, 0.04, 0.03, 0.9])).tolist() == pytest.approx([0.04, 0.09, 0.09, 0.9])
    assert holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]
