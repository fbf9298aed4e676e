"""Two runs side by side: two teachers, two seeds, with and without one of the tasks."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from delrec_kit.evaluation import bootstrap_intervals, judged, paired_test, per_user
from delrec_kit.evaluation.paired import LEVEL
from delrec_kit.interpret.recency import TEACHER
from delrec_kit.settings.methods import DISTILLED, base_of
from delrec_kit.settings.streams import stream

COMPARED = (TEACHER, DISTILLED)  # whose recency profiles are drawn
RESAMPLES = 1000
HITS, LOOKS = "HR@1", "attention, "  # and its kind
Values = dict[tuple[str, str, int], pd.Series]  # what, name and step (0: none) -> a value a user


def two_runs(one: Mapping[str, pd.DataFrame], other: Mapping[str, pd.DataFrame], seed: int = 0) -> pd.DataFrame:
    """Means over users in both runs, and how they differ, of all that both have; rows that differ in their P alone are
    one, named after the paper's.

    Args:
        one, other: "ranks" (a row a person by name, a column a method; a rank, or an array of one a draw), "recency" (a
            ``recency_table``), "attention" (each user's ``attention_mass``).

    Returns:
        what ("HR@1", "recency", or "attention" and its kind), name (method, variant or segment), step (of recency,
        else 0), one, other, difference (other minus one), low, high (95 % bootstrap interval over users), paired
        (whether the runs asked the same people) and, of HR@1 and attention in the same people, p (corrected over
        the rows of the same ``what``, one family).
    """
    same = one["ranks"].index.equals(other["ranks"].index)
    found = [{**_hits(of["ranks"]), **_profile(of["recency"]), **_lift(of["attention"])} for of in (one, other)]
    rows, apart = [], {}  # what -> row -> differences by user
    for at in [at for at in found[0] if at in found[1]]:
        pair = [of[at] for of in found]
        before, after = (values.to_numpy(dtype=float) for values in pair)
        paired = same and pair[0].index.equals(pair[1].index)
        low, high = _interval(before, after, paired, seed)
        rows.append((*at, before.mean(), after.mean(), after.mean() - before.mean(), low, high, paired))
        if paired and at[0] != "recency":
            apart.setdefault(at[0], {})[len(rows) - 1] = after - before
    columns = ["what", "name", "step", "one", "other", "difference", "low", "high", "paired"]
    table = pd.DataFrame(rows, columns=columns).assign(p=np.nan)
    for together in apart.values():  # a family; not every user has every segment
        table.loc[list(together), "p"] = judged(paired_test(list(together.values()), seed))["p_holm"].to_numpy()
    return table


def surely(rows: pd.DataFrame) -> pd.Series:
    """Which rows of ``two_runs`` surely differ: by p where the same people were asked, else by the interval."""
    apart = (rows["low"] > 0) | (rows["high"] < 0)
    return (rows["p"] < LEVEL).where(rows["p"].notna(), apart)


def _hits(ranks: pd.DataFrame) -> Values:
    ranks = ranks.rename(columns=base_of)
    return {(HITS, name, 0): pd.Series(per_user(np.stack(ranks[name]))[HITS], ranks.index) for name in ranks}


def _profile(recency: pd.DataFrame) -> Values:
    recency = recency.assign(variant=recency["variant"].map(base_of))
    known = recency[recency["variant"].isin(COMPARED)]
    return {
        ("recency", *at): of.set_index("user")["changed"] for at, of in known.groupby(["variant", "step"], sort=False)
    }


def _lift(attention: pd.DataFrame) -> Values:
    return {
        (LOOKS + kind, segment, 0): of.set_index("user")["lift"]
        for (kind, segment), of in attention.groupby(["kind", "segment"], sort=False)
    }


def _interval(one: np.ndarray, other: np.ndarray, paired: bool, seed: int) -> tuple[float, float]:
    if paired:
        low, high = bootstrap_intervals((other - one)[None], seed=seed, resamples=RESAMPLES)
        return float(low[0]), float(high[0])
    rng = stream(seed, "bootstrap over other users")
    drawn = [rng.choice(values, (RESAMPLES, len(values))).mean(1) for values in (other, one)]
    low, high = np.quantile(drawn[0] - drawn[1], [0.025, 0.975])
    return float(low), float(high)
