import json
import time

import numpy as np
import pandas as pd
import pytest

from delrec_kit.evaluation import (
    METRICS,
    compare,
    comparison_table,
    difference_table,
    load_comparison,
    per_user,
    plot_comparison,
    plot_differences,
    write_comparison,
)
from delrec_kit.settings.errors import KitError

METHODS = ["popularity", "markov", "teacher", "llm_zero_shot", "llm_finetuned", "delrec", "oracle"]


def made_ranks(users: int = 60) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.integers(1, 16 - place, users).astype(float) for place, name in enumerate(METHODS)}


@pytest.fixture(scope="module")
def comparison():
    return compare(made_ranks(), protocol="candidates", m=15, seed=3, resamples=200)


def test_the_schema_is_the_one_promised(comparison):
    assert list(comparison) == ["protocol", "m", "seed", "users", "methods", "differences"]
    assert (comparison["protocol"], comparison["m"], comparison["seed"], comparison["users"]) == (
        "candidates",
        15,
        3,
        60,
    )
    assert list(comparison["methods"]) == METHODS
    for cells in comparison["methods"].values():
        assert list(cells) == METRICS
        assert all(set(cell) == {"value", "low", "high"} for cell in cells.values())
    assert all(set(d) == {"a", "b", "metric", "value", "low", "high", "p"} for d in comparison["differences"])
    assert len(comparison["differences"]) == 6 * len(METRICS)
    json.dumps(comparison, allow_nan=False)


def test_values_are_the_means_and_intervals_hold_them(comparison):
    for method, ranks in made_ranks().items():
        for metric, values in per_user(ranks).items():
            cell = comparison["methods"][method][metric]
            assert cell["value"] == pytest.approx(values.mean())
            assert cell["low"] <= cell["value"] <= cell["high"]
    assert comparison["methods"]["oracle"]["MRR"]["low"] < comparison["methods"]["oracle"]["MRR"]["high"]


def test_differences_are_paired():
    ranks = made_ranks(80)
    ranks["llm_finetuned"] = ranks["delrec"] + 1  # worse for every single user, by little in the mean
    found = compare(ranks, protocol="candidates", m=15, seed=0, resamples=500)["differences"]
    mrr = next(d for d in found if (d["a"], d["b"], d["metric"]) == ("delrec", "llm_finetuned", "MRR"))
    paired = per_user(ranks["delrec"])["MRR"] - per_user(ranks["llm_finetuned"])["MRR"]
    assert mrr["value"] == pytest.approx(paired.mean())
    assert mrr["low"] > 0 and mrr["p"] < 0.01


def test_only_present_pairs_are_compared_and_the_oracle_is_optional():
    ranks = made_ranks()
    few = compare({k: ranks[k] for k in ("teacher", "delrec")}, protocol="full", m=99, seed=0, resamples=50)
    assert {(d["a"], d["b"]) for d in few["differences"]} == {("delrec", "teacher")}
    alone = compare({"teacher": ranks["teacher"]}, protocol="full", m=99, seed=0, resamples=50)
    assert alone["differences"] == []
    assert difference_table(alone).empty and len(plot_differences(alone)[1]) == 0


def test_users_in_another_order_give_the_same_means():
    ranks, order = made_ranks(), np.random.default_rng(1).permutation(60)
    one = compare(ranks, protocol="candidates", m=15, seed=0, resamples=50)
    two = compare({k: r[order] for k, r in ranks.items()}, protocol="candidates", m=15, seed=0, resamples=50)
    for method in METHODS:
        assert one["methods"][method]["NDCG@5"]["value"] == pytest.approx(two["methods"][method]["NDCG@5"]["value"])


def test_a_thousand_users_and_seven_methods_take_seconds():
    started = time.monotonic()
    compare(made_ranks(1000), protocol="candidates", m=15, seed=0, resamples=2000)
    assert time.monotonic() - started < 10


def test_files_go_round(tmp_path, comparison):
    ranks, users = made_ranks(), [f"u{i}" for i in range(60)]
    write_comparison(tmp_path / "evaluation", comparison, ranks, users)
    assert load_comparison(tmp_path / "evaluation") == comparison
    table = pd.read_parquet(tmp_path / "evaluation" / "per_user.parquet")
    assert table["user"].tolist() == users and list(table.columns[1:]) == METHODS
    assert np.array_equal(table["delrec"], ranks["delrec"])


def test_wrong_input_is_one_clear_line(tmp_path):
    with pytest.raises(KitError, match="same users"):
        compare({"a": np.ones(3), "b": np.ones(4)}, protocol="full", m=9, seed=0, resamples=9)
    with pytest.raises(KitError, match="at least two"):
        compare({"a": np.ones(1)}, protocol="full", m=9, seed=0, resamples=9)
    with pytest.raises(KitError, match="nothing"):
        compare({}, protocol="full", m=9, seed=0, resamples=9)
    with pytest.raises(KitError, match="notebook 05"):
        load_comparison(tmp_path)
    (tmp_path / "comparison.json").write_text('{"protocol": ')
    with pytest.raises(KitError, match="no JSON"):
        load_comparison(tmp_path)
    (tmp_path / "comparison.json").write_text("[]")
    with pytest.raises(KitError, match="no comparison"):
        load_comparison(tmp_path)


def test_tables_hold_the_numbers(comparison):
    text, numbers = comparison_table(comparison), comparison_table(comparison, numeric=True)
    assert list(text.index) == METHODS and list(text.columns) == METRICS
    cell = comparison["methods"]["delrec"]["HR@5"]
    assert text.loc["delrec", "HR@5"] == f"{cell['value']:.3f} [{cell['low']:.3f}, {cell['high']:.3f}]"
    assert numbers.loc["delrec", ("HR@5", "low")] == cell["low"]


def test_p_values_are_adjusted_by_holms_method():
    cell = {"a": "delrec", "b": "teacher", "value": 0.1, "low": 0.0, "high": 0.2}
    found = [{**cell, "metric": metric, "p": p} for metric, p in zip(METRICS, [0.001, 0.04, 0.03, 0.5])]
    table = difference_table({"differences": found}, METRICS)
    assert np.allclose(table["p_adjusted"], [0.004, 0.09, 0.09, 0.5])
    assert table["sure"].tolist() == [True, False, False, False]
    assert len(difference_table({"differences": found}, ["HR@1"])) == 1


def test_the_plot_shows_every_number_with_a_marker_of_its_own(comparison):
    figure, table = plot_comparison(comparison, ["HR@1", "NDCG@10"])
    assert len(table) == 14 and np.isfinite(table[["value", "low", "high"]]).all().all()
    drawn = [
        line.get_xdata()[0] for axis in figure.axes for line in axis.lines if line.get_marker() not in ("|", "None")
    ]
    assert np.allclose(sorted(drawn), sorted(table["value"]))
    assert len({line.get_marker() for line in figure.axes[0].lines} - {"|", "None"}) == 7
    assert "oracle" not in figure.get_suptitle()
