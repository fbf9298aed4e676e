"""For whom a method works: by length of the history, popularity of the answer, and whether the user trained."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from delrec_kit.evaluation.metrics import per_user
from delrec_kit.evaluation.statistics import bootstrap_intervals

PARTS = 3
FEW = 2  # users below which there is no interval


def slice_table(
    ranks: Mapping[str, np.ndarray],
    history: np.ndarray,
    popularity: np.ndarray,
    trains: np.ndarray,
    *,
    seed: int,
    resamples: int,
    metric: str = "HR@1",
) -> pd.DataFrame:
    """Mean ``metric`` of each method in each group of users, with 95 % bootstrap intervals.

    Args:
        ranks: method -> (U,). history: (U,) lengths. popularity: (U,) training interactions of the answer.
        trains: (U,) whether the user has a training sequence.

    Returns:
        slice, group, users, method, value, low, high.
    """
    rows = []
    for name, groups in (
        ("history length", _thirds(history)),
        ("training interactions of the answer", _thirds(popularity, apart=0)),
        ("user", pd.Series(np.where(trains, "trains", "cold"))),
    ):
        for group in dict.fromkeys(groups.sort_values(key=_first_number)):
            users = np.flatnonzero(groups == group)
            values = np.stack([per_user(r[users])[metric] for r in ranks.values()])
            low = high = np.full(len(values), np.nan)
            if len(users) >= FEW:
                low, high = bootstrap_intervals(values, seed=seed, resamples=resamples)
            for place, method in enumerate(ranks):
                rows.append((name, group, len(users), method, values[place].mean(), low[place], high[place]))
    return pd.DataFrame(rows, columns=["slice", "group", "users", "method", "value", "low", "high"])


def _thirds(values: np.ndarray, apart: int | None = None) -> pd.Series:
    """(U,) names of three groups of nearly equal size, such as "12–30"; the value ``apart`` is a group of its own."""
    values = np.asarray(values)
    rest = values[values != apart] if apart is not None else values
    edges = np.unique(np.quantile(rest, np.arange(1, PARTS) / PARTS)) if len(rest) else np.empty(0)
    part = np.searchsorted(edges, values, side="left")
    names = np.empty(len(values), dtype=object)
    for n in np.unique(part):
        chosen = (part == n) & (values != apart if apart is not None else True)
        if chosen.any():
            least, most = values[chosen].min(), values[chosen].max()
            names[chosen] = f"{least}–{most}" if most > least else str(least)
    if apart is not None:
        names[values == apart] = str(apart)
    return pd.Series(names)


def _first_number(names: pd.Series) -> pd.Series:
    return pd.to_numeric(names.str.partition("–")[0], errors="coerce")
