"""The picture of one user's rankings.

Each function gives the figure and the plotted numbers.
"""

from collections.abc import Mapping
from textwrap import shorten

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from delrec_kit.settings.style import PALETTE, headline, label, styled

LONGEST = 40  # letters of a title


@styled
def plot_ranking(
    table: pd.DataFrame, target: int | None = None, before: pd.DataFrame | None = None, method: str = ""
) -> tuple[Figure, pd.DataFrame]:
    """Teacher's ranks (left) and the language model's (right) of ``ByHand.ranking``, a line a candidate; the item that
    came next stands out. Tied candidates share a rank, marked "=". ``before``: an earlier ranking; what has moved since
    is marked with by how much. method: whose ranking."""
    figure, axis = plt.subplots(figsize=(8.0, 1.7 + 0.27 * len(table)))
    was = {} if before is None else dict(zip(before["item"], before["llm_rank"], strict=True))
    left, right = (table[column].rank(method="first").to_numpy() for column in ("teacher_rank", "llm_rank"))
    tied = [dict(table[column].value_counts()) for column in ("teacher_rank", "llm_rank")]
    texts = []
    for row, start, stop in zip(table.itertuples(), left, right, strict=True):
        true = row.item == target
        colour, width = (PALETTE[1], 2.5) if true else (PALETTE[8], 1.0)
        axis.plot([0, 1], [start, stop], color=colour, linewidth=width, marker="D" if true else "o", linestyle="-")
        looks = {"va": "center", "fontweight": "bold" if true else "normal", "fontsize": 9}
        step = was.get(row.item, row.llm_rank) - row.llm_rank
        moved = f"  {'▲' if step > 0 else '▼'}{abs(step):g}" if step else ""
        ranks = [_rank(rank, of) for rank, of in zip((row.teacher_rank, row.llm_rank), tied, strict=True)]
        title = shorten(row.title, LONGEST, placeholder="…")
        texts.append(axis.text(-0.06, start, f"{title}  {ranks[0]}", ha="right", **looks))
        texts.append(axis.text(1.06, stop, f"{ranks[1]}  {title}  {row.chance:.0%}{moved}", ha="left", **looks))
    for text in texts:
        text.set_parse_math(False)
    axis.set(xlim=(-1.6, 2.8), ylim=(len(table) + 0.6, -0.2))
    axis.text(0, 0.1, "teacher", ha="right", fontweight="bold")
    axis.text(1, 0.1, label(method) if method else "language model", ha="left", fontweight="bold")
    axis.axis("off")
    caption = "Ranks of the same candidates; percentages are the model's softmax; bold is what came next; = is a tie."
    headline(figure, _first_choices(table), caption)
    return figure, table


def _rank(rank: float, tied: Mapping[float, int]) -> str:
    """The best place of a rank that ``tied[rank]`` candidates share."""
    alike = tied[rank]
    return f"{rank - (alike - 1) / 2:g}{'=' if alike > 1 else ''}"


def _first_choices(table: pd.DataFrame) -> str:
    first = [table[table[column] == table[column].min()] for column in ("teacher_rank", "llm_rank")]
    said = [of["title"].iloc[0] if len(of) == 1 else f"{len(of)} candidates alike" for of in first]
    if len(first[0]) == len(first[1]) == 1 and first[0].index.equals(first[1].index):
        return f"Both put first {said[1]}"
    return f"The teacher puts first {said[0]}, the language model {said[1]}"
