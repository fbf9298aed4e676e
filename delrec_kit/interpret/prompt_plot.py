"""One person's prompt as a picture: what each explanation says of each piece, with and without P side by side."""

from collections.abc import Sequence
from textwrap import shorten

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from delrec_kit.interpret.by_hand import ATTENTION, EFFECT, GRADIENTS, ROLLOUT
from delrec_kit.interpret.by_piece import Side
from delrec_kit.interpret.view import place_of
from delrec_kit.settings.style import PALETTE, headline, styled

LONGEST = 34  # letters of a title
LOOKS = (("o", PALETTE[0], PALETTE[0]), ("s", PALETTE[1], "white"))  # marker, edge and face of the sides
UNITS = {EFFECT: "nats", GRADIENTS: "nats", ROLLOUT: "share", ATTENTION: "share"}


def prompt_table(sides: Sequence[Side]) -> pd.DataFrame:
    """method (whose), piece, text, explanation and value: of the first choice of each side, for each piece."""
    rows = []
    for side in sides:
        looked = side.answering.mean((0, 1))[min(side.first, side.answering.shape[2] - 1)]
        rolled = side.rollout_answering[min(side.first, len(side.rollout_answering) - 1)]
        values = {EFFECT: side.effect[side.first], GRADIENTS: side.gradients, ROLLOUT: rolled, ATTENTION: looked}
        for at, (piece, text) in enumerate(zip(place_of(side), side.texts(), strict=True)):
            rows += [(side.name, piece, text, name, float(each[at])) for name, each in values.items()]
    return pd.DataFrame(rows, columns=["method", "piece", "text", "explanation", "value"])


@styled
def plot_prompt(sides: Sequence[Side]) -> tuple[Figure, pd.DataFrame]:
    """A row a piece, a panel an explanation, a dot a side."""
    table = prompt_table(sides)
    pieces = table.drop_duplicates("piece")
    places = {piece: row for row, piece in enumerate(pieces["piece"])}
    figure, axes = plt.subplots(1, len(UNITS), figsize=(12.0, 2.2 + 0.21 * len(places)), sharey=True)
    for axis, (name, unit) in zip(axes, UNITS.items(), strict=True):
        for side, (marker, edge, face) in zip(sides, LOOKS, strict=False):
            own = table[(table["explanation"] == name) & (table["method"] == side.name)]
            looks = {"linestyle": "none", "marker": marker, "color": edge, "markerfacecolor": face, "markersize": 6}
            axis.plot(own["value"], own["piece"].map(places), label=f"{side.name}: {_choice(side)}", **looks)
        axis.axvline(0, color="black", linewidth=0.8, linestyle="-", marker="")
        axis.set(title=name, xlabel=unit)
        axis.tick_params(axis="x", labelsize=8)
    texts = [_row(*row) for row in zip(pieces["piece"], pieces["text"], strict=True)]
    axes[0].set_yticks(range(len(texts)), texts, fontsize=8)
    axes[0].set_ylim(len(texts) - 0.5, -0.5)
    for text in axes[0].get_yticklabels():
        text.set_parse_math(False)  # dollars of a title are dollars
    legend = figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", fontsize=8, title="chooses")
    for text in legend.get_texts():
        text.set_parse_math(False)
    own = sides[0]
    most = int(own.effect[own.first].argmax())
    largest = _row(place_of(own)[most], own.texts()[most])
    finding = f"{own.name} chose {_choice(own)}: the largest single effect is of {largest}"
    caption = (
        "Leaving out and gradients: of the first choice's log-probability. Attention: the mean over layers and heads."
    )
    headline(figure, finding, caption)
    return figure, table


def _choice(side: Side) -> str:
    return shorten(side.answers[side.first][0], LONGEST, placeholder="…")


def _row(piece: str, text: str) -> str:
    return piece if piece == text or not text else f"{shorten(text, LONGEST, placeholder='…')} ({piece})"
