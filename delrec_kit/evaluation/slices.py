"""For whom a method works: by groups of users, and how far it goes towards the best possible where that is known."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from delrec_kit.evaluation.paired import RESAMPLES, bootstrap_intervals
from delrec_kit.evaluation.ranks import per_user
from delrec_kit.settings.streams import stream

PARTS = 3
FEW = 2  # users below which there is no interval
FEWEST = 10  # users below which a pattern has no row
TAILS = (0.025, 0.975)
GAP = ["pattern", "users", "method", "value", "oracle", "closed", "low", "high"]


def slice_table(
    ranks: Mapping[str, np.ndarray],
    history: np.ndarray,
    popularity: np.ndarray,
    trains: np.ndarray,
    *,
    seed: int,
    metric: str = "HR@1",
) -> pd.DataFrame:
    """Mean ``metric`` of each method in each group of users, with 95 % bootstrap intervals.

    Args:
        ranks: method -> (U,), or (U, D) in D draws. history: (U,) lengths. popularity: (U,) training interactions of
            the answer. trains: (U,) whether the user has a training sequence.

    Returns:
        slice, group, users, method, value, low, high.
    """
    slices = {
        "history length": _thirds(history),
        "training interactions of the answer": _thirds(popularity, apart=0),
        "user": pd.Series(np.where(trains, "trains", "cold")),
    }
    rows = []
    for name, groups in slices.items():
        for group in dict.fromkeys(groups.sort_values(key=_first_number)):
            users = np.flatnonzero(groups == group)
            values = np.stack([per_user(r[users])[metric] for r in ranks.values()])
            low = high = np.full(len(values), np.nan)
            if len(users) >= FEW:
                low, high = bootstrap_intervals(values, seed=seed)
            for place, method in enumerate(ranks):
                rows.append((name, group, len(users), method, values[place].mean(), low[place], high[place]))
    return pd.DataFrame(rows, columns=["slice", "group", "users", "method", "value", "low", "high"])


def slices_by_method(table: pd.DataFrame) -> pd.DataFrame:
    """A ``slice_table`` (or ``slices_table``, of many runs) to read: a row a method, in the order of the comparison,
    and a column a group, from the smallest number upward, with its users where they are as many in all rows."""
    rows, table = [column for column in ("settings", "method") if column in table], table.reset_index(drop=True)
    sizes = table.groupby(["slice", "group"])["users"].agg(["min", "max"])
    alike = {at: f"{at[1]} ({row['min']:.0f})" for at, row in sizes.iterrows() if row["min"] == row["max"]}
    shown = [alike.get(at, str(at[1])) for at in zip(table["slice"], table["group"], strict=True)]
    number = _first_number(table["group"].astype(str))
    order = pd.DataFrame({"slice": pd.factorize(table["slice"])[0], "number": number})
    order = order.sort_values(["slice", "number"], kind="stable").index
    wide = table.assign(group=shown).iloc[order]
    wide = wide.pivot_table(index=rows, columns=["slice", "group"], values="value", sort=False)
    first = [table[row].drop_duplicates().tolist() for row in rows]
    return wide.sort_index(key=lambda index: index.map(first[rows.index(index.name)].index), kind="stable")


def gap_table(
    ranks: Mapping[str, np.ndarray], patterns: Sequence[str], start: str, *, seed: int, metric: str = "HR@1"
) -> pd.DataFrame:
    """Of each method the part of the gap between ``start`` and the oracle that it closes, over all users and over those
    of each pattern.

    Args:
        ranks: method -> (U,), ``oracle`` among them. patterns: (U,) what most likely led to each user's answer.

    Returns:
        pattern, users, method, value (mean metric), oracle (the oracle's), closed (0 as ``start``, 1 as the oracle),
        low, high (95 % bootstrap interval of closed, over users). A pattern whose gap is not above 0 by the same
        interval has no row: a part of nearly nothing says nothing.
    """
    of = np.asarray(patterns)
    groups = {"all": np.ones(len(of), dtype=bool), **{name: of == name for name in sorted(set(patterns))}}
    values = {method: per_user(r)[metric] for method, r in ranks.items()}
    rows = []
    for name, inside in groups.items():
        floor, best = values[start][inside], values["oracle"][inside]
        if inside.sum() < FEWEST:
            continue
        drawn = stream(seed, "bootstrap of gaps").multinomial(len(best), np.full(len(best), 1 / len(best)), RESAMPLES)
        if np.quantile(drawn @ (best - floor), TAILS[0]) <= 0:
            continue
        for method in [method for method in values if method not in (start, "oracle")]:
            own = values[method][inside]
            closed = (own.mean() - floor.mean()) / (best.mean() - floor.mean())
            means = drawn @ np.stack([own, floor, best], axis=1) / len(own)
            wide = means[:, 2] > means[:, 1]  # a draw without a gap says nothing of its parts
            low, high = np.quantile((means[wide, 0] - means[wide, 1]) / (means[wide, 2] - means[wide, 1]), TAILS)
            rows.append((name, len(own), method, own.mean(), best.mean(), closed, low, high))
    return pd.DataFrame(rows, columns=GAP)


def _thirds(values: np.ndarray, apart: int = -1) -> pd.Series:
    """(U,) names of three groups of nearly equal size, such as "12–30"; the value ``apart`` is a group of its own."""
    values = np.asarray(values)
    alone = values == apart
    rest = values[~alone]
    edges = np.unique(np.quantile(rest, np.arange(1, PARTS) / PARTS)) if len(rest) else np.empty(0)
    part = np.where(alone, -1, np.searchsorted(edges, values, side="left"))
    names = np.empty(len(values), dtype=object)
    for n in np.unique(part):
        least, most = values[part == n].min(), values[part == n].max()
        names[part == n] = f"{least}–{most}" if most > least else str(least)
    return pd.Series(names)


def _first_number(names: pd.Series) -> pd.Series:
    return pd.to_numeric(names.str.partition("–")[0], errors="coerce")
