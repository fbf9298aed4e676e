"""Pictures of a comparison; each function gives the figure and the numbers in it."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from delrec_kit.evaluation.metrics import METRICS
from delrec_kit.style import label, look


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
    figure.suptitle(_finding(comparison, table, metrics[0]), x=0.01, ha="left", fontsize=11)
    return figure, table


def plot_differences(comparison: Mapping[str, Any], metric: str = "HR@1") -> tuple[Figure, pd.DataFrame]:
    """Each paired difference a − b in ``metric`` with its 95 % interval; filled where the interval excludes zero.

    Returns the figure and its numbers: a, b, metric, value, low, high, p.
    """
    table = pd.DataFrame(comparison["differences"], columns=["a", "b", "metric", "value", "low", "high", "p"])
    table = table[table["metric"] == metric].reset_index(drop=True)
    figure, axis = plt.subplots(figsize=(6.5, 1.2 + 0.32 * len(table)))
    for place, row in enumerate(table.itertuples()):
        sure = row.low > 0 or row.high < 0
        _dot(axis, place, row, color="black", marker="o", markerfacecolor="black" if sure else "white")
    axis.axvline(0, color="black", linewidth=0.8, linestyle="--", marker="")
    axis.set_yticks(range(len(table)), [f"{label(a)} − {label(b)}" for a, b in zip(table["a"], table["b"])])
    axis.set_ylim(max(len(table), 1) - 0.5, -0.5)
    axis.set_xlabel(f"difference in {metric}, paired by user (95 % interval)")
    sure = int(((table["low"] > 0) | (table["high"] < 0)).sum())
    axis.set_title(f"{sure} of {len(table)} differences in {metric} exclude zero (filled)")
    return figure, table


def _dots(axis: Axes, rows: pd.DataFrame) -> None:
    for place, row in enumerate(rows.itertuples()):
        _dot(axis, place, row, **look(row.method))
    axis.set_yticks(range(len(rows)), [label(method) for method in rows["method"]])
    axis.set_ylim(len(rows) - 0.5, -0.5)


def _dot(axis: Axes, place: int, row: Any, **looks: Any) -> None:
    # the percentile interval need not hold the mean, so a bar is never negative
    reach = [[max(0.0, row.value - row.low)], [max(0.0, row.high - row.value)]]
    axis.errorbar([row.value], [place], xerr=reach, markersize=6, capsize=3, linestyle="none", **looks)


def _finding(comparison: Mapping[str, Any], table: pd.DataFrame, metric: str) -> str:
    first = table[(table["metric"] == metric) & (table["method"] != "oracle")]
    best = first.loc[first["value"].idxmax()]
    among = "the whole catalogue" if comparison["protocol"] == "full" else f"{comparison['m']} candidates"
    users = f"means over {comparison['users']} users, 95 % intervals"
    return f"Best {metric}: {label(best['method'])}, {best['value']:.3f} among {among} ({users})"
