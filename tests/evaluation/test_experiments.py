"""A sweep's runs as tables: known answers by hand, from ranks that are written as a run writes them."""

import numpy as np
import pandas as pd
import pytest

from delrec_kit.evaluation import (
    compare,
    costs_table,
    curve_table,
    differences_table,
    finished_runs,
    merged_differences,
    plot_curve,
    plot_merged_differences,
    plot_results,
    protocols_of,
    protocols_table,
    results_table,
    settings_differences,
    spread_of_draws,
    times_table,
    varied_setting,
    write_comparison,
)
from delrec_kit.run.directory import RunDirectory, write_json
from delrec_kit.settings.config import resolve
from delrec_kit.settings.errors import KitError

USERS = ["a", "b", "c"]


def made(folder, seed, ranks, *overrides, protocol=""):
    run = RunDirectory.create(folder, resolve("smoke", ["data.dataset=ml-100k", *overrides], seed=seed))
    ranks = {method: np.array(rows, dtype=float) for method, rows in ranks.items()}
    comparison = compare(ranks, protocol=protocol or "candidates", m=15, seed=seed, resamples=50)
    write_comparison(run.folder("evaluation") / protocol, comparison, ranks, USERS)
    write_json(run.folder("evaluation") / "done.json", {"fingerprint": run.fingerprint("evaluation"), "seconds": 2.0})
    return run.path


@pytest.fixture
def runs(tmp_path):
    """Two seeds at two budgets, two draws of the distractors each."""
    for seed, budget, delrec in [
        (0, 60, [[1, 1], [1, 2], [5, 1]]), (1, 60, [[1, 1], [1, 1], [1, 1]]),
        (0, 120, [[1, 1]] * 3), (1, 120, [[2, 2]] * 3),
    ]:  # fmt: skip
        teacher = [[1, 3], [2, 2], [9, 9]]
        folder = tmp_path / f"seed={seed}_examples={budget}"
        made(folder, seed, {"delrec": delrec, "teacher": teacher}, f"finetune.examples={budget}")
        made(folder, seed, {"teacher": [3, 1, 1]}, f"finetune.examples={budget}", protocol="rerank")
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
    figure, numbers = plot_curve(curve, "finetune.examples")
    assert set(numbers["method"]) == {"delrec", "teacher"} and "DELRec, HR@1 0.500" in figure.get_suptitle()


def test_a_curve_begins_at_the_frozen_model_and_keeps_other_settings_apart(tmp_path):
    for k, budget, frozen, delrec in [(3, 60, 2, 1), (3, 90, 1, 1), (5, 60, 3, 2)]:
        ranks = {"llm_distilled_prompt": [1, 1, frozen], "delrec": [1, delrec, delrec], "teacher": [1, 1, 2]}
        made(tmp_path / f"{k}-{budget}", 0, ranks, f"distill.k={k}", f"finetune.examples={budget}")
    curve = curve_table(finished_runs(tmp_path), "finetune.examples")
    own = curve[curve["method"] == "delrec"].set_index(["settings", "at"])["value"]
    assert own[("distill.k=3", 0)] == pytest.approx(2 / 3) and own[("distill.k=3", 90)] == 1
    assert own[("distill.k=5", 0)] == pytest.approx(2 / 3) and own[("distill.k=5", 60)] == pytest.approx(1 / 3)
    figure, _ = plot_curve(curve, "finetune.examples")
    assert [axis.get_title("left") or axis.get_title() for axis in figure.axes] == ["distill.k=3", "distill.k=5"]


def test_what_a_setting_does_is_paired_by_person(tmp_path):
    for seed in (0, 1):
        made(tmp_path / f"a{seed}", seed, {"delrec": [1, 2, 2], "teacher": [1, 1, 1]}, "distill.k=3")
        made(tmp_path / f"b{seed}", seed, {"delrec": [1, 1, 2 - seed], "teacher": [1, 1, 1]}, "distill.k=5")
    table = settings_differences(finished_runs(tmp_path)).set_index("method")
    assert table.loc["delrec", ["settings", "against"]].tolist() == ["distill.k=5", "distill.k=3"]
    assert table.loc["delrec", "value"] == pytest.approx(np.mean([0, 1, 0.5])) and table.loc["teacher", "value"] == 0
    assert table.loc["delrec", "low"] <= 0.5 <= table.loc["delrec", "high"] and table.loc["delrec", "users"] == 3
    assert settings_differences(finished_runs(tmp_path)[:1]).empty


def test_a_comparison_of_other_settings_is_left_out(runs, capsys):
    RunDirectory.create(runs[0], resolve("smoke", ["data.dataset=ml-100k", "distill.k=9"]))
    assert finished_runs(runs[0].parent) == runs[1:]
    assert f"other settings than they have now: {runs[0].name}" in capsys.readouterr().out


def test_pictures_are_of_every_group(runs):
    _, numbers = plot_results(results_table(runs))
    assert set(numbers["settings"]) == {"finetune.examples=60", "finetune.examples=120"}
    figure, numbers = plot_merged_differences(merged_differences(runs))
    assert len(numbers) == 2 and len(figure.axes) == 2


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


def test_differences_and_values_under_every_protocol(runs):
    assert differences_table(runs)["protocol"].unique().tolist() == ["candidates"], "one row there, so no pair"
    for run in runs:
        made(run, 0, {"delrec": [1, 1, 1], "teacher": [2, 2, 1]}, *budget(run), protocol="rerank")
    table = differences_table(runs).set_index(["protocol", "settings", "metric"])
    assert table.loc[("rerank", "finetune.examples=60", "HR@1"), "value"] == pytest.approx(2 / 3)
    wide = protocols_table(runs)
    assert wide.loc[("finetune.examples=120", "delrec")].tolist() == pytest.approx([0.5, 1.0])
    assert wide.loc[("finetune.examples=60", "teacher"), "rerank"] == pytest.approx(1 / 3)


def budget(run):
    return [f"finetune.examples={120 if '120' in run.name else 60}"]


def test_what_runs_cost(runs):
    assert costs_table(runs).empty and times_table(runs)["total"].tolist() == [2.0] * 4
    for seconds, run in enumerate(runs):
        row = {"method": ["delrec"], "trainable": [7], "seconds": [seconds], "peak_mib": [100 - seconds]}
        pd.DataFrame(row).to_csv(run / "evaluation" / "costs.csv", index=False)
        (run / "data").mkdir()
        (run / "data" / "done.json").write_text('{"seconds": 2.5}')
    assert costs_table(runs).iloc[0].tolist() == ["delrec", 7, 1.5, 100, 4]
    assert times_table(runs).loc[runs[0].name, ["data", "total"]].tolist() == [2.5, 4.5]


def test_no_finished_run_is_said(tmp_path):
    with pytest.raises(KitError, match=r"no finished run .* sweep"):
        finished_runs(tmp_path)
