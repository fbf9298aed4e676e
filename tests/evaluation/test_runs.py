"""Many runs as tables: known answers by hand, from ranks that are written as a run writes them."""

import json

import numpy as np
import pandas as pd
import pytest

from delrec_kit.evaluation import difference_table, load_comparison, results_text, write_report
from delrec_kit.evaluation.grouping import finished_runs, group_labels, protocols_of, varied_setting
from delrec_kit.evaluation.runs import (
    costs_table,
    curve_table,
    differences_table,
    protocols_table,
    results_table,
    settings_differences,
    slices_table,
    spread_of_draws,
    times_table,
)
from delrec_kit.run.directory import RunDirectory, write_json
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve

JUDGED = ["value", "low", "high", "p", "p_holm", "sure"]


@pytest.fixture
def runs(made, tmp_path):
    """Two seeds at two budgets, two draws of the distractors each."""
    delrecs = [[1, 1], [1, 2], [5, 1]], [[1, 1]] * 3, [[1, 1]] * 3, [[2, 2]] * 3
    for (budget, seed), delrec in zip([(60, 0), (60, 1), (120, 0), (120, 1)], delrecs):
        name, teacher = f"seed={seed}_examples={budget}", [[1, 3], [2, 2], [9, 9]]
        made(name, seed, {"delrec": delrec, "teacher": teacher}, f"finetune.examples={budget}")
        made(name, seed, {"teacher": [3, 1, 1]}, f"finetune.examples={budget}", protocol="rerank")
    return finished_runs(tmp_path)


def test_a_user_is_averaged_over_draws_and_seeds(runs):
    table = results_table(runs, metrics=["HR@1"]).set_index(["settings", "method"])
    few = table.loc[("finetune.examples=60", "delrec")]
    assert few["value"] == pytest.approx(np.mean([(1 + 1) / 2, (0.5 + 1) / 2, (0.5 + 1) / 2])) and few["runs"] == 2
    assert few["sd"] == pytest.approx(np.std([4 / 6, 1.0], ddof=1))
    assert few["low"] <= few["value"] <= few["high"]
    assert protocols_of(runs) == ["candidates", "rerank"]
    rerank = results_table(runs, "rerank", ["HR@1"])
    assert rerank["value"].tolist() == pytest.approx([2 / 3, 2 / 3]) and set(rerank["method"]) == {"teacher"}


def test_a_curve_runs_along_the_setting_that_varies(runs):
    assert varied_setting(runs) == "finetune.examples" and varied_setting(runs[:1]) is None
    curve = curve_table(runs, "finetune.examples")
    own = curve[curve["method"] == "delrec"].set_index("at")["value"]
    assert own.index.tolist() == [60, 120] and own.tolist() == pytest.approx([5 / 6, 0.5])
    assert (curve["settings"] == "").all()
    with pytest.raises(KitError, match=r"no setting finetune\.exampels"):
        curve_table(runs, "finetune.exampels")


def test_a_curve_begins_at_the_frozen_model_and_keeps_other_settings_apart(made, tmp_path):
    for k, budget, frozen, delrec in [(3, 60, 2, 1), (3, 90, 1, 1), (5, 60, 3, 2)]:
        ranks = {"llm_distilled_prompt": [1, 1, frozen], "delrec": [1, delrec, delrec], "teacher": [1, 1, 2]}
        made(f"{k}-{budget}", 0, ranks, f"distill.k={k}", f"finetune.examples={budget}")
    curve = curve_table(finished_runs(tmp_path), "finetune.examples")
    own = curve[curve["method"] == "delrec"].set_index(["settings", "at"])["value"]
    assert own[("distill.k=3", 0)] == pytest.approx(2 / 3) and own[("distill.k=3", 90)] == 1
    assert own[("distill.k=5", 0)] == pytest.approx(2 / 3) and own[("distill.k=5", 60)] == pytest.approx(1 / 3)


