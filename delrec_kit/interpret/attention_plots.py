"""Pictures of where attention goes: by segment, by place, by head.

Each function gives the figure and the plotted numbers.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from delrec_kit.interpret.attention import ROLLOUT, answering
from delrec_kit.settings.methods import DISTILLED
from delrec_kit.settings.style import headline, label, styled

KINDS = {"encoder": "the prompt reads itself", "cross": "titles read the prompt"}
ROLLED = {ROLLOUT: "rolled out through the layers"}
READING = {"encoder": "where the prompt reads itself", "cross": "where titles read it"}
ANNOTATED = 12  # rows or columns of a heat-map whose cells still bear their numbers


@styled
def plot_attention(table: pd.DataFrame, method: str = DISTILLED) -> tuple[Figure, pd.DataFrame]:
    """Attention lift by segment (columns) and layer (rows), mean over heads, for each kind of attention, and rolled out
    through the layers; method: whose."""
    kinds = [kind for kind in (*KINDS, *ROLLED) if kind in set(table["kind"])]
    read = [kind for kind in kinds if kind in KINDS]
    lift = table.groupby(["kind", "layer", "segment"], sort=False)["lift"].mean()
    names = list(dict.fromkeys(table["segment"]))
    figure, axes = plt.subplots(
        1, len(kinds), figsize=(1.2 + 3.3 * len(read) + 1.6, 3.8), squeeze=False,
        width_ratios=[1.0 if kind in KINDS else 0.45 for kind in kinds],
    )  # fmt: skip
    for axis, kind in zip(axes[0], kinds, strict=True):
        grid = lift[kind].unstack("segment", sort=False).reindex(columns=names)
        rolled = kind in ROLLED
        sns.heatmap(
            grid.T if rolled else grid, annot=max(grid.shape) <= ANNOTATED, fmt=".1f", cmap="cividis", vmin=0, ax=axis,
            cbar=not rolled, cbar_kws={} if rolled else {"label": "lift"}, annot_kws={"fontsize": 8},
        )  # fmt: skip
        if rolled:
            axis.set(title="rolled out", xlabel="", ylabel="", xticks=[])
            axis.tick_params(axis="y", rotation=0)
        else:
            axis.set(title=KINDS[kind], xlabel="prompt segment", ylabel="layer")
            axis.tick_params(axis="x", rotation=30)
    soft = table[(table["segment"] == "soft") & (table["kind"] == read[-1])]
    finding = f"{label(method)}: attention by prompt segment"
    if len(soft):
        times, where = soft["lift"].mean(), READING[read[-1]]
        finding = f"{label(method)}: a soft token gets {times:.1f} times even attention, {where}"
    caption = (
        "Lift: attention that a segment gets, over what it would get if all tokens looked alike at all they can see; "
        "empty cells cannot be seen. Rolled out: what the answer comes from, through all layers (Abnar, Zuidema 2020)."
    )
    headline(figure, finding, caption)
    return figure, lift.reset_index()


@styled
def plot_heads(table: pd.DataFrame, segment: str = "soft", method: str = DISTILLED) -> tuple[Figure, pd.DataFrame]:
    """Attention lift of one segment, layer by head; method: whose."""
    chosen = table[(table["segment"] == segment) & table["kind"].isin(list(KINDS))]
    kinds = [kind for kind in KINDS if kind in set(chosen["kind"])]
    figure, axes = plt.subplots(1, len(kinds), figsize=(4.4 * len(kinds), 3.4), squeeze=False)
    for axis, kind in zip(axes[0], kinds, strict=True):
        grid = chosen[chosen["kind"] == kind].pivot(index="layer", columns="head", values="lift")
        looks = {"annot": max(grid.shape) <= ANNOTATED, "annot_kws": {"fontsize": 9 if grid.shape[1] <= 8 else 6}}
        sns.heatmap(grid, fmt=".1f", cmap="cividis", vmin=0, ax=axis, cbar_kws={"label": "lift"}, **looks)
        axis.set(title=KINDS[kind], xlabel="head", ylabel="layer")
    strongest = chosen[chosen["kind"] == kinds[-1]].nlargest(1, "lift").iloc[0]
    headline(
        figure,
        f"{label(method)}, attention on {segment}: most in layer {strongest['layer']}, head {strongest['head']}, "
        f"{READING[kinds[-1]]}, {strongest['lift']:.1f} times even attention",
        f"Lift: each head's attention on {segment}, over what it would be if all tokens looked alike at all they can "
        "see; mean over users.",
    )
    return figure, chosen


@styled
def plot_places(table: pd.DataFrame, method: str = DISTILLED) -> tuple[Figure, pd.DataFrame]:
    """Attention lift of each soft token, title of the history and candidate (columns) by layer (rows), mean over heads,
    where the answer is made, and rolled out through the layers below; ``table`` from ``attention_mass`` by place."""
    kind = answering(table["kind"])
    names = [name for name in dict.fromkeys(table["segment"]) if name in set(table[table["kind"] == kind]["segment"])]
    numbers = (
        table[table["kind"].isin([kind, ROLLOUT])].groupby(["kind", "layer", "segment"], sort=False)["lift"].mean()
    )
    grids = {of: numbers[of].unstack("segment").reindex(columns=names) for of in (kind, ROLLOUT) if of in numbers}
    size = (min(9.5, max(7.0, 0.24 * len(names) + 1.5)), 2.9 + 0.3 * len(grids[kind]))
    figure, axes = plt.subplots(
        len(grids),
        1,
        figsize=size,
        sharex=True,
        squeeze=False,
        height_ratios=[len(grid) + 0.5 for grid in grids.values()],
    )
    for axis, (of, grid) in zip(axes[:, 0], grids.items(), strict=True):
        norm = PowerNorm(0.5, 0, np.nanmax(grid))  # a few places get most
        sns.heatmap(grid, cmap="cividis", norm=norm, ax=axis, cbar_kws={"label": "lift"}, xticklabels=True)
        axis.set(xlabel="", ylabel="layer" if of == kind else "", title=KINDS.get(of) or ROLLED[of])
        axis.set_yticks([]) if of == ROLLOUT else axis.tick_params(axis="y", rotation=0)
    axes[-1, 0].tick_params(axis="x", rotation=90, labelsize=8)
    mean = grids[kind].mean().drop(index="instruction", errors="ignore")
    headline(
        figure,
        f"{label(method)}: most attention for its length gets {mean.idxmax()}, {mean.max():.1f} times even attention",
        "Lift: attention that the part gets, over what it would get if all tokens looked alike at all they can see; "
        "mean over heads and users. Shades are by the square root.",
    )
    return figure, numbers.reset_index()
