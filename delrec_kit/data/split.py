"""Interactions -> training sequences, validation cases, test cases."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from delrec_kit.data.filters import drop_short_users
from delrec_kit.data.interactions import LABELS, Interactions
from delrec_kit.data.ragged import Ragged, among, sorted_unique
from delrec_kit.data.tables import brief
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.streams import stream

BLOCK = 2**14  # users at a time


@dataclass(frozen=True)
class Cases:
    """U evaluation cases: ``user`` (U,) index into the split's users, rising; ``history`` U sequences oldest first;
    ``target`` (U,) the item that came next, 0 where it is not known."""

    user: np.ndarray
    history: Ragged
    target: np.ndarray

    @classmethod
    def of_histories(cls, histories: Ragged, users: np.ndarray | None = None) -> "Cases":
        """People with histories and no known target; users (U,): whose they are, -1 for nobody of the data."""
        nobody = np.full(len(histories), -1) if users is None else np.asarray(users)
        return cls(nobody, histories, np.zeros(len(histories), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: np.ndarray) -> "Cases":
        return Cases(self.user[rows], self.history.take(rows), self.target[rows])


@dataclass(frozen=True)
class Split:
    """Items are 1…N in catalogue order, 0 is padding; users are 0…U-1 in natural order of their ids.

    titles, item_keys: N+1 strings, the first empty; user_keys: U raw ids; train: U training sequences, oldest first,
    possibly empty. No validation or test target's occurrence stands in ``train``. cut: items that a user had and that
    stand nowhere in this split: they were rated too low, or came before the last that were kept, or after a target.
    """

    titles: list[str]
    item_keys: list[str]
    user_keys: list[str]
    train: Ragged
    valid: Cases
    test: Cases
    cut: Ragged | None = None

    @property
    def n_items(self) -> int:
        """N"""
        return len(self.titles) - 1

    def consumed(self) -> Ragged:
        """For each user every item that it ever had, those that were cut off included, each once, in rising order."""
        users, width = len(self.user_keys), len(self.titles)
        most = sum(map(len, (self.train.values, self.valid.history.values, self.test.history.values)))
        most += len(self.valid) + len(self.test) + (0 if self.cut is None else len(self.cut.values))
        items, filled = np.empty(most, np.int64), 0  # pages that are never written cost no memory
        lengths = [np.empty(0, np.int64)]
        for start in range(0, users, BLOCK):  # bounds the memory
            stop = min(start + BLOCK, users)
            train = self.train.take(np.arange(start, stop))
            parts = [(start + train.rows) * width + train.values]
            for cases in (self.valid, self.test):
                rows = np.arange(*np.searchsorted(cases.user, [start, stop]))
                user, history = cases.user[rows], cases.history.take(rows)
                parts += [user[history.rows] * width + history.values, user * width + cases.target[rows]]
            if self.cut is not None:
                cut = self.cut.take(np.arange(start, stop))
                parts.append((start + cut.rows) * width + cut.values)
            codes = sorted_unique(np.concatenate(parts))
            items[filled : filled + len(codes)] = codes % width
            filled += len(codes)
            lengths.append(np.bincount(codes // width - start, minlength=stop - start))
        return Ragged.of_lengths(items[:filled], np.concatenate(lengths))


def knowing_all(split: Split, before: Interactions) -> Split:
    """The split, told of what its users had in ``before``, from which interactions were left out to make it."""
    width = len(split.titles)
    had, keys = before.sequences()
    users = pd.Index(split.user_keys).get_indexer(keys)[had.rows]
    items = np.append(-1, pd.Index(split.item_keys[1:]).get_indexer(before.titles.index))[had.values] + 1
    known = (users >= 0) & (items > 0)
    had = sorted_unique(users[known].astype(np.int64) * width + items[known])
    own = split.consumed()
    cut = had[~among(own.rows * width + own.values, had)]
    return replace(split, cut=Ragged.from_groups(cut // width, cut % width, len(split.user_keys)))


def leave_one_out(interactions: Interactions, min_interactions: int = 3) -> Split:
    """The last item of each user tests, the one before validates, the rest trains.

    "Last" is by time; equal times are ordered as ``data.ties`` says. The test case's history includes the validation
    target. Users with fewer than ``min_interactions`` (at least 3) are left out; KitError if none remains.
    """
    interactions = drop_short_users(interactions, max(min_interactions, 3))
    sequences, user_keys = interactions.sequences()
    everyone, ends = np.arange(len(user_keys)), sequences.offsets[1:]
    validates, tests = sequences.values[ends - 2], sequences.values[ends - 1]
    known = sequences.drop_last(1)
    del sequences  # the rows lie in memory twice, not three times
    train = known.drop_last(1)
    valid, test = Cases(everyone, train, validates), Cases(everyone.copy(), known, tests)
    return Split(*_catalogue(interactions), user_keys, train, valid, test)


def temporal(interactions: Interactions) -> tuple[Split, list[str]]:
    """8:1:1 by time, the same two moments for all: nothing that trains is later than anything that is predicted.

    Interactions before the first moment train. A user's first interaction between the moments validates, its first one
    after the second tests, each with all that the user did before as history; what has no history is left out, and
    users without a training sequence are cold. (Leave-one-out lets other users' later interactions train: arXiv
    2010.11060.) What neither trains nor is predicted nor stands in a history is counted, and so are targets that share
    the time of the item before, whose order ``data.ties`` decides. Raises KitError where a part would be empty.
    """
    sequences, user_keys = interactions.sequences()
    user, item, offsets = sequences.rows, sequences.values, sequences.offsets
    time = interactions.column("time")
    n = len(time)
    first, second = np.partition(time, [n * 8 // 10, n * 9 // 10])[[n * 8 // 10, n * 9 // 10]]
    early = time < first
    train = Ragged.from_groups(user[early], item[early], len(user_keys))
    windows = ((time >= first) & (time < second), time >= second)
    valid, test = (_first_in(window, user, offsets) for window in windows)
    rows, notices = np.concatenate([valid, test]), []
    last = np.full(len(user_keys), -1)
    np.maximum.at(last, user[rows], rows)
    idle = int((~early & (np.arange(n) > last[user])).sum())
    if idle:
        notices.append(f"{idle} interactions neither train, nor are predicted, nor stand before a target")
    tied = int((time[rows] == time[rows - 1]).sum())
    if tied:
        notices.append(f"{tied} of {len(rows)} targets have the same time as the item before them")
    valid, test = (_case_at(rows, user, item, offsets) for rows in (valid, test))
    for part, size in (("training", len(train.values)), ("validation", len(valid)), ("test", len(test))):
        if not size:
            raise KitError(f"the temporal split leaves nothing for the {part}; take data.split=leave-one-out")
    return Split(*_catalogue(interactions), user_keys, train, valid, test), notices


def by_user(interactions: Interactions, seed: int) -> Split:
    """8:1:1 by user: of each user in the last two parts the last item is predicted from all before it, and nothing of
    them trains. Raises KitError for fewer than ten users."""
    interactions = drop_short_users(interactions, 3)
    sequences, user_keys = interactions.sequences()
    U = len(user_keys)
    if U < 10:
        raise KitError(f"a split 8:1:1 by user needs ten users, and there are {U}; take data.split=leave-one-out")
    part = np.random.default_rng([seed, 3]).permutation(np.arange(U) * 10 // U)
    valid, test = (
        Cases(u, sequences.take(u).drop_last(1), sequences.values[sequences.offsets[u + 1] - 1])
        for u in (np.flatnonzero(part == 8), np.flatnonzero(part == 9))
    )
    trains = part[sequences.rows] < 8
    train = Ragged.from_groups(sequences.rows[trains], sequences.values[trains], U)
    return Split(*_catalogue(interactions), user_keys, train, valid, test)


def brought_split(interactions: Interactions) -> Split:
    """The split that the column ``split`` of the interactions states.

    ``train`` rows are training sequences, and nothing else trains. ``valid`` and ``test`` rows are targets, at most
    one of each a user. What is known of a user before a target are its ``history`` rows, or its ``train`` rows where
    it has no ``history`` rows; before a test target also its validation target. Targets with nothing before them are
    left out (``checked_split`` counts them). Users with only ``train`` rows train and are not evaluated.
    Raises KitError where no row trains, validates or tests, or a user has two targets of a kind.
    """
    sequences, user_keys = interactions.sequences()
    user, item, label = sequences.rows, sequences.values, interactions.column("split", np.int8)
    marked = {name: label == code for code, name in enumerate(LABELS)}

    def rows_of(*masks: np.ndarray) -> Ragged:
        rows = np.concatenate([np.flatnonzero(mask) for mask in masks])
        return Ragged.from_groups(user[rows], item[rows], len(user_keys))

    for name in ("train", "valid", "test"):
        if not marked[name].any():
            raise KitError(f"the split that the data brings has no row marked '{name}'; mark some, or drop the column")
    told = np.isin(user, user[marked["history"]])
    known = np.where(told, marked["history"], marked["train"])
    parts = []
    for name, history in (("valid", (known,)), ("test", (known, marked["valid"]))):
        targets = rows_of(marked[name])
        if targets.lengths.max() > 1:
            key = brief(user_keys[int(targets.lengths.argmax())])
            raise KitError(f"user '{key}' has {targets.lengths.max()} rows marked '{name}'; a user has at most one")
        asked = np.intersect1d(user[marked[name]], user[known])
        if not len(asked):
            raise KitError(f"no '{name}' row has anything known before it; mark earlier rows 'history' or 'train'")
        parts.append(Cases(asked, rows_of(*history).take(asked), targets.take(asked).values))
    cut = rows_of(marked["unused"]) if marked["unused"].any() else None
    return Split(*_catalogue(interactions), user_keys, rows_of(marked["train"]), *parts, cut)


def of_few(split: Split, users: int, seed: int) -> Split:
    """The split of a small shop: only ``users`` of its people train and validate, and all are tested. Raises KitError
    where fewer do both."""
    trains = np.intersect1d(np.flatnonzero(split.train.lengths > 1), split.valid.user)
    if not len(trains):
        raise KitError("data.train_users needs users who train and validate; data.split=by-user has none")
    if len(trains) < users:
        raise KitError(f"data.train_users={users}: only {len(trains)} users train and validate; take fewer, or 0")
    chosen = stream(seed, "users of a small shop").permutation(trains)[:users]
    kept = np.isin(np.arange(len(split.train)), chosen)
    rows = kept[split.train.rows]
    train = Ragged.of_lengths(split.train.values[rows], np.where(kept, split.train.lengths, 0))
    return replace(split, train=train, valid=split.valid.take(np.flatnonzero(kept[split.valid.user])))


def halves(cases: Cases, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two random halves, so that what was chosen on one is weighed on the other: rows of the cases that stop trainings
    (of teachers too) and choose their best step, in random order; and, rising, of those that weigh several rankers."""
    order = stream(seed, "halves of the validation users").permutation(len(cases))
    half = -(-len(order) // 2)
    return order[:half], np.sort(order[half:])


def _first_in(window: np.ndarray, user: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Of each user the first row that is true, if something precedes it; rows are by user and time."""
    rows = np.flatnonzero(window)
    rows = rows[np.append(True, user[rows][1:] != user[rows][:-1])] if len(rows) else rows
    return rows[rows > offsets[user[rows]]]


def _case_at(rows: np.ndarray, user: np.ndarray, item: np.ndarray, offsets: np.ndarray) -> Cases:
    """The cases whose targets stand in ``rows``, each with all that the user did before."""
    users = user[rows].astype(np.int64)
    return Cases(users, Ragged.slices(item, offsets[users], rows - offsets[users]), item[rows])


def _catalogue(interactions: Interactions) -> tuple[list[str], list[str]]:
    return ["", *interactions.titles.tolist()], ["", *interactions.titles.index.tolist()]