def test_one_run_and_many_are_judged_alike(made):
    """The same pairs, intervals, p and meaning of sure, whether a run stands alone or in a report."""
    rng = np.random.default_rng(0)
    base = rng.integers(1, 15, 300)
    better = np.maximum(base - rng.integers(0, 4, 300), 1)
    run = made("a", 5, {"delrec": better, "teacher": base, "markov": rng.permutation(base)})
    many, one = differences_table([run]), difference_table(load_comparison(run / "evaluation"))
    assert many[["a", "b", "metric"]].equals(one[["a", "b", "metric"]])
    assert np.allclose(many[JUDGED].astype(float), one[JUDGED].astype(float), rtol=0, atol=1e-12)
    sure = many[many["b"] == "teacher"]
    assert (
        sure["sure"].all() and (sure["low"] > 0).all() and (sure["p_holm"] < 0.01).all() and (sure["loss"] == 0).all()
    )
    none = differences_table([made("b", 0, {"delrec": rng.permutation(base), "teacher": base})])
    assert (none["low"] < 0).all() and (none["high"] > 0).all() and not none["sure"].any()


def test_a_user_counts_once_over_all_seeds(made):
    runs = [
        made("a", 0, {"delrec": [1, 1, 3, 4], "teacher": [2, 1, 1, 4]}),
        made("b", 1, {"delrec": [1, 2, 1, 4], "teacher": [2, 1, 2, 4]}, users=["u0", "u1", "u3", "u4"]),
    ]
    row = differences_table(runs, ["HR@1"]).iloc[0]
    assert (row["a"], row["b"], row["metric"], row["runs"], row["users"]) == ("delrec", "teacher", "HR@1", 2, 5)
    # HR@1 of delrec − teacher by user: u0 (1, 1), u1 (0, -1), u2 (-1), u3 (0, 1), u4 (0)
    each = np.array([1, -0.5, -1, 0.5, 0])
    assert row["value"] == pytest.approx(each.mean()) and row["effect"] == pytest.approx(each.mean() / each.std(ddof=1))
    assert (row["win"], row["tie"], row["loss"]) == (2, 1, 2)
    assert row["low"] <= row["value"] <= row["high"]
    # the runs' own means are 0 and 1/4
    assert row["sd"] == pytest.approx(0.25 / 2**0.5) and row["agree"] == 1


def test_seeds_of_the_made_world_are_other_people_and_two_who_both_miss_tie(made):
    ranks = {"delrec": [1, 1, 3], "teacher": [2, 1, 1]}
    runs = [made(str(seed), seed, ranks, "data.dataset=demo") for seed in (0, 1)]
    row = differences_table(runs, ["HR@1"]).iloc[0]
    assert row["users"] == 6 and (row["win"], row["tie"], row["loss"]) == (2, 2, 2)
    missed = made("a", 0, {"delrec": [np.inf, np.inf, 2], "teacher": [np.inf, 3, 2]})
    assert differences_table([missed], ["HR@1"]).iloc[0][["win", "tie", "loss"]].tolist() == [0, 2, 1]


def test_what_a_setting_does_is_paired_by_person(made, tmp_path):
    for seed in (0, 1):
        made(f"a{seed}", seed, {"delrec": [1, 2, 2], "teacher": [1, 1, 1]}, "distill.k=3")
        made(f"b{seed}", seed, {"delrec": [1, 1, 2 - seed], "teacher": [1, 1, 1]}, "distill.k=5")
    table = settings_differences(finished_runs(tmp_path)).set_index("method")
    assert table.loc["delrec", ["settings", "against"]].tolist() == ["distill.k=5", "distill.k=3"]
    assert table.loc["delrec", "value"] == pytest.approx(np.mean([0, 1, 0.5])) and table.loc["teacher", "value"] == 0
    assert table.loc["delrec", "low"] <= 0.5 <= table.loc["delrec", "high"] and table.loc["delrec", "users"] == 3
    assert table.loc["delrec", "p"] == 4 / 8 and table.loc["delrec", "p_holm"] == 1 and not table["sure"].any()
    assert settings_differences(finished_runs(tmp_path)[:1]).empty


