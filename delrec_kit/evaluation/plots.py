"""Pictures of a comparison; each function gives the figure and the numbers in it."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from delrec_kit.evaluation.ranks import METRICS
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.methods import BOUNDS, FUSED, base_of
from delrec_kit.settings.style import DASHES, FIRST, dot, filled_if, headline, label, look, styled

LETTER = 0.078  # inches, at the size of tick labels
PAIRS_SHOWN = 14  # rows of a picture of differences
INTERVALS = "Dots: means over users; bars: 95 % bootstrap intervals."


@styled
def plot_comparison(comparison: Mapping[str, Any], metrics: Sequence[str] = METRICS) -> tuple[Figure, pd.DataFrame]:
    """A dot with its 95 % interval for each method of one run, one panel a metric; the title names the best method in
    the first metric. Returns the figure and its numbers: method, metric, value, low, high."""
    cells = [
        {"method": method, "metric": metric} | of[metric]
        for metric in metrics
        for method, of in comparison["methods"].items()
    ]
    table = pd.DataFrame(cells)
    among = "the whole catalogue" if comparison["protocol"].startswith("full") else f"{comparison['m']} candidates"
    best = _best(table[table["metric"] == metrics[0]])
    return _dots(table, "metric", f"{best} among {among}, {comparison['users']} users"), table


@styled
def plot_results(table: pd.DataFrame, metric: str = "HR@1") -> tuple[Figure, pd.DataFrame]:
    """A dot with its 95 % interval for each method of ``results_table``, one panel a group of settings."""
    rows = table[table["metric"] == metric].reset_index(drop=True)
    runs = "one run" if rows["runs"].max() == 1 else f"{rows['runs'].max()} runs"
    return _dots(rows, "settings", f"{_best(rows)}, {runs}", metric), rows


@styled
def plot_differences(table: pd.DataFrame, metric: str = "HR@1") -> tuple[Figure, pd.DataFrame]:
    """The differences in ``metric`` of ``difference_table`` or, under one protocol, of ``differences_table``, with
    their 95 % intervals, one panel a group of settings; filled where the table says ``sure``. Drawn are at most
    ``PAIRS_SHOWN`` pairs: those of rows that every claim is measured by, then the surest. Returns the figure and all
    rows. Raises KitError for a table of many runs that is empty."""
    rows = table[table["metric"] == metric].reset_index(drop=True)
    of = rows["settings"] if "settings" in rows else pd.Series("", rows.index)
    if "settings" in rows and rows.empty:
        raise KitError("the runs have no two methods in common to compare")
    names = [f"{label(a)} − {label(b)}" for a, b in zip(rows["a"], rows["b"])]
    main = rows["a"].map(base_of).isin(FIRST) & rows["b"].map(base_of).isin(FIRST)
    surest = rows.assign(name=names, main=main, size=rows["value"].abs())
    surest = surest.sort_values(["main", "sure", "size"], ascending=False, kind="stable")
    drawn = set(surest["name"].drop_duplicates()[:PAIRS_SHOWN])
    order, groups = [name for name in dict.fromkeys(names) if name in drawn], list(dict.fromkeys(of)) or [""]
    size = (_beside(order) + 3.0 * len(groups), 1.6 + 0.3 * len(order))
    figure, axes = plt.subplots(1, len(groups), figsize=size, sharey=True, squeeze=False)
    for axis, settings in zip(axes[0], groups):
        for row in rows[(of == settings) & pd.Series(names, rows.index, dtype=object).isin(drawn)].itertuples():
            dot(axis, order.index(names[row.Index]), row.value, row.low, row.high, **filled_if(row.sure))
        axis.axvline(0, color="black", linewidth=0.8, linestyle="--", marker="")
        axis.set(xlabel=f"difference in {metric}", title="\n".join(wrap(settings, 34)))
    axes[0][0].set_yticks(range(len(order)), order)
    axes[0][0].set_ylim(max(len(order), 1) - 0.5, -0.5)
    left = len(set(names)) - len(order)
    headline(
        figure,
        f"{rows['sure'].sum()} of {len(rows)} differences in {metric} are sure (filled)"
        + (f"; {len(order)} of {len(order) + left} pairs are drawn, the table has all" if left else ""),
        "Paired by user, with 95 % bootstrap intervals. Sure: p below .05 after Holm's correction for all that "
        "the table compares, so that an interval may leave out 0 where the dot stays hollow.",
    )
    return figure, rows


@styled
def plot_curve(table: pd.DataFrame, setting: str, methods: Sequence[str] | None = None) -> tuple[Figure, pd.DataFrame]:
    """Each method's line over the values of a setting, from ``curve_table``; a panel for each of the other settings.

    methods: which; None takes those that the setting moves, not fused with the teacher, and the teacher. The axis is
    logarithmic where the values span more than a factor of ten, linear below the least that is not 0.
    """
    if methods is None:
        values = table.groupby(["settings", "method"], sort=False)["value"].nunique()
        moved = values.groupby("method", sort=False).max() > 1
        methods = [name for name in moved.index if name == "teacher" or (moved[name] and FUSED not in name)]
    rows = table[table["method"].isin(methods)].reset_index(drop=True)
    groups, values = list(dict.fromkeys(rows["settings"])), sorted(set(rows["at"]))
    size = (max(7.0, 4.4 * len(groups)), 4.8)
    figure, axes = plt.subplots(1, len(groups), figsize=size, sharey=True, squeeze=False)
    for axis, settings in zip(axes[0], groups):
        for place, method in enumerate(dict.fromkeys(rows["method"])):
            line = rows[(rows["settings"] == settings) & (rows["method"] == method)].sort_values("at")
            reach = np.abs(line[["low", "high"]].to_numpy().T - line["value"].to_numpy())
            dash = DASHES[place % len(DASHES)]
            shown = look(method) | {"capsize": 3, "label": label(method), "linestyle": dash}
            axis.errorbar(line["at"], line["value"], yerr=reach, **shown)
        above = [value for value in values if value > 0]
        if above and min(values) >= 0 and max(values) > 10 * above[0]:
            axis.set_xscale("symlog", linthresh=above[0])
        axis.set_xticks(values, [f"{value:g}" for value in values])
        axis.minorticks_off()
        axis.set(xlabel=setting, title="\n".join(wrap(settings, 34)))
    axes[0][0].set_ylabel(f"{rows['metric'].iloc[0]}, 95 % intervals over users")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower left", ncols=3, fontsize=8)
    last = rows[(rows["at"] == values[-1]) & (rows["method"] != "teacher")]
    headline(figure, f"{_best(last if len(last) else rows)} at {setting} = {values[-1]:g}")
    return figure, rows


def _dots(table: pd.DataFrame, by: str, finding: str, xlabel: str = "") -> Figure:
    """A panel for each value of the column ``by``, a row for each method."""
    panels, methods = list(dict.fromkeys(table[by])), list(dict.fromkeys(table["method"]))
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    size = (_beside([label(method) for method in methods]) + 2.6 * columns, 0.8 + (0.9 + 0.27 * len(methods)) * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, sharey=True, squeeze=False)
    for axis, panel in zip(axes.ravel(), panels):
        for row in table[table[by] == panel].itertuples():
            dot(axis, methods.index(row.method), row.value, row.low, row.high, **look(row.method))
        axis.set(xlabel=xlabel or panel, title="\n".join(wrap(panel, 30)) if xlabel else "")
    for axis in axes.ravel()[len(panels) :]:
        axis.set_visible(False)
    axes[0][0].set_yticks(range(len(methods)), [label(method) for method in methods])
    axes[0][0].set_ylim(len(methods) - 0.5, -0.5)
    headline(figure, finding, INTERVALS)
    return figure


def _beside(names: Sequence[str]) -> float:
    """Inches that the names of rows need beside the panels."""
    return max(3.4, 0.3 + LETTER * max(map(len, names), default=0))


def _best(rows: pd.DataFrame) -> str:
    """The best of what could be had, with its value."""
    ours = rows[~rows["method"].isin(BOUNDS)]
    best = ours.loc[ours["value"].idxmax()]
    return f"Best {best['metric']}: {label(best['method'])}, {best['value']:.3f}"
