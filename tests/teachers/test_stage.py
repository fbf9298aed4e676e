import json

import numpy as np
import pandas as pd
import pytest

from delrec_kit.evaluation import METRICS
from delrec_kit.teachers import (
    Markov,
    Popularity,
    Teacher,
    plot_beyond_popularity,
    plot_learning,
    plot_teachers,
    train_stage,
)
from delrec_kit.teachers import stage as module


@pytest.fixture(scope="module")
def stage(prepared, make_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage")
    return folder / "teacher", train_stage(prepared, make_config(), 0, folder / "teacher", folder / "checkpoints")


def test_the_promised_files_and_no_others(stage):
    tables = ["baselines.parquet", "distillation.parquet", "test.parquet", "valid.parquet"]
    names = sorted([*tables, "curve.csv", "folds", "metrics.json", "model.json", "model.safetensors"])
    assert sorted(path.name for path in stage[0].iterdir()) == names


def test_metrics_have_the_promised_form(stage):
    folder, metrics = stage
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    for row in (metrics, metrics["cross_fitted"], *metrics["baselines"].values()):
        for protocol in ("full", "candidates"):
            assert list(row[protocol]) == METRICS and all(0 <= v <= 1 for v in row[protocol].values())
        assert row["candidates"]["MRR"] > row["full"]["MRR"] > 0
    assert set(metrics["baselines"]) == {"popularity", "markov"} and metrics["seconds"] > 0


def test_case_tables_hold_the_teachers_own_scores(stage, prepared):
    teacher = Teacher.load(stage[0])
    for name in ("valid", "test"):
        cases = getattr(prepared.split, name)
        candidates = getattr(prepared, f"{name}_candidates")
        table = pd.read_parquet(stage[0] / f"{name}.parquet")
        scores = teacher.scores(cases)
        assert table["user"].tolist() == cases.user.tolist()
        assert np.array_equal(np.stack(table["candidate_scores"]), np.take_along_axis(scores, candidates, 1))
        for row, history, top in zip(scores, cases.history, np.stack(table["top_items"])):
            free = np.setdiff1d(np.arange(1, 31), history)
            assert row[top[0]] == row[free].max() and set(top) <= set(free)
            assert len(top) == 30 - cases.history.most_different


def test_baseline_table(stage, prepared):
    table, cases = pd.read_parquet(stage[0] / "baselines.parquet"), prepared.split.test
    for name, baseline in (("popularity", Popularity), ("markov", Markov)):
        scores = np.take_along_axis(baseline(prepared.split).scores(cases), prepared.test_candidates, 1)
        assert np.array_equal(np.stack(table[name]), scores) and scores.std() > 0


def test_a_killed_stage_resumes_to_the_same_files(stage, prepared, make_config, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module, "fold_teachers", None)  # dies after the main training
        with pytest.raises(TypeError):
            train_stage(prepared, make_config(), 0, tmp_path / "draft", tmp_path / "checkpoints")
    train_stage(prepared, make_config(), 0, tmp_path / "teacher", tmp_path / "checkpoints")
    for path in stage[0].glob("*.parquet"):
        assert path.read_bytes() == (tmp_path / "teacher" / path.name).read_bytes()
    for name in ("model.safetensors", "curve.csv"):
        assert (stage[0] / name).read_bytes() == (tmp_path / "teacher" / name).read_bytes()


def test_figures_show_finite_numbers(stage, prepared):
    folder, metrics = stage
    figure, table = plot_learning(pd.read_csv(folder / "curve.csv"), "SASRec")
    assert table["kept"].sum() == 1 and np.isfinite(table.drop(columns="kept")).all().all()
    assert "SASRec: best after epoch" in figure.get_suptitle()
    _, table = plot_teachers(metrics)
    assert table["method"].unique().tolist() == ["popularity", "markov", "teacher", "teacher, user unseen"]
    shown = table.set_index(["protocol", "metric", "method"])["value"]
    assert shown["full", "HR@10", "teacher"] == metrics["full"]["HR@10"]
    _, table = plot_beyond_popularity(prepared, folder, groups=3)
    hits = table.groupby("method").apply(lambda rows: np.average(rows["HR@1"], weights=rows["users"]))
    assert hits["teacher"] == pytest.approx(metrics["candidates"]["HR@1"])
    assert hits["popularity"] == pytest.approx(metrics["baselines"]["popularity"]["candidates"]["HR@1"])
