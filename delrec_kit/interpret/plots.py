"""Pictures of what the prompts learned; each function gives the figure and the plotted numbers."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from delrec_kit.interpret.agreement import MEASURES
from delrec_kit.interpret.recency import distances
from delrec_kit.style import DASHES, HATCHES, MARKERS, PALETTE, headline, label, look

KINDS = {"encoder": "encoder: the prompt reads itself", "cross": "decoder: titles read the prompt"}

PIECES = {  # axis, hatch, in words
    "soft": ("soft token", "//", "soft tokens"),
    "history": ("title, steps back from the last", "", "titles of the history"),
    "candidates": ("candidate, place in the list", "..", "listed candidates"),
}
READING = {"encoder": "where the prompt reads itself", "cross": "where titles read it"}


def plot_attention(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Attention lift by segment (columns) and layer (rows), mean over heads, for each kind of attention."""
    kinds = [kind for kind in KINDS if kind in set(table["kind"])]
    lift = table.groupby(["kind", "layer", "segment"], sort=False)["lift"].mean()
    figure, axes = plt.subplots(1, len(kinds), figsize=(4.6 * len(kinds), 3.4), squeeze=False)
    for axis, kind in zip(axes[0], kinds, strict=True):
        grid = lift[kind].unstack("segment", sort=False)
        sns.heatmap(grid, annot=True, fmt=".1f", cmap="cividis", vmin=0, ax=axis, cbar_kws={"label": "lift"})
        axis.set(title=KINDS[kind], xlabel="prompt segment", ylabel="layer")
        axis.tick_params(axis="x", rotation=30)
    soft = table[(table["segment"] == "soft") & (table["kind"] == kinds[-1])]
    finding = "Attention by prompt segment"
    if len(soft):
        times, where = soft["lift"].mean(), READING[kinds[-1]]
        finding = f"A soft token gets {times:.1f} times the attention of an average prompt token, {where}"
    headline(figure, finding)
    return figure, lift.reset_index()


def plot_heads(table: pd.DataFrame, segment: str = "soft") -> tuple[Figure, pd.DataFrame]:
    """Share of attention that each head gives to one segment, layer by head."""
    kinds = [kind for kind in KINDS if kind in set(table["kind"])]
    chosen = table[table["segment"] == segment]
    figure, axes = plt.subplots(1, len(kinds), figsize=(4.6 * len(kinds), 3.0), squeeze=False)
    for axis, kind in zip(axes[0], kinds, strict=True):
        grid = chosen[chosen["kind"] == kind].pivot(index="layer", columns="head", values="mass")
        sns.heatmap(grid, annot=True, fmt=".2f", cmap="cividis", vmin=0, ax=axis, cbar_kws={"label": "share"})
        axis.set(title=KINDS[kind], xlabel="head", ylabel="layer")
    strongest = chosen.loc[chosen["mass"].idxmax()]
    headline(
        figure,
        f"Share of attention on the {segment} segment: most in {strongest['kind']} layer {strongest['layer']}, "
        f"head {strongest['head']} ({strongest['mass']:.0%})",
    )
    return figure, chosen


