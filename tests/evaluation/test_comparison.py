import json
import re

import numpy as np
import pandas as pd
import pytest

from delrec_kit.evaluation import (
    METRICS,
    compare,
    comparison_table,
    difference_table,
    load_comparison,
    main_first,
    per_user,
    shown,
    surest_first,
    write_comparison,
)
from delrec_kit.settings.errors import KitError

METHODS = ["popularity", "markov", "teacher", "llm_zero_shot", "llm_finetuned", "delrec", "oracle"]
OF = {"protocol": "candidates", "m": 15, "seed": 3}


def made_ranks(users: int = 60) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.integers(1, 16 - place, users).astype(float) for place, name in enumerate(METHODS)}


@pytest.fixture(scope="module")
def comparison():
    return compare(made_ranks(), **OF)


def test_the_schema_is_the_one_promised(comparison):
    assert list(comparison) == ["protocol", "m", "seed", "users", "methods", "differences"]
    assert {key: comparison[key] for key in OF} == OF and comparison["users"] == 60
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
    found = compare(ranks, **OF)["differences"]
    mrr = next(d for d in found if (d["a"], d["b"], d["metric"]) == ("delrec", "llm_finetuned", "MRR"))
    paired = per_user(ranks["delrec"])["MRR"] - per_user(ranks["llm_finetuned"])["MRR"]
    assert mrr["value"] == pytest.approx(paired.mean())
    assert mrr["low"] > 0 and mrr["p"] < 0.01


def test_only_present_pairs_are_compared_and_the_oracle_is_optional():
    ranks = made_ranks()
    few = compare({k: ranks[k] for k in ("teacher", "delrec")}, **OF)
    assert {(d["a"], d["b"]) for d in few["differences"]} == {("delrec", "teacher")}
    alone = compare({"teacher": ranks["teacher"]}, **OF)
    assert alone["differences"] == [] and difference_table(alone).empty


def test_users_in_another_order_give_the_same_means(comparison):
    order = np.random.default_rng(1).permutation(60)
    other = compare({k: r[order] for k, r in made_ranks().items()}, **OF)
    for method, cells in comparison["methods"].items():
        assert cells["NDCG@5"]["value"] == pytest.approx(other["methods"][method]["NDCG@5"]["value"])


def test_files_go_round(tmp_path, comparison):
    ranks, users = made_ranks(), [f"u{i}" for i in range(60)]
    write_comparison(tmp_path / "evaluation", comparison, ranks, users)
    assert load_comparison(tmp_path / "evaluation") == comparison
    table = pd.read_parquet(tmp_path / "evaluation" / "per_user.parquet")
    assert table["user"].tolist() == users and list(table.columns[1:]) == METHODS
    assert np.array_equal(table["delrec"], ranks["delrec"])


def test_wrong_input_is_one_clear_line(tmp_path):
    for ranks, says in (
        ({"a": np.ones(3), "b": np.ones(4)}, "same users"),
        ({"a": np.ones(1)}, "at least two"),
        ({}, "nothing"),
    ):
        with pytest.raises(KitError, match=says):
            compare(ranks, **OF)
    for text, says in ((None, "notebook 05"), ('{"protocol": ', "no JSON"), ("[]", "no comparison")):
        if text is not None:
            (tmp_path / "comparison.json").write_text(text)
        with pytest.raises(KitError, match=says):
            load_comparison(tmp_path)


def test_the_table_holds_the_numbers(comparison):
    table, cell = comparison_table(comparison), comparison["methods"]["delrec"]["HR@5"]
    assert list(table.index) == METHODS and list(table.columns) == METRICS
    assert table.loc["delrec", "HR@5"] == f"{cell['value']:.3f} [{cell['low']:.3f}, {cell['high']:.3f}]"


def test_p_values_are_corrected_over_what_the_table_shows():
    cell = {"a": "delrec", "b": "teacher", "value": 0.1, "low": 0.0, "high": 0.2}
    found = [{**cell, "metric": metric, "p": p} for metric, p in zip(METRICS, [0.001, 0.04, 0.03, 0.5])]
    table = difference_table({"differences": found}, METRICS)
    assert np.allclose(table["p_holm"], [0.004, 0.09, 0.09, 0.5])
    assert table["sure"].tolist() == [True, False, False, False]
    assert len(difference_table({"differences": found}, ["HR@1"])) == 1


def test_a_table_on_the_screen_is_short_names_rows_as_figures_do_and_says_what_is_sure():
    rows = [("delrec", f"m{n}", "HR@1", n / 100, n == 2) for n in range(12)]
    table = pd.DataFrame(rows, columns=["a", "b", "metric", "value", "sure"])
    html = shown(surest_first(table), "comparison.json").to_html()
    assert html.count("<tr>") == 11 and "10 of 12 rows; all in comparison.json" in html and "llm_" not in html
    bold = re.findall(r"#([\w, #]+) \{\s+font-weight: bold", html)
    assert bold and all("row0_" in each for each in re.split(", ", bold[0])), "the sure row comes first, and is bold"
    named = pd.DataFrame({"HR@1": ["0.5"]}, index=pd.Index(["llm_zero_shot"], name="method"))
    assert "LLM, zero-shot" in shown(named).to_html() and "caption" not in shown(named).to_html()


def test_what_every_claim_is_measured_by_is_shown_before_better_rows():
    names = [*(f"other {n}" for n in range(8)), "teacher", "delrec", "popularity"]
    table = pd.DataFrame({"a": np.linspace(0.9, 0.1, 11), "b": 0.0}, index=pd.Index(names, name="method"))
    first = list(main_first(table).index)
    assert first == [*names[:7], "teacher", "delrec", "popularity", "other 7"]
    text = table[["a"]].map("{:.3f} [0, 1]".format)
    assert list(main_first(text, 4).index)[:4] == ["other 0", "teacher", "delrec", "popularity"]
    by_settings = pd.concat({"k=3": text}, names=["settings"])
    assert list(main_first(by_settings, 4).index)[1:4] == [
        ("k=3", name) for name in ("teacher", "delrec", "popularity")
    ]
