"""Pictures of what happens inside: where attention goes, what a choice hangs on, whether explanations find it.

Each function gives the figure and the plotted numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from delrec_kit.interpret.attention import ROLLOUT, answering
from delrec_kit.settings.methods import DISTILLED
from delrec_kit.settings.style import dot, headline, label, styled

KINDS = {"encoder": "the prompt reads itself", "cross": "titles read the prompt"}
READING = {"encoder": "where the prompt reads itself", "cross": "where titles read it"}
ROLLED = "rolled out through the layers"
LIFT = "over what it would get if all tokens looked alike at all they can see"
ANNOTATED = 12  # rows or columns of a heat map whose cells still bear their numbers
PIECES = {  # kind of piece -> axis, hatch, one of them
    "soft": ("soft token", "//", "P{}"),
    "history": ("title, steps back from the last", "", "title {} back"),
    "teacher": ("suggestion of the teacher, place in the list", "xx", "suggestion {}"),
    "candidates": ("candidate, place in the list", "..", "candidate {}"),
}
TESTS = {  # axes
    "deletion": "more than a random order takes, nats",
    "insertion": "more than a random order brings, nats",
}


def heat_map(axis: Axes, grid: pd.DataFrame, unit: str, fmt: str = ".1f", **looks: Any) -> None:
    """``grid`` in shades that also read without colour, with its numbers where they have room; unit: of the shades, no
    scale of them where empty."""
    size = {"annot": max(grid.shape) <= ANNOTATED, "annot_kws": {"fontsize": 8 if grid.shape[1] <= 8 else 6}}
    bar = {"cbar": bool(unit), "cbar_kws": {"label": unit} if unit else {}}
    sns.heatmap(grid, cmap="cividis", fmt=fmt, ax=axis, **(size | bar | looks))
    for text in (*axis.get_xticklabels(), *axis.get_yticklabels()):
        text.set_parse_math(False)  # dollars of a title are dollars


@styled
def plot_attention(table: pd.DataFrame, method: str = DISTILLED) -> tuple[Figure, pd.DataFrame]:
    """Attention lift by segment (columns) and layer (rows), mean over heads, for each kind of attention, and rolled out
    through the layers; method: whose."""
    read, rolled = _kinds(table), ROLLOUT in set(table["kind"])
    lift = table.groupby(["kind", "layer", "segment"], sort=False)["lift"].mean()
    grids = {kind: lift[kind].unstack("segment").reindex(columns=dict.fromkeys(table["segment"])) for kind in read}
    width = 1.2 + 3.3 * len(read) + 1.6
    ratios = [1.0] * len(read) + [0.45] * rolled
    figure, axes = plt.subplots(1, len(ratios), figsize=(width, 3.8), squeeze=False, width_ratios=ratios)
    for axis, (kind, grid) in zip(axes[0], grids.items()):
        heat_map(axis, grid, "lift", vmin=0)
        axis.set(title=KINDS[kind], xlabel="prompt segment", ylabel="layer")
        axis.tick_params(axis="x", rotation=30)
    if rolled:
        heat_map(axes[0][-1], lift[ROLLOUT].unstack("segment").reindex(columns=grids[read[-1]].columns).T, "", vmin=0)
        axes[0][-1].set(title="rolled out", xlabel="", ylabel="", xticks=[])
        axes[0][-1].tick_params(axis="y", rotation=0)
    soft = table[(table["segment"] == "soft") & (table["kind"] == read[-1])]["lift"]
    finding = f"a soft token gets {soft.mean():.1f} times even attention, {READING[read[-1]]}"
    headline(
        figure,
        f"{label(method)}: {finding if len(soft) else 'attention by prompt segment'}",
        f"Lift: attention that a segment gets, {LIFT}; empty cells cannot be seen. Rolled out: what the answer comes "
        "from, through all layers (Abnar, Zuidema 2020).",
    )
    return figure, lift.reset_index()


@styled
def plot_heads(table: pd.DataFrame, segment: str = "soft", method: str = DISTILLED) -> tuple[Figure, pd.DataFrame]:
    """Attention lift of one segment, layer by head; method: whose."""
    chosen = table[(table["segment"] == segment) & table["kind"].isin(list(KINDS))]
    kinds = _kinds(chosen)
    figure, axes = plt.subplots(1, len(kinds), figsize=(4.4 * len(kinds), 3.4), squeeze=False)
    for axis, kind in zip(axes[0], kinds, strict=True):
        grid = chosen[chosen["kind"] == kind].pivot(index="layer", columns="head", values="lift")
        heat_map(axis, grid, "lift", vmin=0)
        axis.set(title=KINDS[kind], xlabel="head", ylabel="layer")
    strongest = chosen[chosen["kind"] == kinds[-1]].nlargest(1, "lift").iloc[0]
    headline(
        figure,
        f"{label(method)}, attention on {segment}: most in layer {strongest['layer']}, head {strongest['head']}, "
        f"{READING[kinds[-1]]}, {strongest['lift']:.1f} times even attention",
        f"Lift: each head's attention on {segment}, {LIFT}; mean over users.",
    )
    return figure, chosen


def _kinds(table: pd.DataFrame) -> list[str]:
    """The kinds of attention in ``table``, rollout apart; the last is that of the answer."""
    return [kind for kind in KINDS if kind in set(table["kind"])]


@styled
def plot_places(table: pd.DataFrame, method: str = DISTILLED) -> tuple[Figure, pd.DataFrame]:
    """Attention lift of each soft token, title of the history and candidate (columns) by layer (rows), mean over heads,
    where the answer is made, and rolled out through the layers below; ``table`` from ``attention_mass`` by place."""
    kind = answering(table["kind"])
    names = list(dict.fromkeys(table[table["kind"] == kind]["segment"]))
    numbers = table[table["kind"].isin([kind, ROLLOUT])]
    numbers = numbers.groupby(["kind", "layer", "segment"], sort=False)["lift"].mean()
    grids = {of: numbers[of].unstack("segment").reindex(columns=names) for of in (kind, ROLLOUT) if of in numbers}
    size = (min(9.5, max(7.0, 0.24 * len(names) + 1.5)), 2.9 + 0.3 * len(grids[kind]))
    ratios = [len(grid) + 0.5 for grid in grids.values()]
    figure, axes = plt.subplots(len(grids), 1, figsize=size, sharex=True, squeeze=False, height_ratios=ratios)
    for axis, (of, grid) in zip(axes[:, 0], grids.items(), strict=True):
        norm = PowerNorm(0.5, 0, np.nanmax(grid))  # a few places get most
        heat_map(axis, grid, "lift", annot=False, norm=norm, xticklabels=True)
        axis.set(xlabel="", ylabel="layer" if of == kind else "", title=KINDS.get(of, ROLLED))
        axis.set_yticks([]) if of == ROLLOUT else axis.tick_params(axis="y", rotation=0)
    axes[-1, 0].tick_params(axis="x", rotation=90, labelsize=8)
    mean = grids[kind].mean().drop(index="instruction", errors="ignore")
    headline(
        figure,
        f"{label(method)}: most attention for its length gets {mean.idxmax()}, {mean.max():.1f} times even attention",
        f"Lift: attention that the part gets, {LIFT}; mean over heads and users. Shades are by the square root.",
    )
    return figure, numbers.reset_index()


@styled
def plot_effects(effects: pd.DataFrame, method: str = DISTILLED) -> tuple[Figure, pd.DataFrame]:
    """Mean size of the leave-one-out effects by kind of piece and place: soft tokens, titles of the history from the
    last one back, candidates by place in the list."""
    back = effects.groupby(["user", "name"])["index"].transform("max") - effects["index"] + 1
    at = effects["index"] + (effects["name"] != "soft")  # soft tokens count from P0
    at = np.where(effects["name"] == "history", back, at)
    numbers = effects.assign(place=at, size=effects["effect"].abs())
    numbers = numbers.groupby(["name", "place"], sort=False)["size"].agg(["mean", "sem"]).reset_index()
    kinds = [kind for kind in PIECES if kind in set(numbers["name"])]
    figure, axes = plt.subplots(1, len(kinds), figsize=(3.2 * len(kinds), 3.4), sharey=True, squeeze=False)
    for axis, kind in zip(axes[0], kinds):
        rows, (axis_label, hatch, _) = numbers[numbers["name"] == kind].sort_values("place"), PIECES[kind]
        looks = {"capsize": 2, "color": "white", "edgecolor": "black", "hatch": hatch}
        axis.bar(rows["place"], rows["mean"], yerr=1.96 * rows["sem"].fillna(0), **looks)
        axis.set(xlabel=axis_label)
    axes[0][0].set(ylabel="mean size of the effect, nats", ylim=(0, None))
    top = numbers.loc[numbers["mean"].idxmax()]
    piece = PIECES[top["name"]][2].format(int(top["place"]))
    finding = f"{label(method)}: the choice changes most without {piece}, by {top['mean']:.2f} nats"
    headline(figure, finding, "Mean size of the change in the choice's log-probability, 95 % normal intervals.")
    return figure, numbers


@styled
def plot_faithfulness(
    over_random: Mapping[str, pd.DataFrame], verdicts: Sequence[Mapping[str, Any]], method: str = DISTILLED
) -> tuple[Figure, pd.DataFrame]:
    """What each explanation has over random orders by each test, a row each with its 95 % interval.

    over_random: a ``faithfulness_table`` a test; verdicts: from ``verdict``, by the same intervals. The curves
    themselves are ``deletion.csv`` and ``insertion.csv`` of a run.
    """
    numbers = pd.concat([table.assign(test=test) for test, table in over_random.items()], ignore_index=True)
    word = {found["explanation"]: f"{found['explanation']}: {found['verdict']}" for found in verdicts}
    figure, axes = plt.subplots(1, len(over_random), figsize=(8.5, 2.9), squeeze=False, sharey=True)
    for axis, (test, rows) in zip(axes[0], numbers.groupby("test", sort=False), strict=True):
        for place, row in enumerate(rows.itertuples()):
            dot(axis, place, row.value, row.low, row.high, color="black")
        axis.axvline(0, color="black", linewidth=0.8, linestyle="--", marker="")
        names = [word.get(name, name) for name in rows["explanation"]]
        axis.set(title=test, xlabel=TESTS[test], yticks=range(len(rows)), yticklabels=names)
    axes[0][0].set_ylim(len(rows) - 0.5, -0.5)
    headline(
        figure,
        f"{label(method)}: {', '.join(map('{explanation} is {verdict} ({spearman:.2f})'.format_map, verdicts))}",
        "An explanation that is not surely right of 0, where a random order stands, in both tests is unsure or "
        "misleading. How good any other is says its rank correlation, in brackets, with leaving out one by one among "
        "pieces of a kind: good from .6, poor or coarse below .3. Mean over shares of the pieces, 95 % intervals over "
        "users.",
    )
    return figure, numbers
