"""The recency profile: how much a ranker's choice hangs on the item j steps back.

A sequential recommender leans on the last items. If its pattern was distilled, the profile of a language model with P
lies nearer to the teacher's than without. The item is masked where it stands, by a random one in its place: taking it
out would move every other item by one place, which a model that knows places notices by itself.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from scipy.special import softmax

from delrec_kit.data import Cases, Ragged
from delrec_kit.evaluation import membership
from delrec_kit.evaluation.statistics import bootstrap_intervals

Score = Callable[[Cases], np.ndarray]  # cases -> (U, m) scores of each case's candidates
TEACHER = "teacher"
COLUMNS = ["variant", "user", "step", "changed", "moved"]
DISTANCE = ["distance", "chance", "fall", "low", "high"]


def replaced(cases: Cases, step: int, stand_ins: np.ndarray) -> Cases:
    """The cases, the item ``step`` from the end of each history replaced by that of ``stand_ins`` (U,); 1 is the last
    one. Raises ValueError for a history that has no such item."""
    history = cases.history
    if len(cases) and history.lengths.min() < step:
        raise ValueError(f"a history has {history.lengths.min()} items, and no number {step} from the end")
    values = history.values.copy()
    values[history.offsets[1:] - step] = stand_ins
    return Cases(cases.user, Ragged.of_lengths(values, history.lengths), cases.target)


def draw_stand_ins(cases: Cases, items: np.ndarray, n_items: int, steps: int, seed: int) -> np.ndarray:
    """(U, steps) random items of 1 … ``n_items``, none of the history or of the ranked ``items`` (U, m) of its user,
    the same for every ranker. Raises ValueError where a user leaves none; ``leaves_some`` tells whose."""
    taken = _taken(cases, items, n_items)
    if taken.all(axis=1).any():
        raise ValueError("a user's history and candidates are the whole catalogue; no item can stand in")
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(np.flatnonzero(~row), steps) for row in taken]
    return np.array(drawn, dtype=np.int64).reshape(len(cases), steps)


def leaves_some(cases: Cases, items: np.ndarray, n_items: int) -> np.ndarray:
    """(U,) whether an item is left that could stand in for one of the history."""
    return ~_taken(cases, items, n_items).all(axis=1)


def _taken(cases: Cases, items: np.ndarray, n_items: int) -> np.ndarray:
    """(U, N+1) true on padding, the history and the ranked ``items`` (U, m)."""
    taken = membership(cases.history, n_items + 1)
    np.put_along_axis(taken, items, True, axis=1)
    taken[:, 0] = True
    return taken


def recency_profile(score: Score, cases: Cases, stand_ins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(steps, U) whether the first choice changes when the item that many steps back is masked by its stand-in (U,
    steps), and (steps, U) how much of the choice moves: the total variation between the softmaxes before and after,
    from 0 to 1."""
    whole = score(cases)
    changed, moved = [], []
    for step, standing in enumerate(stand_ins.T, start=1):
        other = score(replaced(cases, step, standing))
        changed.append(whole.argmax(1) != other.argmax(1))
        moved.append(np.abs(softmax(whole, axis=1) - softmax(other, axis=1)).sum(1) / 2)
    return np.array(changed), np.array(moved)


def recency_table(rankers: Mapping[str, Score], cases: Cases, stand_ins: np.ndarray) -> pd.DataFrame:
    """The profile of each ranker as far back as ``stand_ins`` (U, steps) reach, over the users whose history is longer,
    the same at every step.

    Returns:
        variant, user, step, changed (1 where the first choice changes, else 0), moved (total variation). Empty where no
        history is long enough.
    """
    steps = stand_ins.shape[1]
    rows = np.flatnonzero(cases.history.lengths > steps)
    long, parts = cases.take(rows), []
    for variant, score in rankers.items() if len(long) > 1 and steps > 0 else ():
        changed, moved = recency_profile(score, long, stand_ins[rows])
        at = pd.MultiIndex.from_product([range(1, steps + 1), long.user.tolist()], names=["step", "user"])
        values = {"changed": changed.ravel().astype(int), "moved": moved.ravel()}
        parts.append(pd.DataFrame(values, index=at).reset_index().assign(variant=variant))
    return pd.concat(parts)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def recency_curves(table: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """variant, step, changed (share of users whose first choice changes), low and high (95 % bootstrap interval over
    users), moved (mean total variation), users; of a ``recency_table``."""
    parts = []
    for variant, rows in table.groupby("variant", sort=False):
        wide = rows.pivot(index="step", columns="user", values=["changed", "moved"])
        changed = wide["changed"].to_numpy(dtype=float)
        low, high = bootstrap_intervals(changed, seed=seed, resamples=resamples)
        values = {"changed": changed.mean(1), "low": low, "high": high, "moved": wide["moved"].mean(axis=1)}
        parts.append(pd.DataFrame({"variant": variant, **values, "users": changed.shape[1]}, index=wide.index))
    return pd.concat(parts).reset_index()[["variant", "step", "changed", "low", "high", "moved", "users"]]


def distances(table: pd.DataFrame, resamples: int, seed: int, measure: str = "changed") -> pd.DataFrame:
    """How far each variant's profile lies from the teacher's: the mean over steps of the absolute difference, in the
    units of ``measure``.

    Returns:
        variant, distance, chance (what a ranker with the teacher's own profile would show, as so few users cannot bring
        it to 0); fall, low, high: by how much it is nearer than the first variant, with the 95 % bootstrap interval
        over the same users. A distance has no interval of its own: resampling adds noise, which only lengthens it.
    """
    wide = table.pivot(index=["variant", "step"], columns="user", values=measure).astype(float)
    variants = [v for v in dict.fromkeys(table["variant"]) if v != TEACHER]
    if not variants:
        return pd.DataFrame(columns=["variant", *DISTANCE])
    apart = np.stack([(wide.loc[variant] - wide.loc[TEACHER]).to_numpy() for variant in variants])
    users = apart.shape[2]
    weights = np.random.default_rng(seed).multinomial(users, np.full(users, 1 / users), resamples) / users
    drawn = np.abs(apart @ weights.T).mean(1)  # (variants, resamples)
    value = np.abs(apart.mean(2)).mean(1)
    chance = np.sqrt(2 / np.pi) * apart.std(2, ddof=1).mean(1) / np.sqrt(users)
    interval = lambda of: np.quantile(of, [0.025, 0.975], axis=1)  # noqa: E731
    columns = [value, chance, value[0] - value, *interval(drawn[0] - drawn)]
    return pd.DataFrame(dict(zip(DISTANCE, columns, strict=True))).assign(variant=variants)[["variant", *DISTANCE]]
