"""Pictures of a comparison; each function gives the figure and the numbers in it."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from delrec_kit.evaluation.metrics import METRICS
from delrec_kit.settings.methods import FUSED
from delrec_kit.settings.style import DASHES, dot, filled_if, headline, label, look, styled

TEACHER = "teacher"


@styled
def plot_comparison(comparison: Mapping[str, Any], metrics: Sequence[str] = METRICS) -> tuple[Figure, pd.DataFrame]:
    """A dot with its 95 % interval for each method, one panel a metric; the title names the best method at HR@1.

    Returns the figure and its numbers: method, metric, value, low, high.
    """
    table = pd.DataFrame(
        [
            (method, metric, *(cells[metric][part] for part in ("value", "low", "high")))
            for metric in metrics
            for method, cells in comparison["methods"].items()
        ],
        columns=["method", "metric", "value", "low", "high"],
    )
    columns = min(3, len(metrics))
    rows = -(-len(metrics) // columns)
    height = 0.9 + 0.27 * len(comparison["methods"])
    figure, axes = plt.subplots(rows, columns, figsize=(1.6 + 2.5 * columns, 0.5 + height * rows), sharey=True)
    panels = np.atleast_1d(axes).ravel()
    for axis, metric in zip(panels, metrics):
        _dots(axis, table[table["metric"] == metric])
        axis.set_xlabel(metric)
    for axis in panels[len(metrics) :]:
        axis.set_visible(False)
    headline(figure, _finding(comparison, table, metrics[0]))
    return figure, table


@styled
def plot_differences(comparison: Mapping[str, Any], metric: str = "HR@1") -> tuple[Figure, pd.DataFrame]:
    """Each paired difference a − b in ``metric`` with its 95 % interval; filled where the interval excludes zero.

    Returns the figure and its numbers: a, b, metric, value, low, high, p.
    """
    table = pd.DataFrame(comparison["differences"], columns=["a", "b", "metric", "value", "low", "high", "p"])
    table = table[table["metric"] == metric].reset_index(drop=True)
    figure, axis = plt.subplots(figsize=(6.5, 1.2 + 0.32 * len(table)))
    for place, row in enumerate(table.itertuples()):
        sure = row.low > 0 or row.high < 0
        dot(axis, place, row.value, row.low, row.high, **filled_if(sure))
    axis.axvline(0, color="black", linewidth=0.8, linestyle="--", marker="")
    axis.set_yticks(range(len(table)), [f"{label(a)} − {label(b)}" for a, b in zip(table["a"], table["b"])])
    axis.set_ylim(max(len(table), 1) - 0.5, -0.5)
    axis.set_xlabel(f"difference in {metric}, paired by user (95 % interval)")
    sure = int(((table["low"] > 0) | (table["high"] < 0)).sum())
    headline(figure, f"{sure} of {len(table)} differences in {metric} exclude zero (filled)")
    return figure, table


def _dots(axis: Axes, rows: pd.DataFrame) -> None:
    for place, row in enumerate(rows.itertuples()):
        dot(axis, place, row.value, row.low, row.high, **look(row.method))
    axis.set_yticks(range(len(rows)), [label(method) for method in rows["method"]])
    axis.set_ylim(len(rows) - 0.5, -0.5)


def _finding(comparison: Mapping[str, Any], table: pd.DataFrame, metric: str) -> str:
    first = table[(table["metric"] == metric) & (table["method"] != "oracle")]
    best = first.loc[first["value"].idxmax()]
    among = "the whole catalogue" if comparison["protocol"] == "full" else f"{comparison['m']} candidates"
    users = f"means over {comparison['users']} users, 95 % intervals"
    return f"Best {metric}: {label(best['method'])}, {best['value']:.3f} among {among} ({users})"


@styled
def plot_results(table: pd.DataFrame, metric: str = "HR@1") -> tuple[Figure, pd.DataFrame]:
    """A dot with its 95 % interval for each method of ``results_table``, one panel a group of settings."""
    rows = table[table["metric"] == metric].reset_index(drop=True)
    groups = list(dict.fromkeys(rows["settings"]))
    methods = list(dict.fromkeys(rows["method"]))
    size = (2.4 + 3.4 * len(groups), 1.2 + 0.27 * len(methods))
    figure, axes = plt.subplots(1, len(groups), figsize=size, sharey=True, squeeze=False)
    for axis, settings in zip(axes[0], groups):
        part = rows[rows["settings"] == settings].set_index("method").reindex(methods).reset_index()
        _dots(axis, part)
        axis.set(xlabel=f"{metric}, 95 % intervals over users", title="\n".join(wrap(settings, 38)))
    ours = rows[~rows["method"].isin(["oracle", "ceiling"])]
    best = ours.loc[ours["value"].idxmax()]
    runs = "one run" if best["runs"] == 1 else f"{best['runs']} runs"
    finding = f"Best {metric}: {label(best['method'])}, {best['value']:.3f} ({runs})"
    headline(figure, finding)
    return figure, rows


@styled
def plot_curve(table: pd.DataFrame, setting: str, methods: Sequence[str] | None = None) -> tuple[Figure, pd.DataFrame]:
    """Each method's line over the values of a setting, from ``curve_table``; a panel for each of the other settings.

    methods: which; None takes those that the setting moves, without the teacher's vote, and the teacher. The axis
    is logarithmic where the values span more than a factor of ten, linear below the least that is not 0.
    """
    if methods is None:
        moved = (
            table.groupby(["settings", "method"], sort=False)["value"].nunique().groupby("method", sort=False).max() > 1
        )
        methods = [name for name in moved.index if name == TEACHER or (moved[name] and FUSED not in name)]
    rows = table[table["method"].isin(methods)]
    groups = list(dict.fromkeys(rows["settings"]))
    size = (max(7.0, 4.4 * len(groups)), 4.4)
    figure, axes = plt.subplots(1, len(groups), figsize=size, sharey=True, squeeze=False)
    metric, values = rows["metric"].iloc[0], sorted(set(rows["at"]))
    for axis, settings in zip(axes[0], groups):
        part = rows[rows["settings"] == settings]
        for place, method in enumerate(dict.fromkeys(rows["method"])):
            line = part[part["method"] == method].sort_values("at")
            reach = np.abs(line[["low", "high"]].to_numpy().T - line["value"].to_numpy())
            shown = look(method) | {"linestyle": DASHES[place % len(DASHES)]}
            axis.errorbar(line["at"], line["value"], yerr=reach, capsize=3, label=label(method), **shown)
        above = [value for value in values if value > 0]
        if above and min(values) >= 0 and max(values) > 10 * above[0]:
            axis.set_xscale("symlog", linthresh=above[0])
        axis.set_xticks(values, [f"{value:g}" for value in values])
        axis.minorticks_off()
        axis.set(xlabel=setting, title="\n".join(wrap(settings, 38)))
    axes[0][0].set_ylabel(f"{metric}, 95 % intervals over users")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower left", ncols=4, fontsize=9)
    last = rows[(rows["at"] == values[-1]) & ~rows["method"].isin([TEACHER, "oracle"])]
    if len(last):
        best = last.loc[last["value"].idxmax()]
        headline(figure, f"At {setting} = {values[-1]:g} best: {label(best['method'])}, {metric} {best['value']:.3f}")
    return figure, rows.reset_index(drop=True)


@styled
def plot_merged_differences(table: pd.DataFrame, metric: str = "HR@1") -> tuple[Figure, pd.DataFrame]:
    """Each paired difference of ``merged_differences`` with its 95 % interval, one panel a group of settings; filled
    where p, corrected, is below .05 and every run has the same sign."""
    sure = (table["p"] < 0.05) & (table["agree"] == table["runs"])
    table = table.assign(sure=sure)
    rows = table[table["metric"] == metric].reset_index(drop=True)
    names = [f"{label(a)} − {label(b)}" for a, b in zip(rows["a"], rows["b"])]
    order, groups = list(dict.fromkeys(names)), list(dict.fromkeys(rows["settings"]))
    size = (3.6 + 3.0 * len(groups), 1.3 + 0.3 * len(order))
    figure, axes = plt.subplots(1, len(groups), figsize=size, sharey=True, squeeze=False)
    for axis, settings in zip(axes[0], groups):
        for name, row in zip(names, rows.itertuples()):
            if row.settings == settings:
                dot(axis, order.index(name), row.value, row.low, row.high, **filled_if(row.sure))
        axis.axvline(0, color="black", linewidth=0.8, linestyle="--", marker="")
        axis.set(xlabel=f"difference in {metric}, paired by user", title="\n".join(wrap(settings, 34)))
    axes[0][0].set_yticks(range(len(order)), order)
    axes[0][0].set_ylim(len(order) - 0.5, -0.5)
    said = "Holm's p below .05" + (", the same sign in every run" if rows["runs"].max() > 1 else "")
    headline(figure, f"{rows['sure'].sum()} of {len(rows)} differences are sure (filled: {said})")
    return figure, rows