def plot_agreement(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Agreement with the teacher of the LLM without P, with an untrained and with the distilled P, with intervals."""
    variants = list(dict.fromkeys(table["variant"]))
    figure, axes = plt.subplots(1, len(MEASURES), figsize=(11, 3.4), sharey=True)
    for axis, (measure, name) in zip(axes, MEASURES.items(), strict=True):
        rows = table[table["measure"] == measure].set_index("variant").loc[variants]
        reach = np.abs(rows[["low", "high"]].to_numpy().T - rows["value"].to_numpy())
        axis.barh(range(len(rows)), rows["value"], xerr=reach, capsize=3, color="white", edgecolor="black")
        for bar, variant, hatch in zip(axis.patches, variants, HATCHES, strict=False):
            bar.set(facecolor=look(variant)["color"], hatch=hatch, alpha=0.75)
        axis.set(xlabel=name)
        axis.set_yticks(range(len(rows)), [label(v) for v in variants])
        axis.invert_yaxis() if axis is axes[0] else None
    top1 = table[table["measure"] == "top1"].set_index("variant")["value"]
    without, with_p = top1.get("llm_zero_shot"), top1.get("llm_distilled_prompt")
    headline(figure, f"Same first choice as the teacher: {without:.0%} without P, {with_p:.0%} with the distilled P")
    return figure, table


def plot_recency(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """The recency profiles of ``recency_table``, one line a ranker; its title has the distances."""
    figure, axis = plt.subplots(figsize=(7.0, 4.4))
    variants = list(dict.fromkeys(table["variant"]))
    for place, variant in enumerate(variants):
        rows = table[table["variant"] == variant]
        reach = np.abs(rows[["low", "high"]].to_numpy().T - rows["changed"].to_numpy())
        aside = rows["step"] + 0.08 * (place - (len(variants) - 1) / 2)  # so that no interval hides another
        axis.errorbar(aside, rows["changed"], yerr=reach, capsize=2, label=label(variant), **look(variant))
    apart = distances(table)[variants[1:]]
    said = ", ".join(f"{far:.2f} {label(name).removeprefix('LLM, ')}" for name, far in apart.items())
    axis.set(
        xlabel="item taken out of the history, steps back from its end",
        ylabel="users whose first choice changes",
        ylim=(0, None),
    )
    axis.set_xticks(sorted(set(table["step"])))
    axis.legend(loc="upper left", bbox_to_anchor=(0, -0.15), ncols=4, fontsize=9)
    headline(figure, f"Distance from the teacher's profile: {said}")
    return figure, table


def plot_deletion(curves: pd.DataFrame, table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """The deletion curves of ``deletion_curves``, mean over users with 95 % normal bands; ``table`` from
    ``faithfulness_table``."""
    numbers = curves.groupby(["explanation", "share"], sort=False)["fall"].agg(["mean", "sem"]).reset_index()
    figure, axis = plt.subplots(figsize=(7.0, 4.0))
    for place, (name, rows) in enumerate(numbers.groupby("explanation", sort=False)):
        colour = PALETTE[7 if name == "random" else place % 7]
        axis.plot(rows["share"], rows["mean"], label=name, color=colour, marker=MARKERS[place], linestyle=DASHES[place])
        band = 1.96 * rows["sem"]
        axis.fill_between(rows["share"], rows["mean"] - band, rows["mean"] + band, color=colour, alpha=0.15)
    axis.set(
        xlabel="share of the pieces taken out, most important first",
        ylabel="fall of the choice's log-probability, nats",
    )
    axis.legend(title="order of")
    best = table.loc[table["value"].idxmax()]
    finding = "finds" if best["faithful"] else "does not surely find"
    headline(
        figure,
        f"{best['explanation'].capitalize()} {finding} what the choice hangs on: {best['value']:+.2f} nats over random",
    )
    return figure, numbers


def plot_effects(effects: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Mean size of the leave-one-out effects by kind of piece and place: soft tokens, titles of the history from the
    last one back, candidates by place in the list."""
    back = effects.groupby(["user", "name"])["index"].transform("max") - effects["index"] + 1
    at = np.where(effects["name"] == "history", back, effects["index"] + 1)
    numbers = effects.assign(place=at, size=effects["effect"].abs())
    numbers = numbers.groupby(["name", "place"], sort=False)["size"].agg(["mean", "sem"]).reset_index()
    kinds = [kind for kind in PIECES if kind in set(numbers["name"])]
    figure, axes = plt.subplots(1, len(kinds), figsize=(3.2 * len(kinds), 3.4), sharey=True, squeeze=False)
    for axis, kind in zip(axes[0], kinds):
        rows = numbers[numbers["name"] == kind].sort_values("place")
        axis.bar(
            rows["place"],
            rows["mean"],
            yerr=1.96 * rows["sem"].fillna(0),
            capsize=2,
            color="white",
            edgecolor="black",
            hatch=PIECES[kind][1],
        )
        axis.set(xlabel=PIECES[kind][0])
    axes[0][0].set_ylabel("mean size of the effect, nats")
    mean = numbers.groupby("name")["mean"].mean()
    most = mean.idxmax()
    headline(figure, f"The choice hangs most on {PIECES[most][2]}: {mean[most]:.2f} nats each when left out alone")
    return figure, numbers


def plot_words(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """The words of ``nearest_words``: cosine of the first, the words beside, and what random directions reach."""
    first = table[table["rank"] == 0]
    figure, axis = plt.subplots(figsize=(7.0, 1.6 + 0.3 * len(first)))
    axis.barh(first["token"], first["cosine"], color="white", edgecolor="black", hatch="//")
    near = table.groupby("token")["word"].agg("  ".join)
    axis.set_yticks(first["token"], [f"{words}   P{token + 1}" for token, words in near.items()])
    chance = first["chance"].iloc[0]
    axis.axvline(chance, color=PALETTE[1], linestyle="--", marker="", label="95 % of random directions stay below")
    axis.set(xlabel="cosine with the nearest word; P starts as words, at 1", xlim=(0, 1.02))
    axis.invert_yaxis()
    axis.legend(loc="upper left", bbox_to_anchor=(0, -0.25 - 0.6 / len(first)))
    nearer = int((first["cosine"] > chance).sum())
    finding = f"{nearer} of {len(first)} soft tokens lie nearer to a word than random directions do"
    headline(figure, finding)
    return figure, table


def plot_projection(table: pd.DataFrame, share: float) -> tuple[Figure, pd.DataFrame]:
    """The places of ``projection``: titles, P before training and after, an arrow a soft token."""
    figure, axis = plt.subplots(figsize=(7.0, 4.6))
    looks = {"title": (PALETTE[8], ".", 12), "untrained P": (PALETTE[4], "o", 30), "distilled P": (PALETTE[0], "*", 70)}
    for what, (colour, marker, size) in looks.items():
        rows = table[table["what"] == what]
        axis.scatter(rows["x"], rows["y"], c=colour, marker=marker, s=size, label=what)
    before, after = (table[table["what"] == f"{kind} P"][["x", "y"]].to_numpy() for kind in ("untrained", "distilled"))
    for start, stop in zip(before, after, strict=True):
        axis.annotate("", stop, start, arrowprops={"arrowstyle": "->", "color": PALETTE[8], "linewidth": 0.8})
    far = np.linalg.norm(after - before, axis=1).mean()
    wide = np.linalg.norm(table[table["what"] == "title"][["x", "y"]].to_numpy(), axis=1).mean()
    axis.set(
        xlabel=f"first direction in which titles differ (the two hold {share:.0%} of what tells them apart)",
        ylabel="second direction",
    )
    axis.legend(loc="upper left", bbox_to_anchor=(0, -0.13), ncols=3)
    finding = f"Training moved a soft token by {far / wide:.1f} times the titles' spread"
    headline(figure, finding)
    return figure, table
