"""What the data is like, in numbers."""

import numpy as np
import pandas as pd

from delrec_kit.data.interactions import Interactions
from delrec_kit.data.split import Split
from delrec_kit.data.times import SECOND

BINS = 40
TIED = 0.5  # share of users whose last two have the same time, from which a warning is due
HIGHEST = 0.9  # share of them whose target is the highest id, from which the file seems sorted


def describe(interactions: Interactions, split: Split) -> dict:
    """Plain numbers, ready for JSON.

    ``length`` are interactions a user; ``ties_in_time``: share of neighbouring interactions of a user that share a
    timestamp; ``last_two_tie``: share of users whose last two do, whose "last" item thus hangs on file order;
    ``cold_users`` and ``cold_items``: test cases whose user, or whose target, no training sequence has;
    ``repeated_choices``: interactions with an item that the user had before; ``duplicate_titles``: titles that more
    than one item bears.
    """
    engine, titles = interactions.engine, interactions.titles
    rows = _each_once(interactions)
    beside = f"SELECT *, lag(user) OVER () AS u, lag(time) OVER () AS t, lead(user) OVER () AS next FROM {rows}"
    count, low, high, pairs, neighbours, tied, several, last_tied = engine.one(
        f"SELECT count(*), min(time), max(time), (SELECT count(*) FROM (SELECT DISTINCT user, item FROM {rows})), "
        "count(*) FILTER (user = u), count(*) FILTER (user = u AND time = t), "
        "count(*) FILTER (user = u AND next IS DISTINCT FROM user), "
        f"count(*) FILTER (user = u AND time = t AND next IS DISTINCT FROM user) FROM ({beside})"
    )
    lengths = engine.frame(f"SELECT count(*) AS n FROM {rows} GROUP BY user")["n"].to_numpy()
    used = engine.one(f"SELECT count(DISTINCT item) FROM {rows}")[0]
    counts = titles.value_counts()
    low, high = low // SECOND, high // SECOND
    first, last = (str(np.datetime64(int(seconds), "s"))[:10] for seconds in (low, high))
    timed = {"first_day": first, "last_day": last} if interactions.timed else {}
    return {
        **({"rows_read": interactions.rows_read} if interactions.rows_read is not None else {}),
        "users": len(lengths),
        "items": len(titles),
        "interactions": count,
        "density": count / (len(lengths) * len(titles)),
        "length": _quantiles(lengths),
        **timed,
        "days": float(high - low) / 86400,
        "ties_in_time": tied / max(neighbours, 1),
        "last_two_tie": last_tied / max(several, 1),
        "repeated_choices": count - pairs,
        "duplicate_titles": int((counts > 1).sum()),
        "items_nobody_had": len(titles) - used,
        "training_users": int((split.train.lengths > 0).sum()),
        "training_interactions": len(split.train.values),
        "valid_cases": len(split.valid),
        "test_cases": len(split.test),
        "cold_users": int((split.train.lengths[split.test.user] == 0).sum()),
        "cold_items": int((~np.isin(split.test.target, split.train.values)).sum()),
    }


def told_of_ties(interactions: Interactions, found: dict, ties: str) -> list[str]:
    """A warning where ties in time decide most targets, and where the file seems sorted by item."""
    if not interactions.timed:
        return _told_of_order(interactions)
    if found["last_two_tie"] < TIED:
        return []
    last = f"SELECT user, max(time) AS time, max(rowid) AS place FROM {interactions.table} GROUP BY user"
    ended = "SELECT user, max(item) AS top, max(item) FILTER (r.rowid = place) AS last, count(*) AS n FROM "
    ended += f"{interactions.table} r JOIN ({last}) USING (user, time) GROUP BY user"
    tied, highest = interactions.engine.one(
        f"SELECT count(*) FILTER (n > 1), count(*) FILTER (n > 1 AND top = last) FROM ({ended})"
    )
    how = {"file": "the order of rows in the file decides", "random": "chance decides", "item": "the item id decides"}
    more = ""
    if ties == "file" and highest > HIGHEST * tied:
        more = f"; for {highest} of them it is the highest id, as in a file that is sorted by item"
    advice = " (data.ties=random draws it)" if ties == "file" else ""
    share = f"{tied} of {found['users']} users have several last items of the same time"
    return [f"{share}: {how[ties]} which of them is the target{more}{advice}"]


def _told_of_order(interactions: Interactions) -> list[str]:
    """A warning where rows without times seem sorted by item, so that their order tells nothing of time."""
    rows = f"SELECT item < lag(item) OVER (PARTITION BY user ORDER BY rowid) AS falls FROM {interactions.table}"
    falls, steps = interactions.engine.one(f"SELECT count(*) FILTER (falls), count(falls) FROM ({rows})")
    if not steps or falls not in (0, steps):
        return []
    way = "rising" if not falls else "falling"
    return [f"the rows of every user stand by {way} item id: that is a sorted file, and no order of time"]


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


def as_read(split: Split, users: int = 10, shown: int = 3) -> pd.DataFrame:
    """Some users as the model will read them: the last titles known, and the title to predict (of the test)."""
    cases = split.test
    rows = np.unique(np.linspace(0, len(cases) - 1, users).astype(int))
    titles = np.array(split.titles, dtype=object)
    columns = {
        "user": [split.user_keys[cases.user[row]] for row in rows],
        "known": [len(cases.history[row]) for row in rows],
        "the last of them, oldest first": [" → ".join(titles[cases.history[row][-shown:]]) for row in rows],
        "to predict": titles[cases.target[rows]],
    }
    return pd.DataFrame(columns)


def timeline(interactions: Interactions) -> pd.DataFrame:
    """Interactions and active users in equal spans of time: start (datetime), interactions, users."""
    engine, rows = interactions.engine, _each_once(interactions)
    low, high = engine.one(f"SELECT min(time) // {SECOND}, max(time) // {SECOND} FROM {rows}")
    seconds = -(-(high - low + 1) // BINS)
    found = engine.frame(
        f"SELECT (time // {SECOND} - {low}) // {seconds} AS span, count(*) AS interactions, "
        f"count(DISTINCT user) AS users FROM {rows} GROUP BY span"
    )
    found = found.set_index("span").reindex(range((high - low) // seconds + 1), fill_value=0)
    found.insert(0, "start", pd.to_datetime(low + seconds * found.index.to_numpy(), unit="s"))
    return found.reset_index(drop=True)


def _each_once(interactions: Interactions) -> str:
    """The engine's table, where a split was brought without what stands under a second label."""
    if not interactions.brings_split:
        return interactions.table
    first = f"SELECT min(rowid) FROM {interactions.table} GROUP BY user, item, time"
    return interactions.engine.table(f"SELECT * FROM {interactions.table} WHERE rowid IN ({first}) ORDER BY rowid")


def _quantiles(lengths: np.ndarray) -> dict[str, float]:
    points = {"min": 0, "quarter": 0.25, "median": 0.5, "three_quarters": 0.75, "max": 1}
    return {"mean": float(lengths.mean()), **{n: float(np.quantile(lengths, q)) for n, q in points.items()}}
