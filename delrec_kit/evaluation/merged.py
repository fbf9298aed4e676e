"""Paired differences over several runs that differ in the seed alone: users and seeds together."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.errors import KitError
from delrec_kit.evaluation.comparison import OWN, load_comparison, protocol_folder
from delrec_kit.evaluation.metrics import per_user
from delrec_kit.evaluation.statistics import bootstrap_intervals, flips_for, holm, sign_flip_p
from delrec_kit.evaluation.tables import group_labels

SHOWN = ("HR@1", "NDCG@5")
RESAMPLES = 2000


def merged_differences(
    folders: Iterable[str | Path], metrics: Sequence[str] = SHOWN, protocol: str = OWN
) -> pd.DataFrame:
    """The paired differences a − b of many runs' comparisons under one protocol, those of one group taken together.

    A user's difference is its mean over the runs (seeds) that have the user; users are what is resampled.

    Returns:
        settings, a, b, metric, value, low, high (95 % bootstrap interval), p (two-sided sign-flip test, corrected by
        Holm's method over all rows of the group), effect (the mean difference over its standard deviation, Cohen's d),
        win, tie, loss (users where a's rank is better, equal, worse), users, runs.
    """
    folders = [Path(folder) for folder in folders]
    groups: dict[str, list[Path]] = {}
    for label, folder in zip(group_labels(folders), folders):
        groups.setdefault(label, []).append(folder)
    return pd.concat([_of_group(label, runs, metrics, protocol) for label, runs in groups.items()], ignore_index=True)


def _of_group(label: str, runs: Sequence[Path], metrics: Sequence[str], protocol: str) -> pd.DataFrame:
    compared = [protocol_folder(run, protocol) for run in runs]
    comparisons = [load_comparison(folder) for folder in compared]
    tables = [pd.read_parquet(folder / "per_user.parquet").set_index("user") for folder in compared]
    pairs = [(d["a"], d["b"]) for d in comparisons[0]["differences"] if d["metric"] == metrics[0]]
    for comparison in comparisons[1:]:
        known = set(comparison["methods"])
        pairs = [(a, b) for a, b in pairs if a in known and b in known]
    rows, values = [], []
    for a, b in pairs:
        ranks = pd.concat([_ahead(table, a, b).rename(str(n)) for n, table in enumerate(tables)], axis=1).mean(axis=1)
        counts = {"win": int((ranks > 0).sum()), "tie": int((ranks == 0).sum()), "loss": int((ranks < 0).sum())}
        for metric in metrics:
            each = [_difference(table, a, b, metric).rename(str(n)) for n, table in enumerate(tables)]
            difference = pd.concat(each, axis=1).mean(axis=1).to_numpy()
            rows.append({"settings": label, "a": a, "b": b, "metric": metric, **counts, "users": len(difference)})
            values.append(difference)
    if not rows:
        raise KitError(f"the runs {', '.join(run.name for run in runs)} have no two methods in common to compare")
    table = pd.DataFrame(rows)
    seed = comparisons[0]["seed"]
    for place, difference in enumerate(values):  # groups of users may differ in size, so one at a time
        low, high = bootstrap_intervals(difference[None], seed=seed, resamples=RESAMPLES)
        spread = difference.std(ddof=1)
        table.loc[place, ["value", "low", "high", "effect"]] = (
            difference.mean(), low[0], high[0], difference.mean() / spread if spread else 0.0,
        )  # fmt: skip
    table["p"] = holm(_p_values(values, seed))
    order = ["settings", "a", "b", "metric", "value", "low", "high", "p", "effect", "win", "tie", "loss", "users"]
    return table[order].assign(runs=len(runs))


def _p_values(values: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Of differences that may be of groups of users of different sizes; those of one size are tested together."""
    p, sizes = np.empty(len(values)), np.array([len(difference) for difference in values])
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        together = flips_for(len(values), RESAMPLES)
        p[rows] = sign_flip_p(np.stack([values[row] for row in rows]), seed=seed, resamples=together)
    return p


def _difference(table: pd.DataFrame, a: str, b: str, metric: str) -> pd.Series:
    one, other = (per_user(np.stack(table[method]))[metric] for method in (a, b))
    return pd.Series(one - other, index=table.index)


def _ahead(table: pd.DataFrame, a: str, b: str) -> pd.Series:
    """By how many ranks a is ahead of b for each user, on average over the draws."""
    one, other = (np.stack(table[method]).reshape(len(table), -1).mean(axis=1) for method in (a, b))
    return pd.Series(other - one, index=table.index)
