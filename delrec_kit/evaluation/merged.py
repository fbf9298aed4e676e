"""Paired differences over several runs that differ in the seed alone: users and seeds together."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.evaluation.comparison import OWN, load_comparison, protocol_folder, ranks_of
from delrec_kit.evaluation.metrics import per_user
from delrec_kit.evaluation.statistics import bootstrap_intervals, flips_for, holm, sign_flip_p
from delrec_kit.evaluation.tables import by_settings
from delrec_kit.settings.errors import KitError

SHOWN = ("HR@1", "NDCG@5")
RESAMPLES = 2000
LAST = 1e9  # the rank of an answer that was not ranked at all, so that two of them tie


def merged_differences(
    folders: Iterable[str | Path], metrics: Sequence[str] = SHOWN, protocol: str = OWN
) -> pd.DataFrame:
    """The paired differences a − b of many runs' comparisons under one protocol, those of one group taken together.

    A user's difference is its mean over the runs (seeds) that have the user; users are what is resampled.

    Returns:
        settings, a, b, metric, value, low, high (95 % bootstrap interval), p (two-sided sign-flip test, corrected by
        Holm's method over all rows of the group), effect (the mean difference over its standard deviation, Cohen's d),
        win, tie, loss (users where a's rank is better, equal, worse), users, sd (of the runs' mean differences, empty
        for one run), agree (runs whose mean difference has the sign of ``value``), runs.

    The interval and p are of users, who are many; seeds are few, and what they do to a difference ``sd`` and ``agree``
    tell.
    """
    groups = by_settings(folders).items()
    return pd.concat([_of_group(label, runs, metrics, protocol) for label, runs in groups], ignore_index=True)


def _of_group(label: str, runs: Sequence[Path], metrics: Sequence[str], protocol: str) -> pd.DataFrame:
    comparisons = [load_comparison(protocol_folder(run, protocol)) for run in runs]
    tables = [ranks_of(run, protocol) for run in runs]
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
            means = np.array([one.mean() for one in each])
            seeds = {
                "sd": means.std(ddof=1) if len(means) > 1 else np.nan,
                "agree": int((np.sign(means) == np.sign(difference.mean())).sum()),
            }
            rows.append({"settings": label, "a": a, "b": b, "metric": metric, **counts, **seeds})
            values.append(difference)
    if not rows:
        raise KitError(f"the runs {', '.join(run.name for run in runs)} have no two methods in common to compare")
    table = _judged(rows, values, comparisons[0]["seed"])
    spreads = [difference.std(ddof=1) for difference in values]
    table["effect"] = [mean / spread if spread else 0.0 for mean, spread in zip(table["value"], spreads)]
    order = ["settings", "a", "b", "metric", "value", "low", "high", "p", "effect", "win", "tie", "loss", "users"]
    return table[[*order, "sd", "agree"]].assign(runs=len(runs))


def settings_differences(folders: Iterable[str | Path], metric: str = "HR@1") -> pd.DataFrame:
    """What a setting does to each method: every group of runs against the first, the same people under both.

    Returns:
        method, settings, against, metric, value (the mean difference over people), low, high (95 % bootstrap interval),
        p (two-sided sign-flip test, corrected by Holm's method over all rows), users. Empty where there is one group,
        or no two rank the same people.
    """
    groups = {label: [ranks_of(run) for run in runs] for label, runs in by_settings(folders).items()}
    (first, base), *others = groups.items()
    rows, values = [], []
    for label, tables in others:
        for method in [name for name in tables[0] if all(name in table for table in [*tables, *base])]:
            of, against = (_over_runs(each, method, metric) for each in (tables, base))
            difference = (of - against).dropna().to_numpy()
            if len(difference) > 1:
                rows.append({"method": method, "settings": label, "against": first, "metric": metric})
                values.append(difference)
    return _judged(rows, values, seed=0) if rows else pd.DataFrame()


def _judged(rows: Sequence[dict], values: Sequence[np.ndarray], seed: int) -> pd.DataFrame:
    """``rows`` with value, low, high, p and users, from each one's differences by person; groups of users may differ in
    size, so one at a time."""
    bounds = [bootstrap_intervals(difference[None], seed=seed, resamples=RESAMPLES) for difference in values]
    return pd.DataFrame(rows).assign(
        value=[difference.mean() for difference in values],
        low=[low[0] for low, _ in bounds],
        high=[high[0] for _, high in bounds],
        p=holm(_p_values(values, seed)),
        users=[len(difference) for difference in values],
    )


def _over_runs(tables: Sequence[pd.DataFrame], method: str, metric: str) -> pd.Series:
    """Each person's mean over the runs that have it."""
    each = [pd.Series(per_user(np.stack(table[method]))[metric], index=table.index) for table in tables]
    return pd.concat(each, axis=1).mean(axis=1)


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
    one, other = (np.minimum(np.stack(table[method]).reshape(len(table), -1), LAST).mean(axis=1) for method in (a, b))
    return pd.Series(other - one, index=table.index)
