"""What a whole run leaves behind, whichever profile it had. ``DELREC_KIT_RUN_DIR`` names the run to look at."""

import json
import os
import re
import struct
from itertools import combinations, pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from delrec_kit.__main__ import main
from delrec_kit.batch.notebooks import is_current, numbers_of, sources
from delrec_kit.data import PreparedData
from delrec_kit.evaluation import METRICS
from delrec_kit.run.directory import RunDirectory, read_json
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.rows import adapted_rows
from delrec_kit.study import pictures
from delrec_kit.study.recommend import recommend

if not os.environ.get("DELREC_KIT_RUN_DIR"):
    pytest.skip(
        "no run to look at; python -m delrec_kit run --profile smoke --run-dir runs/smoke, "
        "then DELREC_KIT_RUN_DIR=runs/smoke lifts this",
        allow_module_level=True,
    )

METHODS = ["popularity", "markov", "teacher", "llm_zero_shot", "llm_finetuned", "delrec"]
FILES = {
    "data": ["items.parquet", "train.parquet", "valid.parquet", "test.parquet", "statistics.json"],
    "teacher": [
        "model.safetensors",
        "model.json",
        "curve.csv",
        "metrics.json",
        "distillation.parquet",
        "valid.parquet",
        "test.parquet",
        "baselines.parquet",
    ],
    "prompt": [
        "soft_prompt.safetensors",
        "untrained.safetensors",
        "templates.json",
        "curve.csv",
        "growth.csv",
        "metrics.json",
    ],
    "adapter": [
        f"{method}/{file}"
        for method in ("delrec", "llm_finetuned")
        for file in ("adapter_model.safetensors", "adapter_config.json", "curve.csv", "metrics.json")
    ],
    "evaluation": [
        "comparison.json",
        "per_user.parquet",
        "scores.parquet",
        "agreement.csv",
        "costs.csv",
        "slices.csv",
    ],
    "interpretation": [
        "recency.csv",
        *(
            f"{method}/{file}"
            for method in ("llm_distilled_prompt", "delrec")
            for file in (
                "attention.csv",
                "attention_by_user.csv",
                "attention_by_place.csv",
                "pieces.csv",
                "deletion.csv",
                "insertion.csv",
                "verdicts.json",
            )
        ),
    ],
}


@pytest.fixture(scope="session")
def produced():
    return RunDirectory.open(os.environ["DELREC_KIT_RUN_DIR"])


@pytest.fixture(scope="session")
def comparison(produced):
    return read_json(produced.folder("evaluation") / "comparison.json")


@pytest.fixture(scope="session")
def per_user(produced):
    return pd.read_parquet(produced.folder("evaluation") / "per_user.parquet")


@pytest.mark.parametrize("stage", FILES)
def test_every_stage_is_done_and_its_files_have_content(produced, stage):
    folder = produced.require(stage)
    missing = [name for name in FILES[stage] if not (folder / name).is_file() or not (folder / name).stat().st_size]
    assert not missing, f"{folder} lacks {missing}"
    assert read_json(folder / "done.json")["seconds"] >= 0


def test_nothing_half_written_or_pickled_is_left(produced):
    files = [path for path in produced.path.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".pt", ".pth", ".bin", ".npy", ".joblib")]
    assert not list(produced.path.rglob("*.draft"))
    assert not list(produced.path.glob(".checkpoints/*"))
    assert not list(produced.path.glob("notebooks/.*.ipynb"))


def test_comparison_has_exactly_the_promised_keys(produced, comparison):
    assert list(comparison) == ["protocol", "m", "seed", "users", "methods", "differences"]
    assert comparison["protocol"] == "candidates"
    assert comparison["m"] == produced.config.data.candidates
    assert comparison["seed"] == produced.config.seed
    wanted = [*METHODS, "oracle"] if produced.config.data.dataset == "demo" else METHODS
    assert set(wanted) <= set(comparison["methods"])
    for cells in comparison["methods"].values():
        assert list(cells) == METRICS
        assert all(set(cell) == {"value", "low", "high"} for cell in cells.values())
    for row in comparison["differences"]:
        assert set(row) == {"a", "b", "metric", "value", "low", "high", "p"}


