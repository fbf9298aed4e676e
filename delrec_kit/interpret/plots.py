"""Pictures of what was distilled, and of two runs side by side.

Each function gives the figure and the plotted numbers.
"""

from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from delrec_kit.interpret.agreement import MEASURES
from delrec_kit.interpret.attention import answering
from delrec_kit.interpret.attention_plots import KINDS
from delrec_kit.interpret.recency import distances, recency_curves
from delrec_kit.interpret.two_runs import COMPARED, HITS, LOOKS, surely
from delrec_kit.settings.methods import DISTILLED
from delrec_kit.settings.style import HATCHES, PALETTE, dot, filled_if, headline, label, look, styled


@styled
def plot_agreement(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Agreement with the teacher of the LLM without P, with an untrained and with the distilled P, with intervals."""
    variants = list(dict.fromkeys(table["variant"]))
    figure, axes = plt.subplots(1, len(MEASURES), figsize=(11, 3.4), sharey=True)
    for axis, (measure, name) in zip(axes, MEASURES.items(), strict=True):
        rows = table[table["measure"] == measure].set_index("variant").loc[variants]
        reach = np.abs(rows[["low", "high"]].to_numpy().T - rows["value"].to_numpy())
        axis.barh(range(len(rows)), rows["value"], xerr=reach, capsize=3, color="white", edgecolor="black")
        for bar, variant, hatch in zip(axis.patches, variants, cycle(HATCHES)):
            bar.set(facecolor=look(variant)["color"], hatch=hatch, alpha=0.75)
        axis.set(xlabel=name)
        axis.set_yticks(range(len(rows)), [label(v) for v in variants])
        axis.invert_yaxis() if axis is axes[0] else None
    top1 = table[table["measure"] == "top1"].set_index("variant")["value"]
    told = {"without P": top1.get("llm_zero_shot"), "with the distilled P": top1.get(DISTILLED)}
    said = [f"{value:.0%} {which}" for which, value in told.items() if value is not None]
    said = said or [f"{top1.max():.0%} {label(top1.idxmax())}"]
    finding = f"Same first choice as the teacher: {', '.join(said)}"
    headline(figure, finding, "Mean over test users with 95 % bootstrap intervals; higher is nearer, but for KL.")
    return figure, table


@styled
def plot_recency(table: pd.DataFrame, resamples: int = 1000, seed: int = 0) -> tuple[Figure, pd.DataFrame]:
    """The recency profiles of a ``recency_table``, one line a ranker; its title has the distances."""
    curves = recency_curves(table, resamples, seed)
    figure, axis = plt.subplots(figsize=(7.0, 4.4))
    variants = list(dict.fromkeys(curves["variant"]))
    for place, variant in enumerate(variants):
        rows = curves[curves["variant"] == variant]
        reach = np.abs(rows[["low", "high"]].to_numpy().T - rows["changed"].to_numpy())
        aside = rows["step"] + 0.08 * (place - (len(variants) - 1) / 2)  # so that no interval hides another
        axis.errorbar(aside, rows["changed"], yerr=reach, capsize=2, label=label(variant), **look(variant))
    apart = distances(table, resamples, seed)
    said = [f"{x.distance:.2f} {label(x.variant).removeprefix('LLM, ')}" for x in apart.itertuples()]
    axis.set(
        xlabel="item masked (a random one in its place), steps back from the end of the history",
        ylabel="users whose first choice changes",
        ylim=(0, None),
    )
    axis.set_xticks(sorted(set(curves["step"])))
    axis.legend(loc="upper left", bbox_to_anchor=(0, -0.15), ncols=4, fontsize=9)
    headline(
        figure,
        f"Distance from the teacher's profile: {', '.join(said)}{_nearer(apart)}",
        "Users whose first choice changes when a random title stands in place of the one that many steps back, with "
        f"95 % intervals. Distance: mean over steps; {apart['chance'].mean():.2f} would be chance in so few users.",
    )
    return figure, curves


def _nearer(apart: pd.DataFrame) -> str:
    """Of ``distances``: whether the last variant is nearer than the first, in the same users."""
    if len(apart) < 2:
        return ""
    last = apart.iloc[-1]
    how = "nearer by" if last["low"] > 0 else "farther by" if last["high"] < 0 else "not surely nearer, by"
    size = -1 if last["high"] < 0 else 1
    low, high = sorted([size * last["low"], size * last["high"]])
    return f"; {label(last['variant']).removeprefix('LLM, ')} {how} {size * last['fall']:.2f} [{low:.2f}, {high:.2f}]"


@styled
def plot_two_runs(table: pd.DataFrame, names: tuple[str, str]) -> tuple[Figure, pd.DataFrame]:
    """``two_runs``: differences in HR@1, the recency profiles of both, attention lift by segment where the answer is
    made."""
    hits, profile = (table[table["what"] == what] for what in (HITS, "recency"))
    kind = answering(what.removeprefix(LOOKS) for what in table["what"])
    lift = table[table["what"] == LOOKS + kind]
    size = (11.0, 3.2 + 0.26 * max(len(hits), 8))
    figure, axes = plt.subplots(1, 3, figsize=size)
    sure = surely(hits)
    for place, (row, certain) in enumerate(zip(hits.itertuples(), sure, strict=True)):
        dot(axes[0], place, row.difference, row.low, row.high, **filled_if(certain))
    axes[0].axvline(0, color=PALETTE[8], linewidth=1, linestyle="-", marker="")
    axes[0].set_yticks(range(len(hits)), [label(name) for name in hits["name"]])
    axes[0].invert_yaxis()
    axes[0].set(title="HR@1", xlabel=f"{names[1]} minus {names[0]}")
    for name, rows in profile.groupby("name", sort=False):
        for run, dash in zip(("one", "other"), ("-", "--"), strict=True):
            said = f"{label(name)}, {names[run == 'other']}"
            face = {} if run == "one" else {"markerfacecolor": "white"}
            axes[1].plot(rows["step"], rows[run], linestyle=dash, label=said, **look(name), **face)
    axes[1].set(title="recency profile", xlabel="steps back", ylabel="users whose choice changes", ylim=(0, None))
    below = {"loc": "upper left", "bbox_to_anchor": (-0.1, -0.75 / (size[1] - 1.6)), "fontsize": 8}
    if len(profile):
        axes[1].legend(**below)
    place = np.arange(len(lift))
    for run, shift, hatch in (("one", -0.2, ""), ("other", 0.2, "//")):
        axes[2].barh(
            place + shift, lift[run], 0.38, color="white", edgecolor="black", hatch=hatch, label=names[run == "other"]
        )
    far = [f"{name}{' *' * certain}" for name, certain in zip(lift["name"], surely(lift), strict=True)]
    axes[2].set_yticks(place, far)
    axes[2].invert_yaxis()
    axes[2].set(title="attention lift", xlabel="times even attention")
    axes[2].legend(**below)
    ours = hits[hits["name"] == COMPARED[1]]
    of_p = f"; distilled P {ours['difference'].iloc[0]:+.3f}" if len(ours) else ""
    headline(
        figure,
        f"{names[1]} against {names[0]}: {int(sure.sum())} of {len(hits)} methods surely differ in HR@1{of_p}",
        "Differences with 95 % bootstrap intervals over users. Filled or starred: Holm's p below .05 (same users) or "
        f"the interval excludes zero (other users). Attention: where {KINDS[kind]}.",
    )
    return figure, table
