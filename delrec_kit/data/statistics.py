"""What the data is like, in numbers."""

import numpy as np
import pandas as pd

from delrec_kit.data.interactions import Interactions
from delrec_kit.data.ragged import sorted_unique
from delrec_kit.data.split import Split

BINS = 40


def describe(interactions: Interactions, split: Split) -> dict:
    """Plain numbers, ready for JSON.

    ``length`` are interactions a user; ``ties_in_time``: share of neighbouring interactions of a user that share a
    timestamp; ``last_two_tie``: share of users whose last two do, whose "last" item thus hangs on file order;
    ``cold_users`` and ``cold_items``: test cases whose user, or whose target, no training sequence has;
    ``repeated_choices``: interactions with an item that the user had before; ``duplicate_titles``: titles that more
    than one item bears.
    """
    frame, keys = _each_once(interactions), interactions.frame["user"].cat.categories
    user, item = (frame[name].cat.codes.to_numpy() for name in ("user", "item"))
    time = frame["timestamp"].to_numpy()
    lengths = np.bincount(user, minlength=len(keys))
    neighbours = user[1:] == user[:-1]
    tied = neighbours & (time[1:] == time[:-1])
    last = np.flatnonzero(np.append(user[1:] != user[:-1], True))
    several = lengths > 1
    last_two = np.append(False, tied)[last][several]
    titles = interactions.titles
    counts = titles.value_counts()
    used = len(sorted_unique(item))
    pairs = len(sorted_unique(user.astype(np.int64) * len(titles) + item))
    return {
        "users": len(keys),
        "items": len(titles),
        "interactions": len(frame),
        "density": len(frame) / (len(keys) * len(titles)),
        "length": _quantiles(lengths),
        "first_day": _day(time.min()),
        "last_day": _day(time.max()),
        "days": float(np.ptp(time)) / 86400,
        "ties_in_time": float(tied.sum() / max(neighbours.sum(), 1)),
        "last_two_tie": float(last_two.mean()) if len(last_two) else 0.0,
        "repeated_choices": len(frame) - pairs,
        "duplicate_titles": int((counts > 1).sum()),
        "items_nobody_had": len(titles) - used,
        "training_users": int((split.train.lengths > 0).sum()),
        "training_interactions": len(split.train.values),
        "valid_cases": len(split.valid),
        "test_cases": len(split.test),
        "cold_users": int((split.train.lengths[split.test.user] == 0).sum()),
        "cold_items": int((~np.isin(split.test.target, split.train.values)).sum()),
    }


def one_case(split: Split, row: int = 0) -> pd.DataFrame:
    """A test case item by item, oldest first: role ("training", "validation target", "history", "test target"), title.

    "history" is what is only known of a user, as with users that a brought split keeps out of the training.
    """
    case = split.test
    user, history = case.user[row], case.history[row]
    trained = split.train[user]
    roles = ["history"] * len(history)
    if len(trained) and np.array_equal(history[: len(trained)], trained):
        roles[: len(trained)] = ["training"] * len(trained)
    of_user = np.flatnonzero(split.valid.user == user)
    if len(of_user):  # it follows what was known before it
        known, target = split.valid.history[of_user[0]], split.valid.target[of_user[0]]
        place = len(known)
        if place < len(history) and np.array_equal(history[:place], known) and history[place] == target:
            roles[place] = "validation target"
    items = [*history, case.target[row]]
    return pd.DataFrame({"role": [*roles, "test target"], "title": [split.titles[item] for item in items]})


def timeline(interactions: Interactions) -> pd.DataFrame:
    """Interactions and active users in equal spans of time: start (datetime), interactions, users."""
    frame = _each_once(interactions)
    time, user = frame["timestamp"].to_numpy(), frame["user"].cat.codes.to_numpy().astype(np.int64)
    edges = np.unique(np.linspace(time.min(), time.max() + 1, BINS + 1).astype(np.int64))
    span = np.searchsorted(edges, time, side="right") - 1
    spans = np.arange(len(edges) - 1)
    pairs = sorted_unique(span * (len(frame["user"].cat.categories) + 1) + user)
    active = np.bincount(pairs // (len(frame["user"].cat.categories) + 1), minlength=len(spans))
    return pd.DataFrame(
        {
            "start": pd.to_datetime(edges[:-1], unit="s"),
            "interactions": np.bincount(span, minlength=len(spans)),
            "users": active,
        }
    )


def _each_once(interactions: Interactions) -> pd.DataFrame:
    """The rows, where a split was brought without those that stand under a second label."""
    frame = interactions.frame
    return frame.drop_duplicates(["user", "item", "timestamp"]) if "split" in frame else frame


def _quantiles(lengths: np.ndarray) -> dict[str, float]:
    points = {"min": 0, "quarter": 0.25, "median": 0.5, "three_quarters": 0.75, "max": 1}
    return {"mean": float(lengths.mean()), **{n: float(np.quantile(lengths, q)) for n, q in points.items()}}


def _day(seconds: int) -> str:
    return str(np.datetime64(int(seconds), "s").astype("datetime64[D]"))
