import numpy as np
import pandas as pd
import pytest

from delrec_kit.evaluation import compare, report_table, report_text, to_markdown, write_comparison, write_report
from delrec_kit.run.directory import RunDirectory
from delrec_kit.settings.config import resolve
from delrec_kit.settings.errors import KitError


def made_run(folder, ranks, seed, *overrides):
    run = RunDirectory.create(folder, resolve("smoke", list(overrides), seed=seed))
    ranks = {"teacher": np.array(ranks, dtype=float)}
    compared = compare(ranks, protocol="candidates", m=15, seed=seed, resamples=20)
    write_comparison(run.folder("evaluation"), compared, ranks, [str(u) for u in range(len(ranks["teacher"]))])
    return run.path


def test_mean_and_deviation_over_seeds(tmp_path):
    runs = [made_run(tmp_path / str(s), ranks, s) for s, ranks in enumerate([[1, 9], [1, 1], [9, 9]])]
    table = report_table(runs).set_index(["method", "metric"])
    row = table.loc[("teacher", "HR@1")]
    assert (row["mean"], row["sd"], row["runs"]) == (0.5, 0.5, 3)
    text = report_text(report_table(runs))
    assert text.loc[0, "HR@1"] == "0.500 ± 0.500" and "settings" not in text


def test_runs_with_other_settings_stand_apart_and_say_why(tmp_path):
    runs = [
        made_run(tmp_path / "a", [1, 1], 0),
        made_run(tmp_path / "b", [1, 9], 1),
        made_run(tmp_path / "c", [9, 9], 0, "teacher.name=caser"),
    ]
    table = report_table(runs)
    hits = table[table["metric"] == "HR@1"].set_index("settings")["mean"].to_dict()
    assert hits == {"teacher.name=sasrec": 0.75, "teacher.name=caser": 0.0}
    assert report_text(table)["HR@1"].tolist() == ["0.750 ± 0.354", "0.000"]


def test_one_change_at_a_time_is_named_by_the_change(tmp_path):
    changes = [[], ["distill.k=3"], ["distill.k=7"], ["teacher.name=caser"], ["distill.weight_ta=0"]]
    runs = [made_run(tmp_path / f"{n}{seed}", [1, 1], seed, *c) for n, c in enumerate(changes) for seed in (0, 1)]
    labels = report_table(runs)["settings"].unique().tolist()
    assert labels == ["nothing changed", "distill.k=3", "distill.k=7", "teacher.name=caser", "distill.weight_ta=0.0"]


def test_long_values_are_cut_in_labels_while_they_stay_apart(tmp_path):
    sets = [[f"uniform-{m}" for m in range(2, 30)], [f"popularity-{m}" for m in range(2, 30)]]
    runs = [made_run(tmp_path / str(n), [1, 1], 0, f"evaluation.sets={of}") for n, of in enumerate(sets)]
    labels = report_table(runs)["settings"].unique()
    assert len(labels) == 2 and max(map(len, labels)) < 90
    alike = [[*sets[0], last] for last in ("uniform-40", "uniform-41")]
    longer = [made_run(tmp_path / f"b{n}", [1, 1], 0, f"evaluation.sets={of}") for n, of in enumerate(alike)]
    assert len(report_table(longer)["settings"].unique()) == 2


def test_csv_and_markdown(tmp_path):
    table = report_table([made_run(tmp_path / "a", [1, 9], 0)])
    differences = pd.DataFrame({"a": ["delrec"], "b": ["teacher"], "value": [0.12345]})
    write_report(table, tmp_path / "r.csv", tmp_path / "r.md", differences=differences)
    assert pd.read_csv(tmp_path / "r_differences.csv")["value"].tolist() == [0.12345]
    assert "| delrec | teacher | 0.123 |" in (tmp_path / "r.md").read_text()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "r.csv", keep_default_na=False)[["mean"]], table[["mean"]])
    lines = (tmp_path / "r.md").read_text().splitlines()
    assert lines[0].startswith("| method | runs | HR@1 |") and "| teacher | 1 | 0.500 |" in lines[2]
    assert to_markdown(pd.DataFrame({"a": [np.nan, 1.5], "b": ["x", None]})).splitlines()[2:] == [
        "|  | x |",
        "| 1.5 |  |",
    ]
    assert to_markdown(pd.DataFrame({"a|b": [1]})) == "| a\\|b |\n| --- |\n| 1 |\n"


def test_mistakes_are_one_clear_line(tmp_path):
    with pytest.raises(KitError, match="at least one"):
        report_table([])
    with pytest.raises(KitError, match="no run in"):
        report_table([tmp_path / "none"])
    with pytest.raises(KitError, match="notebook 05"):
        report_table([RunDirectory.create(tmp_path / "empty", resolve("smoke")).path])
    with pytest.raises(KitError, match="seed 0"):
        report_table([made_run(tmp_path / "a", [1, 1], 0), made_run(tmp_path / "b", [1, 1], 0)])
