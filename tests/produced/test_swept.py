"""What a sweep leaves behind. ``DELREC_KIT_SWEEP_DIR`` names its folder, made from ``tests/produced/grid.yaml``."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from delrec_kit.evaluation import curve_table, differences_table, finished_runs, results_table, varied_setting

if not os.environ.get("DELREC_KIT_SWEEP_DIR"):
    pytest.skip(
        "no sweep to look at; python -m delrec_kit sweep tests/produced/grid.yaml --out runs/swept, "
        "then DELREC_KIT_SWEEP_DIR=runs/swept lifts this",
        allow_module_level=True,
    )


@pytest.fixture(scope="module")
def folder():
    return Path(os.environ["DELREC_KIT_SWEEP_DIR"])


def test_every_cell_is_done_and_the_notebook_was_executed(folder):
    assert len(finished_runs(folder)) == 4
    executed = json.loads((folder / "06_experiments.ipynb").read_text())
    outputs = [out for cell in executed["cells"] for out in cell.get("outputs", [])]
    assert sum("image/png" in out.get("data", {}) for out in outputs) == 3
    assert not [out for out in outputs if out["output_type"] == "error"]
    for name in ("06_results", "06_differences", "06_curve"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 5000
        assert len(pd.read_csv(folder / "figures" / f"{name}.csv"))


def test_values_are_means_over_seeds_and_draws(folder):
    runs = finished_runs(folder)
    table = results_table(runs).set_index(["settings", "method", "metric"])
    few = [run for run in runs if "examples=60" in run.name]
    each = [np.stack(pd.read_parquet(run / "evaluation" / "per_user.parquet")["delrec"]) <= 1 for run in few]
    found = table.loc[("finetune.examples=60", "delrec", "HR@1")]
    assert found["runs"] == 2 and found["value"] == pytest.approx(np.mean(each))
    assert found["low"] < found["value"] < found["high"]


def test_the_curve_runs_along_what_the_grid_varies(folder):
    runs = finished_runs(folder)
    assert varied_setting(runs) == "finetune.examples"
    curve = curve_table(runs, "finetune.examples")
    assert sorted(set(curve["at"])) == [0, 60, 120] and set(curve["runs"]) == {2}
    trained = curve[curve["at"] > 0]
    assert sorted(set(trained["at"])) == [60, 120] and len(curve) == len(trained) + 2
    frozen = {"delrec": "llm_distilled_prompt", "llm_finetuned": "llm_zero_shot"}
    values = trained[trained["at"] == 60].set_index("method")["value"]
    begins = curve[curve["at"] == 0].set_index("method")["value"]
    assert begins.to_dict() == {method: values[begin] for method, begin in frozen.items()}
    assert {"delrec", "llm_finetuned", "teacher"} <= set(curve["method"])
    teacher = curve[curve["method"] == "teacher"]["value"]
    assert teacher.nunique() == 1, "the teacher knows nothing of the setting"


def test_differences_are_paired_within_a_setting(folder):
    table = differences_table(finished_runs(folder))
    assert set(table["settings"]) == {"finetune.examples=60", "finetune.examples=120"}
    assert (table["runs"] == 2).all() and table["p_holm"].between(0, 1).all()
