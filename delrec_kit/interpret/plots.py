"""Pictures of what the prompts learned; each function gives the figure and the plotted numbers."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from delrec_kit.interpret.agreement import MEASURES
from delrec_kit.interpret.recency import distances, recency_curves
from delrec_kit.interpret.two_runs import COMPARED
from delrec_kit.style import DASHES, HATCHES, MARKERS, PALETTE, headline, label, look

KINDS = {"encoder": "encoder: the prompt reads itself", "cross": "decoder: titles read the prompt"}

PIECES = {  # axis, hatch
    "soft": ("soft token", "//"),
    "history": ("title, steps back from the last", ""),
    "candidates": ("candidate, place in the list", ".."),
}
TESTS = {  # panel title, axes
    "deletion": (
        "deletion",
        "share of the pieces taken out, most important first",
        "fall of the log-probability, nats",
    ),
    "insertion": (
        "insertion",
        "share of the pieces put back, most important first",
        "rise of the log-probability, nats",
    ),
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
    headline(figure, finding, "Lift: attention that a token gets, over that of an average token of the prompt.")
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
        "Share of each head's attention, mean over users.",
    )
    return figure, chosen


def plot_places(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Attention lift of each soft token, title of the history and candidate (columns) by layer (rows), mean over heads,
    where the answer is made; ``table`` from ``attention_mass`` by place."""
    kind = "cross" if "cross" in set(table["kind"]) else "encoder"
    chosen = table[table["kind"] == kind]
    grid = chosen.groupby(["layer", "segment"], sort=False)["lift"].mean().unstack("segment", sort=False)
    figure, axis = plt.subplots(figsize=(max(7.0, 0.32 * grid.shape[1] + 1.5), 2.2 + 0.3 * len(grid)))
    sns.heatmap(grid, cmap="cividis", vmin=0, ax=axis, cbar_kws={"label": "lift"}, xticklabels=True)
    axis.set(xlabel="part of the prompt", ylabel="layer")
    axis.tick_params(axis="x", rotation=90)
    mean = grid.mean().drop(index="instruction", errors="ignore")
    caption = "Lift: attention that a token of the part gets, over that of an average token; mean over heads and users."
    headline(
        figure, f"Most attention for its length gets: {mean.idxmax()}, {mean.max():.1f} times the average", caption
    )
    return figure, grid.reset_index().melt("layer", value_name="lift")


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
    told = {"without P": top1.get("llm_zero_shot"), "with the distilled P": top1.get("llm_distilled_prompt")}
    said = [f"{value:.0%} {which}" for which, value in told.items() if value is not None]
    said = said or [f"{top1.max():.0%} {label(top1.idxmax())}"]
    finding = f"Same first choice as the teacher: {', '.join(said)}"
    headline(figure, finding, "Mean over test users with 95 % bootstrap intervals; higher is nearer, but for KL.")
    return figure, table


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
    apart = distances(table, resamples, seed).itertuples()
    said = [f"{x.distance:.2f} [{x.low:.2f}, {x.high:.2f}] {label(x.variant).removeprefix('LLM, ')}" for x in apart]
    axis.set(
        xlabel="item masked (a random one in its place), steps back from the end of the history",
        ylabel="users whose first choice changes",
        ylim=(0, None),
    )
    axis.set_xticks(sorted(set(curves["step"])))
    axis.legend(loc="upper left", bbox_to_anchor=(0, -0.15), ncols=4, fontsize=9)
    finding = f"Distance from the teacher's profile: {', '.join(said)}"
    headline(
        figure,
        finding,
        "Users whose first choice changes when a random title stands in place of the one that many steps back.",
    )
    return figure, curves


