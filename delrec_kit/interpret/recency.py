"""The recency profile: how much a ranker's choice hangs on the item j steps back.

A sequential recommender leans on the last items. If its pattern was distilled, the profile of a language model with P
lies nearer to the teacher's than without.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from scipy.special import softmax

from delrec_kit.data import Cases, Ragged
from delrec_kit.evaluation.statistics import bootstrap_intervals

Score = Callable[[Cases], np.ndarray]  # cases -> (U, m) scores of each case's candidates
TEACHER = "teacher"


def without(cases: Cases, step: int) -> Cases:
    """The cases, the item ``step`` from the end of each history taken out; 1 is the last one. Raises ValueError for a
    history that has no such item, or no other."""
    history = cases.history
    if len(cases) and history.lengths.min() <= step:
        raise ValueError(f"a history has {history.lengths.min()} items; to take out number {step} it needs one more")
    keep = np.ones(len(history.values), dtype=bool)
    keep[history.offsets[1:] - step] = False
    return Cases(cases.user, Ragged.of_lengths(history.values[keep], history.lengths - 1), cases.target)


def recency_profile(score: Score, cases: Cases, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(steps, U) whether the first choice changes when the item that many steps back is taken out, and (steps, U) how
    much of the choice moves: the total variation between the softmaxes before and after, from 0 to 1."""
    whole = score(cases)
    changed, moved = [], []
    for step in range(1, steps + 1):
        other = score(without(cases, step))
        changed.append(whole.argmax(1) != other.argmax(1))
        moved.append(np.abs(softmax(whole, axis=1) - softmax(other, axis=1)).sum(1) / 2)
    return np.array(changed), np.array(moved)


def recency_table(rankers: Mapping[str, Score], cases: Cases, steps: int, resamples: int, seed: int) -> pd.DataFrame:
    """The profile of each ranker, over the users whose history is longer than ``steps``, the same at every step.

    Returns:
        variant, step, changed (share of users whose first choice changes), low and high (95 % bootstrap interval over
        users), moved (mean total variation), users. Empty where no history is long enough.
    """
    long = cases.take(np.flatnonzero(cases.history.lengths > steps))
    rows = []
    for variant, score in rankers.items():
        if len(long) < 2:
            break
        changed, moved = recency_profile(score, long, steps)
        low, high = bootstrap_intervals(changed.astype(float), seed=seed, resamples=resamples)
        for step in range(steps):
            rows.append((variant, step + 1, changed[step].mean(), low[step], high[step], moved[step].mean(), len(long)))
    return pd.DataFrame(rows, columns=["variant", "step", "changed", "low", "high", "moved", "users"])


def distances(table: pd.DataFrame, measure: str = "changed") -> pd.Series:
    """Of each variant the mean absolute distance of its profile from the teacher's, in the units of ``measure``."""
    wide = table.pivot(index="step", columns="variant", values=measure)
    return wide.drop(columns=TEACHER).sub(wide[TEACHER], axis=0).abs().mean()