def test_a_comparison_of_other_settings_is_left_out(runs, capsys):
    other = resolve("smoke", ["data.dataset=ml-100k", "distill.k=9"])
    write_json(runs[0] / "config.json", other.model_dump(mode="json"))  # edited by hand
    assert finished_runs(runs[0].parent) == runs[1:]
    assert f"left out: {runs[0].name}: stage 01" in capsys.readouterr().out


def test_the_spread_of_the_draws(runs):
    assert spread_of_draws(runs).empty
    rows = [("delrec", 0, "HR@1", 0.5), ("delrec", 1, "HR@1", 0.7), ("delrec", 0, "NDCG@5", 0.1)]
    table = pd.DataFrame(rows, columns=["method", "draw", "metric", "value"])
    table.to_csv(runs[0] / "evaluation" / "draws.csv", index=False)
    few = "finetune.examples=120"
    assert spread_of_draws(runs).iloc[0].tolist() == [few, "delrec", *map(pytest.approx, (0.6, 0.5, 0.7))]
    other = table.assign(value=[0.85, 0.75, 0.0])  # another seed: how far it lies from the first is no luck of a draw
    other.to_csv(runs[2] / "evaluation" / "draws.csv", index=False)
    assert spread_of_draws(runs).iloc[0].tolist() == [few, "delrec", *map(pytest.approx, (0.7, 0.6, 0.8))]


def test_differences_and_values_under_every_protocol(runs, made):
    assert differences_table(runs)["protocol"].unique().tolist() == ["candidates"], "one row there, so no pair"
    for run in runs:
        budget = f"finetune.examples={120 if '120' in run.name else 60}"
        made(run.name, int(run.name[5]), {"delrec": [1, 1, 1], "teacher": [2, 2, 1]}, budget, protocol="rerank")
    table = differences_table(runs).set_index(["protocol", "settings", "metric"])
    assert table.loc[("rerank", "finetune.examples=60", "HR@1"), "value"] == pytest.approx(2 / 3)
    wide = protocols_table(runs)
    assert wide.loc[("finetune.examples=120", "delrec")].tolist() == pytest.approx([0.5, 1.0])
    assert wide.loc[("finetune.examples=60", "teacher"), "rerank"] == pytest.approx(1 / 3)


def test_what_runs_cost_and_for_whom(runs):
    assert costs_table(runs).empty and times_table(runs)["total"].tolist() == [2.0] * 4
    for seconds, run in enumerate(runs):
        row = {"method": ["delrec"], "trainable": [7], "seconds": [seconds], "peak_mib": [100 - seconds]}
        pd.DataFrame(row).to_csv(run / "evaluation" / "costs.csv", index=False)
        (run / "data").mkdir()
        (run / "data" / "done.json").write_text('{"seconds": 2.5}')
        row = {"slice": ["s"], "group": ["1–2"], "method": ["delrec"], "value": [seconds], "users": [5]}
        pd.DataFrame(row).to_csv(run / "evaluation" / "slices.csv", index=False)
    assert costs_table(runs).iloc[0].tolist() == ["delrec", 7, 1.5, 100, 4]
    assert times_table(runs).loc[runs[0].name, ["data", "total"]].tolist() == [2.5, 4.5]
    assert slices_table(runs, "s").set_index("settings")["value"].to_dict() == {
        "finetune.examples=120": 1.0, "finetune.examples=60": 2.0,
    }  # fmt: skip


def test_mean_and_deviation_over_seeds(made):
    runs = [made(str(s), s, {"teacher": ranks}) for s, ranks in enumerate([[1, 9], [1, 1], [9, 9]])]
    row = results_table(runs).set_index(["method", "metric"]).loc[("teacher", "HR@1")]
    assert (row["value"], row["sd"], row["runs"]) == (0.5, 0.5, 3)
    text = results_text(results_table(runs))
    assert text.loc[0, "HR@1"] == "0.500 ± 0.500" and "settings" not in text


