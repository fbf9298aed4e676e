"""Pictures of what was distilled: agreement with the teacher, recency, two runs side by side, and P itself.

Each function gives the figure and the plotted numbers.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from delrec_kit.data.fonts import use_fonts_for
from delrec_kit.interpret.agreement import MEASURES
from delrec_kit.interpret.attention import answering
from delrec_kit.interpret.inside_plots import KINDS, heat_map
from delrec_kit.interpret.recency import distances, recency_curves
from delrec_kit.interpret.two_runs import COMPARED, HITS, LOOKS, surely
from delrec_kit.settings.methods import DISTILLED, base_of
from delrec_kit.settings.style import PALETTE, dot, filled_if, headline, label, look, styled

MOST = 20  # soft tokens or titles of a picture of vectors


@styled
def plot_agreement(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """The measures of an ``agreement_table``, a dot a variant, with its interval."""
    variants = list(dict.fromkeys(table["variant"]))
    figure, axes = plt.subplots(1, len(MEASURES), figsize=(11, 1.7 + 0.3 * len(variants)), sharey=True)
    for axis, (measure, name) in zip(axes, MEASURES.items(), strict=True):
        for row in table[table["measure"] == measure].itertuples():
            dot(axis, variants.index(row.variant), row.value, row.low, row.high, **look(row.variant))
        axis.set(xlabel=name)
    axes[0].set_yticks(range(len(variants)), [label(variant) for variant in variants])
    axes[0].set_ylim(len(variants) - 0.5, -0.5)
    top1 = table[table["measure"] == "top1"].set_index("variant")["value"]
    ours = next((name for name in top1.index if base_of(name) == DISTILLED), DISTILLED)
    shares = {"without P": top1.get("llm_zero_shot"), "with the distilled P": top1.get(ours)}
    said = [f"{value:.0%} {which}" for which, value in shares.items() if value is not None]
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
    how = "nearer" if last["low"] > 0 else "farther" if last["high"] < 0 else "not surely nearer"
    size = -1 if last["high"] < 0 else 1
    low, high = sorted([size * last["low"], size * last["high"]])
    named, first = (label(row["variant"]).removeprefix("LLM, ") for row in (last, apart.iloc[0]))
    return f"; {named} {how} than {first}, by {size * last['fall']:.2f} [{low:.2f}, {high:.2f}]"


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
        for run, dash in (("one", "-"), ("other", "--")):
            looks = look(name) | {"markerfacecolor": "white", "linestyle": dash}  # filled would say sure
            axes[1].plot(rows["step"], rows[run], label=f"{label(name)}, {names[run == 'other']}", **looks)
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


@styled
def plot_words(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """The words of ``nearest_words``: cosine of the first, the words beside, and what random steps reach."""
    use_fonts_for(table["word"])  # of a vocabulary, in any script
    first = table[table["rank"] == 0]
    nearer = int((first["cosine"] > first["chance"]).sum())
    moved = int((~first["began"]).sum())
    finding = (
        f"{nearer} of {len(first)} soft tokens lie nearer to a word than random steps as long as theirs lead; "
        f"{moved} of them left the word that they began as for another"
    )
    first = first if len(first) <= MOST else first.nlargest(MOST, "cosine").sort_values("token")
    place = range(len(first))
    figure, axis = plt.subplots(figsize=(7.0, 1.9 + 0.3 * len(first)))
    axis.barh(place, first["cosine"], color="white", edgecolor="black", hatch="//")
    near = table.groupby("token")["word"].agg("  ".join)
    names = [f"{near[token]}   P{token}" for token in first["token"]]
    for text in axis.set_yticks(place, names) and axis.get_yticklabels():
        text.set_parse_math(False)
    axis.plot(
        first["chance"], place, color=PALETTE[1], marker="|", markersize=16, markeredgewidth=2.5, linestyle="none",
    )  # fmt: skip
    axis.set(xlabel="cosine with the nearest word; P begins as words, at 1", xlim=(0, 1.02))
    axis.invert_yaxis()
    caption = (
        "Upright stroke: 95 % of random steps as long as the token's own end below. A near word is no translation: "
        "prompts that work alike can lie near different words (Khashabi et al. 2022)."
    )
    if len(first) < table["token"].nunique():
        caption += f" Shown are the {MOST} nearest to a word."
    headline(figure, finding, caption)
    return figure, table


@styled
def plot_cosines(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """The cosines of ``title_cosines``: titles (rows) by soft token (columns)."""
    grid = table.pivot(index="title", columns="token", values="cosine").loc[list(dict.fromkeys(table["title"]))]
    limit = table.groupby("token")["chance"].first()
    of = grid.shape[1]
    best, above = table["cosine"].max(), int((grid.max() > limit).sum())
    grid = grid.iloc[:MOST, :MOST]
    grid.columns = [f"P{token}" for token in grid.columns]
    figure, axis = plt.subplots(figsize=(7.0, 2.2 + 0.24 * len(grid)))
    heat_map(axis, grid, "cosine", ".2f")
    axis.set(xlabel="soft token", ylabel="")
    headline(
        figure,
        f"{above} of {of} soft tokens lie nearer to a title than random steps as long as theirs lead (best {best:.2f})",
        "Titles nearest to P, about the catalogue's mean. 95 % of random steps from where a token began stay below "
        f"{limit.min():.2f} to {limit.max():.2f}.",
    )
    return figure, table


@styled
def plot_growth(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """How P grew over the training: the distance of each soft token (rows) from where it began, over its length there,
    at each validation (columns); ``table``: step, token, length and moved."""
    grid = table.pivot(index="token", columns="step", values="moved")
    grid.index = [f"P{token}" for token in grid.index]
    figure, axis = plt.subplots(figsize=(7.0, min(9.0, 2.0 + 0.24 * len(grid))))
    heat_map(axis, grid, "distance moved, over first length", vmin=0)
    axis.set(xlabel="training step", ylabel="")
    axis.tick_params(axis="y", rotation=0)
    last = table[table["step"] == table["step"].max()]
    headline(
        figure,
        f"P ends {last['moved'].mean():.1f} times its first length away, {last['length'].mean():.1f} times as long",
        "One row a soft token; the last step is that of the last validation, not always the one kept.",
    )
    return figure, table


@styled
def plot_projection(table: pd.DataFrame, share: float) -> tuple[Figure, pd.DataFrame]:
    """The places of ``projection``: titles, P before training and after, an arrow a soft token."""
    figure, axis = plt.subplots(figsize=(7.0, 4.6))
    looks = {"title": (PALETTE[8], ".", 12), "untrained P": (PALETTE[4], "o", 30), "distilled P": (PALETTE[0], "*", 70)}
    for what, (colour, marker, size) in looks.items():
        rows = table[table["what"] == what]
        axis.scatter(rows["x"], rows["y"], c=colour, marker=marker, s=size, label=what, gid=what.replace(" ", "-"))
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
    finding = f"In this plane, training moved a soft token by {far / wide:.1f} times the titles' spread"
    headline(figure, finding, "The two directions in which titles' mean word vectors differ most.")
    figure.points = {what.replace(" ", "-"): table.loc[table["what"] == what, "name"].tolist() for what in looks}
    return figure, table
