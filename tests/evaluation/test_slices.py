import numpy as np
import pytest

from delrec_kit.evaluation import slice_table


def test_each_group_has_its_own_mean():
    history = np.array([1, 1, 5, 5, 9, 9])
    popularity = np.array([0, 0, 3, 3, 8, 8])
    ranks = {"a": np.array([1.0, 2, 1, 1, 3, 3]), "b": np.ones(6)}
    table = slice_table(ranks, history, popularity, np.array([1, 1, 1, 1, 1, 0], bool), seed=0, resamples=50)
    of_a = table[table["method"] == "a"].set_index(["slice", "group"])["value"]
    assert of_a["history length"].to_dict() == {"1": 0.5, "5": 1.0, "9": 0.0}
    assert of_a["training interactions of the answer"].to_dict() == {"0": 0.5, "3": 1.0, "8": 0.0}
    assert of_a["user"].to_dict() == {"trains": pytest.approx(0.6), "cold": 0.0}
    assert (table[table["method"] == "b"]["value"] == 1).all()
    cold = table[(table["group"] == "cold") & (table["method"] == "a")].iloc[0]
    assert cold["users"] == 1 and np.isnan(cold["low"]), "one user has no interval"


def test_users_are_split_into_thirds_without_loss():
    rng = np.random.default_rng(0)
    ranks = {"a": rng.integers(1, 15, 999).astype(float)}
    table = slice_table(
        ranks, rng.integers(1, 300, 999), rng.integers(0, 50, 999), np.ones(999, bool), seed=0, resamples=50
    )
    by_slice = table.groupby("slice")["users"]
    assert (by_slice.sum() == 999).all()
    assert by_slice.get_group("history length").between(310, 356).all()
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
