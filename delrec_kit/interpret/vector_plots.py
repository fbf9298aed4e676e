"""Pictures of the soft tokens themselves, among words and titles.

Each function gives the figure and the plotted numbers.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from delrec_kit.interpret.attention_plots import ANNOTATED
from delrec_kit.settings.style import DASHES, MARKERS, PALETTE, headline, styled

MOST = 20  # soft tokens or titles of a picture of vectors
LINES = 18  # soft tokens that have a line of their own


@styled
def plot_words(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """The words of ``nearest_words``: cosine of the first, the words beside, and what random steps reach."""
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
    names = [f"{near[token]}   P{token + 1}" for token in first["token"]]
    for text in axis.set_yticks(place, names) and axis.get_yticklabels():
        text.set_parse_math(False)
    axis.plot(
        first["chance"], place, color=PALETTE[1], marker="|", markersize=16, markeredgewidth=2.5, linestyle="none",
    )  # fmt: skip
    axis.set(xlabel="cosine with the nearest word; P begins as words, at 1", xlim=(0, 1.02))
    axis.invert_yaxis()
    caption = (
        "Orange stroke: 95 % of random steps as long as the token's own end below. A near word is no translation: "
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
    grid.columns = [f"P{token + 1}" for token in grid.columns]
    figure, axis = plt.subplots(figsize=(7.0, 2.2 + 0.24 * len(grid)))
    told = grid.shape[1] <= ANNOTATED
    sns.heatmap(
        grid, annot=told, fmt=".2f", cmap="cividis", ax=axis, cbar_kws={"label": "cosine"}, annot_kws={"fontsize": 7}
    )
    axis.set(xlabel="soft token", ylabel="")
    for text in axis.get_yticklabels():
        text.set_parse_math(False)
    headline(
        figure,
        f"{above} of {of} soft tokens lie nearer to a title than random steps as long as theirs lead (best {best:.2f})",
        "Titles nearest to P, about the catalogue's mean. 95 % of random steps from where a token began stay below "
        f"{limit.min():.2f} to {limit.max():.2f}.",
    )
    return figure, table


@styled
def plot_growth(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """How P grew over the training: the distance of each soft token from where it began, over its length there."""
    figure, axis = plt.subplots(figsize=(7.0, 4.2))
    last = table[table["step"] == table["step"].max()]
    tokens = last.sort_values("moved", ascending=False)["token"]
    named = set(tokens if len(tokens) <= LINES else tokens[:LINES])
    for token, rows in table.groupby("token"):
        again = token // 9  # the second nine have other markers and dashes with the same colours
        style = {"color": PALETTE[token % 9], "marker": MARKERS[(token + again) % 9], "linestyle": DASHES[token % 9]}
        style["markerfacecolor"] = "white" if again % 2 else PALETTE[token % 9]
        faint = {"color": "#bbbbbb", "linewidth": 0.7, "marker": "", "linestyle": "-"}
        axis.plot(rows["step"], rows["moved"], **({"label": f"P{token + 1}", **style} if token in named else faint))
    axis.set(xlabel="training step", ylabel="distance moved, over first length", ylim=(0, None))
    axis.legend(loc="upper left", bbox_to_anchor=(0, -0.17), ncols=6, fontsize=8)
    rest = f" Named are the {LINES} that moved most." if len(tokens) > LINES else ""
    headline(
        figure,
        f"P ends {last['moved'].mean():.1f} times its first length away, {last['length'].mean():.1f} times as long",
        f"One line a soft token; the last step is that of the last validation, not always the one kept.{rest}",
    )
    return figure, table


@styled
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
    finding = f"In this plane, training moved a soft token by {far / wide:.1f} times the titles' spread"
    headline(figure, finding, "The two directions in which titles' mean word vectors differ most.")
    return figure, table
