"""Checks on a split that the data brings in a column of its own."""

import numpy as np
import pandas as pd

from delrec_kit.data.tables import Table

LABELS = ("train", "history", "valid", "test")
LONG_AGO = -1  # before every timestamp


def checked_labels(frame: pd.DataFrame, rows: Table) -> tuple[pd.DataFrame, list[str]]:
    """The frame without targets that nothing precedes, and that count.

    ``frame`` is sorted by user and time, its index the row of ``rows``. Raises KitError with file, line and column
    where a target's row stands under a second label, a user has two targets of one kind, or a target is earlier than
    what is known before it (see ``brought_split``).
    """
    target = frame["split"].isin(["valid", "test"])
    two_labels = frame.duplicated(["user", "item", "timestamp"], keep=False) & target
    _refuse(rows, frame, two_labels, "the same user, item and timestamp stand under another label, beside '{value}'")
    second = frame.duplicated(["user", "split"]) & target
    _refuse(rows, frame, second, "a second row marked '{value}' for this user; a user has at most one")
    user, before = _last_known(frame)
    time = frame["timestamp"].to_numpy()
    is_valid, is_test = ((frame["split"] == name).to_numpy() for name in ("valid", "test"))
    valid_time = np.full(len(before), LONG_AGO)
    valid_time[user[is_valid]] = time[is_valid]
    early = (target.to_numpy() & (time < before[user])) | (is_test & (time < valid_time[user]))
    _refuse(rows, frame, early, "this row marked '{value}' is earlier than what is known of the user before it")
    alone = target.to_numpy() & (before[user] == LONG_AGO)
    notices = [f"{alone.sum()} targets with nothing known before them left out"] if alone.any() else []
    ahead = _trains_on_later(frame, user, time, target.to_numpy() & ~alone)
    if ahead:
        notices.append(f"{ahead} users have 'train' rows later than their own target: the training sees their future")
    return frame[~alone], notices


def _trains_on_later(frame: pd.DataFrame, user: np.ndarray, time: np.ndarray, target: np.ndarray) -> int:
    """Users with a training row after their first target."""
    first = np.full(user.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, user[target], time[target])
    trains = (frame["split"] == "train").to_numpy()
    return len(np.unique(user[trains & (time > first[user])]))


def _last_known(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) user numbers, and (users,) the time of the last ``history`` row, else of the last ``train`` row."""
    user, keys = frame["user"].cat.codes.to_numpy(), frame["user"].cat.categories
    last = {}
    for name in ("history", "train"):
        chosen = (frame["split"] == name).to_numpy()
        last[name] = np.full(len(keys), LONG_AGO)
        last[name][user[chosen]] = frame["timestamp"].to_numpy()[chosen]  # sorted by time, so the last one stays
    return user, np.where(last["history"] != LONG_AGO, last["history"], last["train"])


def _refuse(rows: Table, frame: pd.DataFrame, wrong: pd.Series | np.ndarray, what: str) -> None:
    in_file = np.zeros(len(rows.frame), dtype=bool)
    in_file[frame.index[np.asarray(wrong)]] = True
    rows.refuse(in_file, "split", what)