def test_every_value_is_finite_and_possible(comparison):
    for cells in comparison["methods"].values():
        for cell in cells.values():
            assert 0 <= cell["low"] <= cell["value"] <= cell["high"] <= 1
        values = [cells[metric]["value"] for metric in ("HR@1", "HR@5", "HR@10")]
        assert all(a <= b for a, b in pairwise(values))
        assert cells["HR@1"]["value"] <= cells["NDCG@5"]["value"] <= cells["HR@5"]["value"]
        assert cells["MRR"]["value"] >= 1 / comparison["m"]
    for row in comparison["differences"]:
        assert -1 <= row["low"] <= row["value"] <= row["high"] <= 1
        assert 0 <= row["p"] <= 1


def test_differences_are_those_of_the_methods(comparison):
    pairs = {(row["a"], row["b"]) for row in comparison["differences"]}
    assert {
        ("delrec", "llm_finetuned"),
        ("delrec", "llm_zero_shot"),
        ("delrec", "teacher"),
        ("delrec", "popularity"),
    } <= pairs
    for row in comparison["differences"]:
        a, b = (comparison["methods"][row[side]][row["metric"]]["value"] for side in "ab")
        assert row["value"] == pytest.approx(a - b, abs=1e-9)


def test_per_user_ranks_give_the_comparison(produced, comparison, per_user):
    assert list(per_user.columns) == ["user", *comparison["methods"]]
    assert len(per_user) == comparison["users"] == per_user["user"].nunique()
    for method, cells in comparison["methods"].items():
        ranks = np.stack(per_user[method])
        assert ranks.ndim == 1 or ranks.shape[1] == produced.config.evaluation.draws
        assert np.isfinite(ranks).all()
        assert ranks.min() >= 1
        assert ranks.max() <= comparison["m"]
        assert cells["MRR"]["value"] == pytest.approx(np.mean(1 / ranks), abs=1e-9)


def test_methods_differ_and_the_oracle_is_no_straw_man(produced, comparison):
    scores = pd.read_parquet(produced.folder("evaluation") / "scores.parquet")
    tables = {method: np.stack(scores[method]) for method in METHODS}
    for method, table in tables.items():
        assert table.shape == (comparison["users"], comparison["m"])
        assert np.isfinite(table).all(), method
        assert (table.std(axis=1) > 0).mean() > 0.5, f"{method} gives most users one score for all"
    for a, b in combinations(METHODS, 2):
        assert not np.array_equal(tables[a], tables[b]), f"{a} and {b} are one method"
    if "oracle" in comparison["methods"]:
        assert comparison["methods"]["oracle"]["HR@1"]["value"] > 3 / comparison["m"]


def test_candidates_hold_the_answer_once_and_nothing_consumed(produced):
    data = PreparedData.load(produced.folder("data"))
    for cases, candidates in ((data.split.valid, data.valid_candidates), (data.split.test, data.test_candidates)):
        assert candidates.shape == (len(cases.target), produced.config.data.candidates)
        assert ((candidates == cases.target[:, None]).sum(axis=1) == 1).all()
        for user, row in zip(cases.user, candidates, strict=True):
            assert not set(row) & set(data.split.train[user])


def test_teacher_metrics_are_there(produced):
    metrics = read_json(produced.folder("teacher") / "metrics.json")
    for protocol in ("full", "candidates"):
        assert set(METRICS) <= set(metrics[protocol])
        assert all(0 <= metrics[protocol][metric] <= 1 for metric in METRICS)
    assert metrics["candidates"]["HR@10"] > metrics["full"]["HR@10"]
    assert metrics["seconds"] > 0


