"""Two runs side by side: two teachers, two seeds, with and without one of the tasks."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from delrec_kit.evaluation.metrics import per_user
from delrec_kit.evaluation.statistics import bootstrap_intervals
from delrec_kit.interpret.recency import TEACHER, recency_curves

COMPARED = (TEACHER, "llm_distilled_prompt")  # whose recency profiles are drawn
RESAMPLES = 1000
EMPTY = (np.nan, np.nan)


def two_runs(one: Mapping[str, pd.DataFrame], other: Mapping[str, pd.DataFrame], seed: int = 0) -> pd.DataFrame:
    """What the runs have in common.

    Args:
        one, other: "ranks" (user and a column a method: a rank, or one a draw), "recency" (a ``recency_table``),
            "attention" (``attention_mass``).

    Returns:
        what ("HR@1", "recency" or "attention"), name (method, variant or segment), step (of recency), one, other,
        difference (other minus one), low, high (95 % bootstrap interval; paired where the runs ranked the same users,
        empty for attention).
    """
    rows = [*_hits(one["ranks"], other["ranks"], seed), *_recency(one["recency"], other["recency"], seed)]
    lift = [of["attention"].groupby("segment", sort=False)["lift"].mean() for of in (one, other)]
    rows += [
        ("attention", name, np.nan, lift[0][name], lift[1][name], *EMPTY) for name in lift[0].index if name in lift[1]
    ]
    table = pd.DataFrame(rows, columns=["what", "name", "step", "one", "other", "low", "high"])
    table.insert(5, "difference", table["other"] - table["one"])
    return table


def _hits(one: pd.DataFrame, other: pd.DataFrame, seed: int) -> list[tuple]:
    same = one["user"].astype(str).tolist() == other["user"].astype(str).tolist()
    rows = []
    for name in [column for column in one if column != "user" and column in other]:
        hits = [per_user(np.stack(of[name]))["HR@1"] for of in (one, other)]
        rows.append(("HR@1", name, np.nan, hits[0].mean(), hits[1].mean(), *_interval(*hits, same, seed)))
    return rows


def _recency(one: pd.DataFrame, other: pd.DataFrame, seed: int) -> list[tuple]:
    if one.empty or other.empty:
        return []
    curves = [recency_curves(of, RESAMPLES, seed).set_index(["variant", "step"])["changed"] for of in (one, other)]
    common = [at for at in curves[0].index if at in curves[1].index and at[0] in COMPARED]
    return [("recency", *at, curves[0][at], curves[1][at], *EMPTY) for at in common]


def _interval(one: np.ndarray, other: np.ndarray, same: bool, seed: int) -> tuple[float, float]:
    if same:
        low, high = bootstrap_intervals((other - one)[None], seed=seed, resamples=RESAMPLES)
        return float(low[0]), float(high[0])
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(values, (RESAMPLES, len(values))).mean(1) for values in (other, one)]
    low, high = np.quantile(drawn[0] - drawn[1], [0.025, 0.975])
    return float(low), float(high)
