"""Pictures of the data; each function gives the figure and the plotted numbers."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from delrec_kit.data.prepared import PreparedData
from delrec_kit.data.statistics import one_case
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.style import PALETTE

BINS = 30
ROLES = {
    "training": (PALETTE[0], "o"),
    "history": (PALETTE[8], "."),
    "validation target": (PALETTE[4], "D"),
    "test target": (PALETTE[1], "*"),
}


def plot_lengths(data: PreparedData) -> tuple[Figure, pd.DataFrame]:
    """Users by the number of items known before their test target; table: from, to, users."""
    lengths = data.split.test.history.lengths
    low, high = lengths.min(), lengths.max()
    step = -(-(high - low + 1) // BINS)
    edges = np.arange(low, high + step + 1, step)
    users = np.histogram(lengths, edges)[0]
    middle = np.median(lengths)
    figure, axis = plt.subplots()
    axis.bar(edges[:-1], users, width=np.diff(edges), align="edge", color=PALETTE[0], edgecolor="white")
    axis.axvline(middle, color=PALETTE[1], linestyle="--", marker="", label=f"median {middle:.0f}")
    axis.set(
        title=f"Half of the users have at most {middle:.0f} {data.domain.plural} in their test history",
        xlabel=f"{data.domain.plural} before the test target",
        ylabel="users",
    )
    axis.legend()
    return figure, pd.DataFrame({"from": edges[:-1], "to": edges[1:] - 1, "users": users})


def plot_popularity(data: PreparedData) -> tuple[Figure, pd.DataFrame]:
    """How many users had each item, by rank, both axes logarithmic; table: rank, item, title, users."""
    split = data.split
    users = np.bincount(split.consumed().values, minlength=split.n_items + 1)[1:]
    order = np.argsort(-users, kind="stable")
    counts = users[order]
    top = max(1, round(split.n_items / 10))
    had = counts > 0
    figure, axis = plt.subplots()
    axis.loglog(np.flatnonzero(had) + 1, counts[had], color=PALETTE[0], linestyle="none", marker="o", markersize=3)
    axis.set(
        title=f"The most popular tenth of the {data.domain.plural} is {counts[:top].sum() / counts.sum():.0%} "
        "of what all users had",
        xlabel=f"{data.domain.noun} by rank (logarithmic)",
        ylabel="users who had it (logarithmic)",
    )
    keys, titles = (np.array(names, dtype=object)[order + 1] for names in (split.item_keys, split.titles))
    table = {"rank": np.arange(1, split.n_items + 1), "item": keys, "title": titles, "users": counts}
    return figure, pd.DataFrame(table)


def plot_time(data: PreparedData) -> tuple[Figure, pd.DataFrame]:
    """Interactions and active users over time; table: start, interactions, users."""
    table = data.timeline
    if not len(table):
        raise KitError("this data was prepared without a timeline; run notebook 01 again")
    figure, axes = plt.subplots(2, sharex=True, figsize=(7.0, 4.5))
    days = data.statistics["days"] / len(table)
    for axis, name, colour in zip(axes, ("interactions", "users"), PALETTE):
        axis.bar(table["start"], table[name], width=max(days, 1 / 86400), align="edge", color=colour, edgecolor="white")
        axis.set_ylabel({"users": "active users"}.get(name, name))
    locator = AutoDateLocator()
    axes[1].xaxis.set_major_locator(locator)
    axes[1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
    span = f"{days:.1f} days" if days >= 1 else f"{days * 24:.1f} hours"
    axes[1].set_xlabel(f"time (UTC), in spans of {span}")
    share = table["interactions"].max() / table["interactions"].sum()
    tied = data.statistics["last_two_tie"]
    ends = f"; {tied:.0%} of users end on a tie" if tied else ""
    axes[0].set_title(f"The busiest span holds {share:.0%} of all interactions{ends}")
    return figure, table


def plot_split(data: PreparedData, users: int = 24) -> tuple[Figure, pd.DataFrame]:
    """The end of some users' sequences, one line each: training, only known, validation and test target; table: line,
    user, place (0 is the last known item, 1 the target), role."""
    split, shown = data.split, 30
    picked = np.unique(np.linspace(0, len(split.test) - 1, users).astype(int))
    rows = []
    for line, row in enumerate(picked):
        roles = one_case(split, row)["role"].tolist()
        places = list(zip(range(2 - len(roles), 2), roles))[-shown:]
        rows += [(line, split.user_keys[split.test.user[row]], place, role) for place, role in places]
    table = pd.DataFrame(rows, columns=["line", "user", "place", "role"])
    figure, axis = plt.subplots(figsize=(7.0, 4.2))
    for (role, (colour, marker)), size in zip(ROLES.items(), (14, 14, 34, 44)):
        part = table[table["role"] == role]
        axis.scatter(part["place"], part["line"], c=colour, marker=marker, s=size, label=role)
    trained = (table["role"] == "training").sum()
    axis.set(
        title=f"{trained} of the {len(table)} interactions shown train; the targets do not",
        xlabel=f"{data.domain.plural} before (0 and less) and at the test target (1)",
        ylabel="user",
    )
    axis.set_yticks([])
    axis.legend(loc="upper left", bbox_to_anchor=(0, -0.18), ncols=4)
    return figure, table