def test_runs_with_other_settings_stand_apart_and_say_why(made):
    runs = [made("a", 0, {"teacher": [1, 1]}), made("b", 1, {"teacher": [1, 9]})]
    table = results_table([*runs, made("c", 0, {"teacher": [9, 9]}, "teacher.name=caser")])
    hits = table[table["metric"] == "HR@1"].set_index("settings")["value"].to_dict()
    assert hits == {"teacher.name=sasrec": 0.75, "teacher.name=caser": 0.0}
    assert results_text(table)["HR@1"].tolist() == ["0.750 ± 0.354", "0.000"]


def test_one_change_at_a_time_is_named_by_the_change(made):
    changes = [[], ["distill.k=3"], ["distill.k=7"], ["teacher.name=caser"], ["data.positive=4"]]
    runs = [made(f"{n}{seed}", seed, {"teacher": [1, 1]}, *c) for n, c in enumerate(changes) for seed in (0, 1)]
    labels = results_table(runs)["settings"].unique().tolist()
    assert labels == ["nothing changed", "distill.k=3", "distill.k=7", "teacher.name=caser", "data.positive=4.0"]


def test_long_values_are_cut_in_labels_while_they_stay_apart(made):
    long = ["m" * 99 + end for end in ("a", "b")]
    apart = [made(f"a{n}", 0, {"teacher": [1, 1]}, f"llm.name={name}") for n, name in enumerate(("x" * 99, long[0]))]
    labels = results_table(apart)["settings"].unique()
    assert len(labels) == 2 and max(map(len, labels)) < 90
    alike = [made(f"b{n}", 0, {"teacher": [1, 1]}, f"llm.name={name}") for n, name in enumerate(long)]
    assert len(results_table(alike)["settings"].unique()) == 2


def test_lists_in_labels_are_short(made):
    every = ["delrec", "llm_finetuned", "llm_distilled_weights"]
    lists = [f"finetune.methods={json.dumps(rows)}" for rows in (every, [*every, "delrec_faded"])]
    tasks = ['distill.tasks=["ta","rps"]', 'distill.tasks=["rps"]']
    told = [made(f"a{n}", 0, {"teacher": [1, 1]}, *of) for n, of in enumerate(zip(tasks, lists))]
    assert group_labels(told) == ["distill.tasks=ta+rps", "distill.tasks=rps"], "which rows there are makes none"
    rows = [made(f"b{n}", 0, {"teacher": [1, 1]}, of) for n, of in enumerate(lists)]
    assert group_labels(rows) == ["finetune.methods=…", "finetune.methods=…+delrec_faded"]


def test_reports_are_csv_and_markdown(made, tmp_path):
    table = results_table([made("a", 0, {"teacher": [1, 9]})])
    differences = pd.DataFrame({"a": ["delrec", "x|y"], "b": ["teacher", None], "value": [0.12345, np.nan]})
    write_report(table, tmp_path / "r.csv", tmp_path / "r.md", differences=differences)
    assert pd.read_csv(tmp_path / "r_differences.csv")["value"][0] == 0.12345
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "r.csv", keep_default_na=False)[["value"]], table[["value"]])
    cells = [[cell.strip() for cell in line.split(" |")] for line in (tmp_path / "r.md").read_text().splitlines()]
    assert cells[0][:3] == ["| method", "runs", "HR@1"] and cells[2][:3] == ["| teacher", "1", "0.500"]
    assert cells[3] == [""] and cells[4:5] + cells[6:] == [
        ["| a", "b", "value", ""], ["| delrec", "teacher", "0.123", ""], ["| x\\|y", "", "", ""],
    ]  # fmt: skip


def test_mistakes_are_one_clear_line(made, tmp_path):
    with pytest.raises(KitError, match=r"no finished run .* sweep"):
        finished_runs(tmp_path)
    with pytest.raises(KitError, match="at least one"):
        results_table([])
    with pytest.raises(KitError, match="no run in"):
        results_table([tmp_path / "none"])
    with pytest.raises(KitError, match="notebook 05"):
        results_table([RunDirectory.create(tmp_path / "empty", resolve("smoke")).path])
    with pytest.raises(KitError, match="seed 0"):
        results_table([made("a", 0, {"teacher": [1, 1]}), made("b", 0, {"teacher": [1, 1]})])
    assert differences_table([made("c", 0, {"teacher": [1, 1]})]).empty