def plot_faithfulness(
    curves: Mapping[str, pd.DataFrame], tables: Mapping[str, pd.DataFrame]
) -> tuple[Figure, pd.DataFrame]:
    """Deletion and insertion curves, mean over users with 95 % normal bands; ``tables`` from ``faithfulness_table``."""
    numbers = pd.concat(
        of.groupby(["explanation", "share"], sort=False)["nats"].agg(["mean", "sem"]).reset_index().assign(test=test)
        for test, of in curves.items()
    )
    figure, axes = plt.subplots(1, len(curves), figsize=(9.5, 4.4), squeeze=False)
    for axis, test in zip(axes[0], curves, strict=True):
        for place, (name, rows) in enumerate(numbers[numbers["test"] == test].groupby("explanation", sort=False)):
            colour, dash = PALETTE[7 if name == "random" else place % 7], DASHES[place]
            axis.plot(rows["share"], rows["mean"], label=name, color=colour, marker=MARKERS[place], linestyle=dash)
            band = 1.96 * rows["sem"]
            axis.fill_between(rows["share"], rows["mean"] - band, rows["mean"] + band, color=colour, alpha=0.15)
        axis.set(title=TESTS[test][0], xlabel=TESTS[test][1], ylabel=TESTS[test][2])
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower left", ncols=5, title="order of")
    table = tables["deletion"]
    best = table.loc[table["value"].idxmax()]
    finding = "finds" if best["faithful"] else "does not surely find"
    headline(
        figure,
        f"{best['explanation'].capitalize()} {finding} what the choice hangs on: {best['value']:+.2f} nats over random",
        "Above the random order an explanation knows what matters. Bands: 95 % over users.",
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
    top = numbers.loc[numbers["mean"].idxmax()]
    finding = (
        f"The choice hangs most on {PIECES[top['name']][0].partition(',')[0]} {top['place']:g}: {top['mean']:.2f} nats"
    )
    headline(figure, finding, "Mean size of the change in the choice's log-probability, 95 % normal intervals.")
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
    figure.legend(loc="outside lower left")
    nearer = int((first["cosine"] > chance).sum())
    finding = f"{nearer} of {len(first)} soft tokens lie nearer to a word than random directions do"
    headline(figure, finding, "A near word is no translation: prompts that work alike can lie near different words.")
    return figure, table


def plot_cosines(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """The cosines of ``title_cosines``: titles (rows) by soft token (columns)."""
    grid = table.pivot(index="title", columns="token", values="cosine").loc[list(dict.fromkeys(table["title"]))]
    grid.columns = [f"P{token + 1}" for token in grid.columns]
    figure, axis = plt.subplots(figsize=(7.0, 1.8 + 0.24 * len(grid)))
    sns.heatmap(
        grid, annot=True, fmt=".2f", cmap="cividis", ax=axis, cbar_kws={"label": "cosine"}, annot_kws={"fontsize": 7}
    )
    axis.set(xlabel="soft token", ylabel="")
    chance, best = table["chance"].iloc[0], table["cosine"].max()
    above = int((table.groupby("token")["cosine"].max() > chance).sum())
    headline(
        figure,
        f"{above} of {grid.shape[1]} soft tokens lie nearer to a title than random directions do (best {best:.2f})",
        f"Titles nearest to P, about the catalogue's mean. 95 % of random directions stay below {chance:.2f}.",
    )
    return figure, table


def plot_growth(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """How P grew over the training: the distance of each soft token from where it began, over its length there."""
    figure, axis = plt.subplots(figsize=(7.0, 3.8))
    for token, rows in table.groupby("token"):
        style = {"color": PALETTE[token % 9], "marker": MARKERS[token % 9], "linestyle": DASHES[token % 9]}
        axis.plot(rows["step"], rows["moved"], label=f"P{token + 1}", **style)
    last = table[table["step"] == table["step"].max()]
    axis.set(xlabel="training step", ylabel="distance moved, over first length", ylim=(0, None))
    axis.legend(loc="upper left", bbox_to_anchor=(0, -0.17), ncols=6, fontsize=8)
    headline(
        figure,
        f"P ends {last['moved'].mean():.1f} times its first length away, {last['length'].mean():.1f} times as long",
        "One line a soft token; the last step is that of the last validation, not always the one kept.",
    )
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
    headline(figure, finding, "The two directions in which titles' mean word vectors differ most.")
    return figure, table


def plot_ranking(
    table: pd.DataFrame, target: int | None = None, before: pd.DataFrame | None = None
) -> tuple[Figure, pd.DataFrame]:
    """Teacher's ranks (left) and the language model's (right) of ``ByHand.ranking``, a line a candidate; the item that
    came next stands out. ``before``: an earlier ranking; what has moved since is marked with by how much."""
    figure, axis = plt.subplots(figsize=(8.0, 1.4 + 0.27 * len(table)))
    was = {} if before is None else dict(zip(before["item"], before["llm_rank"], strict=True))
    left, right = (table[column].rank(method="first").to_numpy() for column in ("teacher_rank", "llm_rank"))
    for row, start, stop in zip(table.itertuples(), left, right, strict=True):
        true = row.item == target
        colour, width = (PALETTE[1], 2.5) if true else (PALETTE[8], 1.0)
        axis.plot([0, 1], [start, stop], color=colour, linewidth=width, marker="D" if true else "o", linestyle="-")
        weight = "bold" if true else "normal"
        step = was.get(row.item, row.llm_rank) - row.llm_rank
        moved = f"  {'▲' if step > 0 else '▼'}{abs(step):g}" if step else ""
        axis.text(-0.03, start, f"{row.title}  {start:.0f}", ha="right", va="center", fontweight=weight, fontsize=9)
        said = f"{stop:.0f}  {row.title}  {row.chance:.0%}{moved}"
        axis.text(1.03, stop, said, ha="left", va="center", fontweight=weight, fontsize=9)
    axis.set(xlim=(-1.6, 2.8), ylim=(len(table) + 0.6, -0.2))
    axis.text(0, 0.1, "teacher", ha="right", fontweight="bold")
    axis.text(1, 0.1, "language model", ha="left", fontweight="bold")
    axis.axis("off")
    first = [table.loc[table[column].idxmin(), "title"] for column in ("teacher_rank", "llm_rank")]
    same = "Both put first" if first[0] == first[1] else f"The teacher puts first {first[0]}, the language model"
    caption = "Ranks of the same candidates; percentages are the model's softmax; bold is what came next."
    headline(figure, f"{same} {first[1]}", caption)
    return figure, table


def plot_two_runs(table: pd.DataFrame, names: tuple[str, str]) -> tuple[Figure, pd.DataFrame]:
    """``two_runs``: differences in HR@1, the recency profiles of both, attention lift by segment."""
    hits, profile, lift = (table[table["what"] == what] for what in ("HR@1", "recency", "attention"))
    figure, axes = plt.subplots(1, 3, figsize=(11.5, 1.8 + 0.26 * max(len(hits), 8)))
    reach = np.abs(hits[["low", "high"]].to_numpy().T - hits["difference"].to_numpy())
    axes[0].errorbar(hits["difference"], range(len(hits)), xerr=reach, fmt="o", color=PALETTE[0], capsize=2)
    axes[0].axvline(0, color=PALETTE[8], linewidth=1, linestyle="-", marker="")
    axes[0].set_yticks(range(len(hits)), [label(name) for name in hits["name"]])
    axes[0].invert_yaxis()
    axes[0].set(title="HR@1", xlabel=f"{names[1]} minus {names[0]}")
    for name, rows in profile.groupby("name", sort=False):
        for run, dash in zip(("one", "other"), ("-", "--"), strict=True):
            said = f"{label(name)}, {names[run == 'other']}"
            axes[1].plot(rows["step"], rows[run], linestyle=dash, label=said, **look(name))
    axes[1].set(title="recency profile", xlabel="steps back", ylabel="users whose choice changes", ylim=(0, None))
    if len(profile):
        axes[1].legend(loc="upper left", bbox_to_anchor=(-0.1, -0.2), fontsize=8)
    place = np.arange(len(lift))
    for run, shift, hatch in (("one", -0.2, ""), ("other", 0.2, "//")):
        axes[2].barh(
            place + shift, lift[run], 0.38, color="white", edgecolor="black", hatch=hatch, label=names[run == "other"]
        )
    axes[2].set_yticks(place, lift["name"])
    axes[2].invert_yaxis()
    axes[2].set(title="attention lift", xlabel="times an average token")
    axes[2].legend(loc="upper left", bbox_to_anchor=(-0.1, -0.2), fontsize=8)
    sure = hits[(hits["low"] > 0) | (hits["high"] < 0)]
    ours = hits[hits["name"] == COMPARED[1]]
    of_p = f"; distilled P {ours['difference'].iloc[0]:+.3f}" if len(ours) else ""
    headline(
        figure,
        f"{names[1]} against {names[0]}: {len(sure)} of {len(hits)} methods surely differ in HR@1{of_p}",
        "Differences with 95 % bootstrap intervals over users; recency profiles and attention of both runs.",
    )
    return figure, table
