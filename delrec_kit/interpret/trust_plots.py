"""Pictures of what a choice hangs on, and of whether explanations find it.

Each function gives the figure and the plotted numbers.
"""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from delrec_kit.interpret.faithfulness import KIND, RANDOM, YARDSTICK
from delrec_kit.settings.methods import DISTILLED
from delrec_kit.settings.style import DASHES, MARKERS, PALETTE, headline, label, styled

PIECES = {  # axis, hatch
    "soft": ("soft token", "//"),
    "history": ("title, steps back from the last", ""),
    "teacher": ("suggestion of the teacher, place in the list", "xx"),
    "candidates": ("candidate, place in the list", ".."),
}
PLACED = {"soft": "P{}", "history": "title {} back", "teacher": "suggestion {}", "candidates": "candidate {}"}
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


@styled
def plot_effects(effects: pd.DataFrame, method: str = DISTILLED) -> tuple[Figure, pd.DataFrame]:
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
    piece = PLACED[top["name"]].format(int(top["place"]))
    finding = f"{label(method)}: the choice changes most without {piece}, by {top['mean']:.2f} nats"
    headline(figure, finding, "Mean size of the change in the choice's log-probability, 95 % normal intervals.")
    return figure, numbers


@styled
def plot_faithfulness(
    curves: Mapping[str, pd.DataFrame], tables: Mapping[str, pd.DataFrame], method: str = DISTILLED
) -> tuple[Figure, pd.DataFrame]:
    """Deletion and insertion curves, mean over users with 95 % normal bands; ``tables`` from ``faithfulness_table``."""
    numbers = pd.concat(
        of.groupby(["explanation", "share"], sort=False)["nats"].agg(["mean", "sem"]).reset_index().assign(test=test)
        for test, of in curves.items()
    )
    figure, axes = plt.subplots(1, len(curves), figsize=(9.5, 4.4), squeeze=False)
    for axis, test in zip(axes[0], curves, strict=True):
        for place, (name, rows) in enumerate(numbers[numbers["test"] == test].groupby("explanation", sort=False)):
            colour, dash = PALETTE[7 if name == RANDOM else place % 7], DASHES[place]
            axis.plot(rows["share"], rows["mean"], label=name, color=colour, marker=MARKERS[place], linestyle=dash)
            band = 1.96 * rows["sem"]
            axis.fill_between(rows["share"], rows["mean"] - band, rows["mean"] + band, color=colour, alpha=0.15)
        axis.set(title=TESTS[test][0], xlabel=TESTS[test][1], ylabel=TESTS[test][2])
    axes[0][0].legend(title="order of", fontsize=8)
    headline(
        figure,
        f"{label(method)}: {_sure(tables)}",
        "Above the random orders an explanation knows what matters; above the kind of piece, also which one of a kind. "
        "Leaving out one by one is the yardstick. Bands: 95 % over users.",
    )
    return figure, numbers


def _sure(tables: Mapping[str, pd.DataFrame]) -> str:
    """Which explanations are surely better than random orders in every test, and than the kind of piece."""
    rows = {test: table.set_index("explanation") for test, table in tables.items()}
    asked = [name for name in next(iter(rows.values())).index if name not in (KIND, YARDSTICK)]
    sure = [name for name in asked if all(table.loc[name, "low"] > 0 for table in rows.values())]
    more = [name for name in sure if all(table.loc[name, "over_kind_low"] > 0 for table in rows.values())]
    if not sure:
        return f"neither {' nor '.join(asked)} surely finds what the choice hangs on"
    beyond = f", {' and '.join(more)} also the kind of piece" if more else ", none surely the kind of piece"
    beyond = beyond if all(KIND in table.index for table in rows.values()) else ""
    return f"{' and '.join(sure)} surely beat{'s' * (len(sure) == 1)} random orders in both tests{beyond}"
