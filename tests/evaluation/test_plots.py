"""Pictures of comparisons: every number, dots filled by the one meaning of sure, and no word cut off."""

import numpy as np
import pandas as pd
import pytest

from delrec_kit.evaluation import (
    compare,
    difference_table,
    plot_comparison,
    plot_curve,
    plot_differences,
    plot_results,
)
from delrec_kit.evaluation.plots import PAIRS_SHOWN
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.methods import LABELS

METHODS = ["popularity", "teacher", "llm_finetuned_untrained_prompt", "llm_distilled_prompt+teacher_gated", "delrec"]
SETTINGS = [f"data.dataset=demo, finetune.examples={n}, llm.name=somebody/a-long-name" for n in (60, 120)]
INTERVALS = ["low", "high"]


def within(figure):
    """Whether all that is drawn lies in the figure, in inches."""
    figure.canvas.draw()
    box = figure.get_tightbbox()
    return box.min.min() > -0.01 and (box.max < figure.get_size_inches() + 0.01).all()


def drawn(figure):
    """The dots: their value, and whether they are filled."""
    lines = [line for axis in figure.axes for line in axis.lines if line.get_marker() == "o"]
    return [(line.get_xdata()[0], line.get_markerfacecolor() != "white") for line in lines]


def differences(p_holm, settings=("",)):
    rows = [
        {"settings": of, "a": "llm_finetuned_untrained_prompt", "b": name, "metric": "HR@1", "value": 0.05 + n / 100,
         "low": 0.01, "high": 0.2, "p_holm": p, "sure": p < 0.05, "agree": 1, "runs": 2}
        for of in settings for n, (name, p) in enumerate(zip(LABELS, p_holm))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_comparison_shows_every_number():
    rng = np.random.default_rng(0)
    ranks = {name: rng.integers(1, 16 - n, 60).astype(float) for n, name in enumerate([*METHODS, "oracle"])}
    figure, table = plot_comparison(compare(ranks, protocol="candidates", m=15, seed=0), ["HR@1", "NDCG@10"])
    assert len(table) == 12 and np.isfinite(table[["value", *INTERVALS]]).all().all()
    lines = [line for axis in figure.axes for line in axis.lines if line.get_marker() not in ("|", "None")]
    assert np.allclose(sorted(line.get_xdata()[0] for line in lines), sorted(table["value"]))
    assert "oracle" not in figure.get_suptitle() and "15 candidates, 60 users" in figure.get_suptitle()
    assert within(figure)


def test_dots_of_one_run_are_filled_by_the_corrected_p():
    """Both intervals exclude 0, but after Holm's correction over the four shown only one p is below .05."""
    cell = {"a": "delrec", "low": 0.01, "high": 0.2}
    found = [
        {**cell, "b": b, "metric": metric, "value": value, "p": p}
        for b, metric, value, p in [
            ("teacher", "HR@1", 0.1, 0.001), ("markov", "HR@1", 0.07, 0.03),
            ("teacher", "NDCG@5", 0.1, 0.5), ("markov", "NDCG@5", 0.1, 0.6),
        ]
    ]  # fmt: skip
    figure, rows = plot_differences(difference_table({"differences": found}))
    assert drawn(figure) == [(0.1, True), (0.07, False)] and rows["sure"].tolist() == [True, False]
    assert figure.get_suptitle().startswith("1 of 2 differences in HR@1 are sure")


def test_dots_of_many_runs_are_filled_by_the_same_and_nothing_is_cut_off():
    figure, rows = plot_differences(differences([0.001, 0.06] * 8, SETTINGS))
    filled = [is_sure for _, is_sure in drawn(figure)]
    assert len(rows) == 32 and len(filled) == 2 * PAIRS_SHOWN and sum(filled) == 16, "each sure one is drawn"
    assert (
        "16 of 32" in figure.get_suptitle()
        and f"{PAIRS_SHOWN} of 16 pairs are drawn" in figure.get_suptitle().replace("\n", " ")
    )
    assert within(figure) and within(plot_differences(differences([0.001, 0.06]))[0])
    assert len(plot_differences(difference_table({"differences": []}))[1]) == 0
    with pytest.raises(KitError, match="no two methods"):
        plot_differences(differences([]).reindex(columns=["settings", "a", "b", "metric", "sure"]))


def results(settings, at=(0,)):
    rows = [
        (of, method, "HR@1", 0.1 * n + 0.001 * x, 0.1 * n - 0.05, 0.1 * n + 0.05, 2, x)
        for of in settings for n, method in enumerate([*METHODS, "oracle"]) for x in at
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["settings", "method", "metric", "value", *INTERVALS, "runs", "at"])


def test_results_have_a_panel_for_every_group():
    figure, numbers = plot_results(results(SETTINGS))
    assert set(numbers["settings"]) == set(SETTINGS) and len(figure.axes) == 2 and within(figure)
    assert figure.get_suptitle().startswith("Best HR@1: DELRec, 0.400, 2 runs")


def test_a_curve_has_a_line_for_every_method_that_moves():
    table = results(SETTINGS, at=(0, 60, 1200))
    table.loc[table["method"] == "popularity", "value"] = 0.2
    figure, numbers = plot_curve(table, "finetune.examples")
    assert list(dict.fromkeys(numbers["method"])) == ["teacher", "llm_finetuned_untrained_prompt", "delrec", "oracle"]
    assert figure.get_suptitle() == "Best HR@1: DELRec, 1.600 at finetune.examples = 1200" and within(figure)
    assert [" ".join(axis.get_title("left").split()) for axis in figure.axes] == SETTINGS
