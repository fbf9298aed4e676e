"""The validated table that everything later trusts."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from delrec_kit.data.domain import Domain
from delrec_kit.data.engine import Engine
from delrec_kit.data.ragged import Ragged
from delrec_kit.data.times import SECOND

LABELS = ("train", "history", "valid", "test", "unused")  # of a brought split; unused rows are only known of a user


@dataclass(frozen=True)
class Interactions:
    """Who chose what, when, and what things are called.

    table: the engine's, with user and item (numbers), time (microseconds since 1970) and, where the data brings them,
    rating, label and split (a place in ``LABELS``); by user and time, equal times as ``data.ties`` says. users: the
    engine's table of keys and numbers, in natural order ("u9" before "u10"), as are titles, raw item id -> cleaned
    title; places: (N,) the number of each in the table. So nothing but ties depends on the order of rows in a file.
    notices: each clean-up with its count; untitled: ids of items whose title had nothing in it; timed: False where the
    order of rows stands for time; rows_read: of the file, before anything was left out.
    """

    engine: Engine
    table: str
    users: str
    titles: pd.Series
    places: np.ndarray
    domain: Domain
    notices: list[str] = field(default_factory=list)
    untitled: frozenset[str] = frozenset()
    timed: bool = True
    rows_read: int | None = None

    @classmethod
    def of_frame(cls, frame: pd.DataFrame, titles: pd.Series, domain: Domain, notices: Sequence[str]) -> "Interactions":
        """From sound rows in any order: user and item by key, timestamp in seconds, and perhaps rating and split."""
        engine = Engine()
        users = pd.Index(sorted(frame["user"].unique(), key=lambda key: (len(key), key)), dtype="str")
        columns = {
            "user": users.get_indexer(frame["user"]).astype(np.int32),
            "item": titles.index.get_indexer(frame["item"]).astype(np.int32),
            "time": frame["timestamp"].to_numpy() * SECOND,
            **{name: frame[name].to_numpy() for name in ("rating",) if name in frame},
        }
        if "split" in frame:
            columns["split"] = frame["split"].map(LABELS.index).to_numpy(np.int8)
        table = engine.table(f"SELECT * FROM {engine.given(**columns)} ORDER BY user, time, rowid")
        keys = engine.given(number=np.arange(len(users), dtype=np.int32), key=users.to_numpy(object))
        return cls(engine, table, keys, titles, np.arange(len(titles)), domain, list(notices))

    def __len__(self) -> int:
        return self.engine.count(self.table)

    @property
    def brings_split(self) -> bool:
        return "split" in self.engine.columns(self.table)

    @property
    def user_keys(self) -> list[str]:
        """Keys of the users that have rows."""
        return self._users()[0]

    def keep(self, condition: str, notice: str | None = None, items: np.ndarray | None = None) -> "Interactions":
        """The rows for which ``condition`` is true, and of the catalogue the ``items`` that are true."""
        order = " ORDER BY rowid" if "SELECT" in condition else ""  # a join that goes to disk loses it
        table = self.engine.table(f"SELECT * FROM {self.table} WHERE {condition}{order}")
        titles, places = (self.titles, self.places) if items is None else (self.titles[items], self.places[items])
        notices = [*self.notices, *([notice] if notice else [])]
        return replace(self, table=table, titles=titles, places=places, notices=notices)

    def noting(self, *notices: str) -> "Interactions":
        return replace(self, notices=[*self.notices, *notices])

    def sequences(self) -> tuple[Ragged, list[str]]:
        """Each user's items 1 … N, oldest first, and the users' keys."""
        keys, lengths = self._users()
        numbers = np.zeros(int(self.places.max(initial=-1)) + 1, dtype=np.int64)  # of an item of the table
        numbers[self.places] = np.arange(1, len(self.places) + 1)
        query, rows = f"SELECT item FROM {self.table}", int(lengths.sum())
        return Ragged.of_lengths(self.engine.column(query, rows, through=numbers), lengths), keys

    def column(self, name: str, kind: type = np.int64) -> np.ndarray:
        """(rows,) one of the table's columns, in order."""
        return self.engine.column(f"SELECT {name} FROM {self.table}", len(self), kind)

    def _users(self) -> tuple[list[str], np.ndarray]:
        """Keys of the users that have rows, and how many."""
        counts = f"SELECT user, count(*) AS n FROM {self.table} GROUP BY user"
        query = f"SELECT key, n FROM ({counts}) JOIN {self.users} ON user = number ORDER BY number"
        found = self.engine.connection.sql(query).to_arrow_table()
        return found["key"].to_pylist(), found["n"].to_numpy()