@pytest.mark.parametrize("number", numbers_of("01-05"))
def test_each_notebook_drew_figures_with_finite_numbers(produced, number):
    pictures = sorted(produced.figures.glob(f"{number}_*.png"))
    assert pictures, f"notebook {number} drew nothing"
    for picture in pictures:
        head = picture.read_bytes()[:24]
        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", head[16:24])
        assert min(width, height) > 200
        table = pd.read_csv(picture.with_suffix(".csv"))
        numbers = table.select_dtypes("number")
        assert len(table) and numbers.shape[1], f"{picture.name} plots nothing"
        assert not np.isinf(numbers.to_numpy(float)).any(), picture.name
        assert numbers.notna().any().all(), f"{picture.name}: a column without numbers"


@pytest.mark.parametrize("number", numbers_of("01-05"))
def test_each_notebook_was_executed_whole_and_its_source_kept_clean(produced, number):
    source = sources()[number]
    executed = json.loads((produced.path / "notebooks" / source.name).read_text(encoding="utf-8"))
    assert "widgets" not in executed["metadata"]
    assert executed["metadata"]["papermill"]["exception"] is None
    code = [cell for cell in executed["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code if "".join(cell["source"]).strip())
    outputs = [out for cell in code for out in cell["outputs"]]
    assert not [out for out in outputs if out["output_type"] == "error"]
    shown = [out for out in outputs if "image/png" in out.get("data", {})]
    drawn = list(produced.figures.glob(f"{number}_*.png"))
    assert len(shown) == len(drawn) > 0, "what is saved is shown too"
    assert all(out["metadata"]["image/png"]["alt"] for out in shown), "a picture without alternative text"
    text = "".join("".join(out.get("text", [])) for out in outputs if out["output_type"] == "stream")
    assert "Warning" not in text, text

    kept = json.loads(source.read_text(encoding="utf-8"))
    assert not [cell for cell in kept["cells"] if cell.get("outputs") or cell.get("execution_count")]


def test_running_again_skips_every_stage(produced):
    assert all(is_current(produced, number) for number in numbers_of("01-05"))


def test_recommendations_are_ranked_and_new(produced):
    split = PreparedData.load(produced.folder("data")).split
    history = [split.titles[i] for i in split.train[0][:3]]
    table = recommend(produced, history, top=5)
    assert table["rank"].tolist() == [1, 2, 3, 4, 5]
    assert table["score"].is_monotonic_decreasing and table["score"].nunique() > 1
    assert not set(table["title"]) & set(history) and table["title"].is_unique
    with pytest.raises(KitError, match=re.escape(repr(history[0]))):
        recommend(produced, [history[0][:-1] + "x"], top=5)


def test_one_users_choice_is_explained_on_a_page(produced, tmp_path, capsys):
    user = PreparedData.load(produced.folder("data")).split.user_keys[0]
    page = tmp_path / "page.html"
    assert main(["explain", str(produced.path), "--user", user, "--out", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    m, n = produced.config.data.candidates, produced.config.distill.k
    assert text.count("<tr><td>") + text.count("<tr class='answer'>") == m
    assert text.count("← what came next</td>") == 1 and "delrec-view-data" in text
    assert all(f">P{j}" in text for j in range(n)) and "nats" in text
    assert main(["explain", str(produced.path), "--user", "nobody", "--out", str(page)]) == 2
    assert "no test case of user 'nobody'" in capsys.readouterr().err


def test_fine_tuning_taught_something(produced):
    """Cross-entropy of validation answers, in nats, at the best step against before training."""
    curve = pd.read_csv(produced.folder("adapter") / "curve.csv")
    for method in ("llm_finetuned", "delrec"):
        rows = curve[curve["method"] == method]
        before = rows.loc[rows["step"] == 0, "valid_loss"].item()
        assert rows["valid_loss"].min() < before - 0.2, method


def test_the_loss_of_the_notebooks_is_known_as_the_librarys(produced):
    """Else no run of a sweep could take what another has made, nor a notebook what several processes have."""
    adapters = [produced.folder("adapter") / name for name in adapted_rows(produced.config)]
    assert not any(read_json(folder / "metrics.json")["own_loss"] for folder in [produced.folder("prompt"), *adapters])


def test_what_each_method_learned_is_told(produced):
    costs = pd.read_csv(produced.folder("evaluation") / "costs.csv").set_index("method")
    assert costs.loc["llm_zero_shot", ["trainable", "teacher_examples", "true_labels"]].tolist() == [0, 0, 0]
    prompt = read_json(produced.folder("prompt") / "metrics.json")
    assert costs.loc["llm_distilled_prompt", "trainable"] == prompt["trainable"] > 0
    assert costs.loc["delrec", "trainable"] == costs.loc["llm_finetuned", "trainable"] + prompt["trainable"]
    assert costs.loc["delrec", "true_labels"] == costs.loc["llm_finetuned", "true_labels"] > 0
    assert costs.loc["llm_finetuned", "teacher_examples"] == 0 < costs.loc["delrec", "teacher_examples"]


def test_what_is_weighed_with_the_teacher_stands_beside_what_counting_adds_to_it(produced):
    folder = produced.folder("evaluation")
    weights, comparison = read_json(folder / "fusion.json"), read_json(folder / "comparison.json")
    simple = {"popularity+teacher", "markov+teacher"}
    assert simple < set(comparison["methods"]) and all(0 < abs(weights[name]["share"]) < 1 for name in simple)
    assert not [
        name for name in comparison["methods"] if name.endswith("_gated") and name.startswith(("pop", "markov"))
    ]
    pairs = {(d["a"], d["b"]) for d in comparison["differences"]}
    assert {("delrec+teacher", name) for name in simple} | {(name, "teacher") for name in simple} < pairs
    first, teacher = (comparison["methods"][name]["MRR"]["value"] for name in ("markov+teacher", "teacher"))
    assert first != teacher and first > comparison["methods"]["popularity"]["MRR"]["value"]


def test_reranking_is_bounded_by_what_the_teacher_proposes(produced):
    folder = produced.folder("evaluation") / "rerank"
    comparison, ranks = read_json(folder / "comparison.json"), pd.read_parquet(folder / "per_user.parquet")
    assert (comparison["protocol"], comparison["m"]) == ("rerank", 20)
    data = PreparedData.load(produced.folder("data"))
    proposed = np.stack(pd.read_parquet(produced.folder("teacher") / "test.parquet")["top_items"])
    listed = (proposed[:, : comparison["m"]] == data.split.test.target[:, None]).any(axis=1)
    for method in ("teacher", "delrec", "llm_finetuned", "delrec+teacher"):
        assert np.array_equal(np.isfinite(ranks[method]), listed), method
    assert comparison["methods"]["ceiling"]["HR@1"]["value"] == pytest.approx(listed.mean()) and listed.any()
    order = (proposed == data.split.test.target[:, None]).argmax(axis=1) + 1
    assert np.array_equal(ranks["teacher"][listed], order[listed]), "the teacher keeps its own order"


def test_other_sets_draws_and_orders_are_there(produced):
    folder, settings = produced.folder("evaluation"), produced.config.evaluation
    for name, m in [("popularity-10", 10)]:
        comparison = read_json(folder / name / "comparison.json")
        assert (comparison["protocol"], comparison["m"]) == (name, m)
        own = read_json(folder / "comparison.json")["methods"]["popularity"]["HR@1"]["value"]
        assert comparison["methods"]["popularity"]["HR@1"]["value"] < own, "uniform distractors are what rewards it"
    draws = pd.read_csv(folder / "draws.csv")
    means = read_json(folder / "comparison.json")["methods"]
    for method, rows in draws[draws["metric"] == "HR@1"].groupby("method"):
        assert len(rows) == settings.draws
        assert rows["value"].mean() == pytest.approx(means[method]["HR@1"]["value"])
    orders = pd.read_csv(folder / "orders.csv")
    assert (orders.groupby("method").size() == 2).all() and orders["changed"].between(0, 1).all()
    assert orders["changed"].max() > 0, "the order of the candidates changes nothing at all"


def test_the_whole_catalogue_is_ranked_for_some_users(produced):
    folder = produced.folder("evaluation") / "full"
    comparison, ranks = read_json(folder / "comparison.json"), pd.read_parquet(folder / "per_user.parquet")
    data, users = PreparedData.load(produced.folder("data")), 8
    assert (comparison["protocol"], comparison["m"], comparison["users"]) == ("full", data.split.n_items, users)
    teacher = pd.read_parquet(produced.folder("teacher") / "test.parquet")["top_items"][:users]
    for rank, top, target in zip(ranks["teacher"], teacher, data.split.test.target, strict=False):
        place = np.flatnonzero(np.asarray(top) == target)
        assert rank == place[0] + 1 if len(place) else rank > len(top)
    assert ranks["delrec"].max() > produced.config.data.candidates, "more was ranked than a candidate set"
    assert {"llm_distilled_prompt", "llm_finetuned"} < set(ranks), "all that may rerank rank the catalogue too"


PICTURES = (
    "comparison",
    "differences",
    "agreement",
    "recency",
    "attention",
    "places",
    "heads",
    "effects",
    "faithfulness",
)
PICTURES += ("words", "cosines", "projection", "growth", "one_user")


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_drawn_from_the_run_directory_alone(produced, name):
    figure, table = getattr(pictures, name)(produced.path)
    said = [figure.get_suptitle(), *(axis.get_title(side) for axis in figure.axes for side in ("left", "center"))]
    assert len(table) and any(said)
    again = getattr(pictures, name)(str(produced.path))[1]
    pd.testing.assert_frame_equal(table, again)
    plt.close("all")


def test_a_run_compared_with_itself_differs_in_nothing(produced):
    _, table = pictures.compare(produced.path, produced, names=("one", "same"))
    assert (table["difference"].abs() < 1e-12).all() and {"HR@1", "recency", "attention, cross"} < set(table["what"])
    assert (table.loc[table["what"] == "HR@1", "p"] == 1).all()
    for names in (("one",), ("one", "one"), "ab"):
        with pytest.raises(KitError, match="two different names"):
            pictures.compare(produced, produced, names=names)


def test_what_is_not_there_to_draw_is_said(produced):
    for draw, said in (
        (lambda: pictures.heads(produced, "nosuch"), "no part 'nosuch'"),
        (lambda: pictures.differences(produced, "HR@7"), "no metric 'HR@7'"),
        (lambda: pictures.attention(produced, "llm_finetuned"), "did not look inside 'llm_finetuned'"),
        (lambda: pictures.one_user(produced, method="delrecc"), "no method 'delrecc'"),
    ):
        with pytest.raises(KitError, match=said):
            draw()


def test_pictures_have_their_look_without_a_word_about_style(produced):
    with plt.rc_context({"figure.constrained_layout.use": False, "axes.spines.top": True}):
        figure, _ = pictures.recency(produced)
        assert figure.get_constrained_layout() and not figure.axes[0].spines["top"].get_visible()


def test_one_user_by_hand_agrees_with_the_evaluation(produced):
    """What the panel ranks is what was evaluated."""
    scores = pd.read_parquet(produced.folder("evaluation") / "scores.parquet").set_index("user")
    panel = pictures.widget(produced)
    for user in list(panel.users)[:3]:
        table = panel.asked.ranking(*panel.users[user]()[:2])
        for column, method in (("llm_rank", "delrec"), ("teacher_rank", "teacher")):
            assert table[column].tolist() == rankdata(-scores.loc[user, method]).tolist()
