"""The recency profile: how much a ranker's choice hangs on the item j steps back.

A sequential recommender leans on the last items. If its pattern was distilled, the profile of a language model with P
lies nearer to the teacher's than without. The item is masked where it stands, by a random one in its place: taking it
out would move every other item by one place, which a model that knows places notices by itself.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import softmax

from delrec_kit.data import Cases, Ragged
from delrec_kit.evaluation import bootstrap_intervals, membership
from delrec_kit.settings.streams import stream
from delrec_kit.teachers import Scorer

TEACHER = "teacher"
COLUMNS = ["variant", "user", "step", "changed", "moved"]


def replaced(cases: Cases, step: int, stand_ins: np.ndarray) -> Cases:
    """The cases, the item ``step`` from the end of each history replaced by that of ``stand_ins`` (U,); 1 is the last
    one. Raises ValueError for a history that has no such item."""
    history = cases.history
    if len(cases) and history.lengths.min() < step:
        raise ValueError(f"a history has {history.lengths.min()} items, and no number {step} from the end")
    values = history.values.copy()
    values[history.offsets[1:] - step] = stand_ins
    return Cases(cases.user, Ragged.of_lengths(values, history.lengths), cases.target)


def draw_stand_ins(
    cases: Cases, items: np.ndarray, n_items: int, steps: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(R,) the rows of the cases that leave an item to stand in, in a small catalogue not all, and (R, steps) random
    items of 1 … ``n_items``, none of the history or of the ranked ``items`` (U, m) of its user; the same for every
    ranker."""
    taken = membership(cases.history, n_items + 1)
    np.put_along_axis(taken, items, True, axis=1)
    taken[:, 0] = True  # padding
    rows, rng = np.flatnonzero(~taken.all(axis=1)), stream(seed, "items that stand in")
    drawn = [rng.choice(np.flatnonzero(~taken[row]), steps) for row in rows]
    return rows, np.array(drawn, dtype=np.int64).reshape(len(rows), steps)


def recency_profile(
    scorer: Scorer, cases: Cases, items: np.ndarray, stand_ins: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What changes among items (U, m) when the item that many steps back is masked by its stand-in (U, steps): (steps,
    U) whether the first choice does, and (steps, U) the total variation, from 0 to 1, between the softmaxes before and
    after."""
    whole = scorer.scores(cases, items)
    changed, moved = [], []
    for step, standing in enumerate(stand_ins.T, start=1):
        other = scorer.scores(replaced(cases, step, standing), items)
        changed.append(whole.argmax(1) != other.argmax(1))
        moved.append(np.abs(softmax(whole, axis=1) - softmax(other, axis=1)).sum(1) / 2)
    return np.array(changed), np.array(moved)


def recency_table(
    scorers: Mapping[str, Scorer], cases: Cases, items: np.ndarray, stand_ins: np.ndarray
) -> pd.DataFrame:
    """The profile of each scorer over items (U, m), as far back as ``stand_ins`` (U, steps) reach, over the users whose
    history is longer: the same users at every step.

    Returns:
        variant (the scorer's name), user, step, changed (1 where the first choice changes, else 0), moved (total
        variation). Empty where fewer than two histories are long enough.
    """
    steps = stand_ins.shape[1]
    rows = np.flatnonzero(cases.history.lengths > steps)
    long, parts = cases.take(rows), []
    for variant, scorer in scorers.items() if len(long) > 1 and steps > 0 else ():
        changed, moved = recency_profile(scorer, long, items[rows], stand_ins[rows])
        at = pd.MultiIndex.from_product([range(1, steps + 1), long.user.tolist()], names=["step", "user"])
        values = {"changed": changed.ravel().astype(int), "moved": moved.ravel()}
        parts.append(pd.DataFrame(values, index=at).reset_index().assign(variant=variant))
    return pd.concat(parts)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def recency_curves(table: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """Means over the users of a ``recency_table``: variant, step, changed (share of users whose first choice changes),
    low and high (its 95 % bootstrap interval), moved (total variation), users."""
    parts = []
    for variant, rows in table.groupby("variant", sort=False):
        wide = rows.pivot(index="step", columns="user", values=["changed", "moved"])
        changed = wide["changed"].to_numpy(dtype=float)
        low, high = bootstrap_intervals(changed, seed=seed, resamples=resamples)
        values = {"changed": changed.mean(1), "low": low, "high": high, "moved": wide["moved"].mean(axis=1)}
        parts.append(pd.DataFrame({"variant": variant, **values, "users": changed.shape[1]}, index=wide.index))
    return pd.concat(parts).reset_index()[["variant", "step", "changed", "low", "high", "moved", "users"]]


def distances(table: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """How far each variant's profile lies from the teacher's: the mean over steps of the absolute difference between
    the shares of users whose first choice changes.

    Returns:
        variant, distance, chance (what a ranker with the teacher's own profile would show, as so few users cannot bring
        it to 0); fall, low, high: by how much it is nearer than the first variant, with the 95 % bootstrap interval
        over the same users. A distance has no interval of its own: resampling adds noise, which only lengthens it.
    """
    wide = table.pivot(index=["variant", "step"], columns="user", values="changed").astype(float)
    variants = [v for v in dict.fromkeys(table["variant"]) if v != TEACHER]
    if not variants:
        return pd.DataFrame(columns=["variant", "distance", "chance", "fall", "low", "high"])
    apart = np.stack([(wide.loc[variant] - wide.loc[TEACHER]).to_numpy() for variant in variants])
    users = apart.shape[2]
    weights = stream(seed, "bootstrap of distances").multinomial(users, np.full(users, 1 / users), resamples) / users
    drawn = np.abs(apart @ weights.T).mean(1)  # (variants, resamples)
    low, high = np.quantile(drawn[0] - drawn, [0.025, 0.975], axis=1)
    distance = np.abs(apart.mean(2)).mean(1)
    chance = np.sqrt(2 / np.pi) * apart.std(2, ddof=1).mean(1) / np.sqrt(users)
    values = {"distance": distance, "chance": chance, "fall": distance[0] - distance, "low": low, "high": high}
    return pd.DataFrame({"variant": variants, **values})
