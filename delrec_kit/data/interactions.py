"""The validated table that everything later trusts."""

import unicodedata
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from delrec_kit.data.brought import LABELS, checked_labels
from delrec_kit.data.domain import Domain
from delrec_kit.data.tables import Table, brief
from delrec_kit.data.timestamps import plain_numbers, seconds
from delrec_kit.data.titles import INVISIBLE, clean_titles
from delrec_kit.settings.errors import nearest

SEARCHED = 100_000  # ids of the catalogue that are searched for another spelling


@dataclass(frozen=True)
class Interactions:
    """Who chose what, when, and what things are called.

    frame: user and item (categories, so that a row holds two numbers), timestamp (int64, seconds since 1970) and, where
    the data brings them, split and rating; by user, each user's rows by time, equal times in file order. The categories
    of user are in natural order ("u9" before "u10"), those of item are the index of titles. titles: raw item id ->
    cleaned title, in natural order of the ids. So nothing but ties in time depends on the order of rows in a file.
    notices: each clean-up with its count; untitled: raw ids of the items whose title had nothing in it.
    """

    frame: pd.DataFrame
    titles: pd.Series
    domain: Domain
    notices: list[str] = field(default_factory=list)
    untitled: frozenset[str] = frozenset()

    @property
    def users(self) -> np.ndarray:
        """(rows,) number of each row's user, an index into the categories."""
        return self.frame["user"].cat.codes.to_numpy().astype(np.int32, copy=False)

    @property
    def items(self) -> np.ndarray:
        """(rows,) place of each row's item in ``titles``."""
        return self.frame["item"].cat.codes.to_numpy().astype(np.int32, copy=False)

    def keep(self, rows: np.ndarray, notice: str | None = None, items: np.ndarray | None = None) -> "Interactions":
        """The ``rows`` that are true, and of the catalogue the ``items`` that are true; users without rows go."""
        frame = self.frame.loc[rows].reset_index(drop=True) if not rows.all() else self.frame
        frame = frame.assign(user=used_only(frame["user"]))
        titles = self.titles
        if items is not None:
            titles = titles[items]
            frame["item"] = frame["item"].cat.set_categories(titles.index)
        return replace(self, frame=frame, titles=titles, notices=[*self.notices, *([notice] if notice else [])])


def validate(rows: Table, catalogue: Table, domain: Domain) -> Interactions:
    """Interactions from two tables: user, item, timestamp[, split, rating] and item, title.

    Counted clean-ups: titles (see ``clean_titles``), catalogue rows that repeat another, interactions that repeat
    another in every column, interactions with items that the catalogue lacks, timestamps that are read as milliseconds
    or dates.
    Raises KitError with file, line and column for an empty id, a timestamp that cannot be one, an unknown split label,
    a row that stands under two labels, an item with two titles, or when most interactions are with unknown items.
    """
    titles, untitled, notices = _titles(catalogue, domain)
    for column in ("user", "item"):
        _refuse_ids(rows, column)
    frame = rows.frame.copy(deep=False)
    frame["timestamp"], time, found = seconds(rows)
    notices += found
    if "split" in frame:
        frame["split"] = _labels(rows)
    if "rating" in frame:
        frame["rating"] = _ratings(rows)
    frame["item"], known, found = _known(rows, catalogue, titles)
    notices += found
    frame["user"] = frame["user"].cat.set_categories(natural_order(frame["user"].cat.categories))
    if "split" not in frame:
        rows = None  # what was read is let go before it is sorted: at size it is half of the memory
    if not np.array_equal(time, frame["timestamp"].to_numpy()):
        frame["finer"] = time  # what happened twice within a second is no repeated row
    frame = _by_user_and_time(*(frame, time) if known.all() else (frame[known], time[known]))
    del time
    frame, found = _without_repeats(frame)
    frame = frame.drop(columns="finer", errors="ignore")
    notices += found
    if rows is not None:
        frame, found = checked_labels(frame, rows)
        notices += found
    frame = frame.reset_index(drop=True)
    frame["user"] = used_only(frame["user"])
    pa.default_memory_pool().release_unused()  # what reading and sorting took from Arrow's pool, which keeps it
    return Interactions(frame, titles, domain, notices, untitled)


def used_only(column: pd.Series) -> pd.Series:
    """Without the categories that no row has, in the same order; pandas' own way sorts all rows for it."""
    codes = column.cat.codes.to_numpy()
    used = np.bincount(codes, minlength=len(column.cat.categories)) > 0
    if used.all():
        return column
    place = (used.cumsum() - 1).astype(np.int32)
    return pd.Series(pd.Categorical.from_codes(place[codes], column.cat.categories[used]), index=column.index)


def natural_order(keys: pd.Index) -> pd.Index:
    """Shorter ids first, then by letters: "9" before "10", "u2" before "u10"."""
    names = np.asarray(keys, dtype=object)
    lengths = np.fromiter(map(len, names), np.int64, len(names))
    by_letter = np.argsort(names.astype("U") if lengths.max(initial=0) < 40 else names, kind="stable")
    return keys[by_letter[np.argsort(lengths[by_letter], kind="stable")]]


def _refuse_ids(table: Table, column: str) -> None:
    values = table.frame[column]
    names = values.cat.categories
    for wrong, what in (
        (names == "", "the id is empty"),
        (names.str.contains("\x00", regex=False), "the id holds a NUL byte; the file is damaged"),
        (names.str.contains("\ufeff", regex=False), "the id holds a byte-order mark; were two files joined?"),
    ):
        if wrong.any():
            table.refuse(np.isin(values.cat.codes, np.flatnonzero(wrong)), column, what)


def _titles(catalogue: Table, domain: Domain) -> tuple[pd.Series, frozenset[str], list[str]]:
    frame = catalogue.frame.astype("str")
    _refuse_ids(catalogue, "item")
    repeated = frame.duplicated()
    clash = frame[~repeated].duplicated("item").reindex(frame.index, fill_value=False)
    catalogue.refuse(clash, "item", "item '{value}' already has another title; give each item one row")
    raw = frame[~repeated].set_index("item")["title"]
    notices = [f"{repeated.sum()} repeated catalogue rows dropped"] if repeated.any() else []
    titles, empty, found = clean_titles(raw.loc[natural_order(raw.index)], domain)
    return titles, frozenset(empty), notices + found


def _labels(rows: Table) -> pd.Series:
    labels = rows.frame["split"].astype("str").str.lower()
    wrong = ~labels.isin(LABELS)
    if wrong.any():
        hint = nearest(labels[wrong].iloc[0], LABELS)
        rows.refuse(wrong, "split", "'{value}' is no part of a split" + hint)
    return labels


def _ratings(rows: Table) -> pd.Series:
    values = rows.frame["rating"]
    if not isinstance(values.dtype, pd.CategoricalDtype):
        return values.astype("float32")
    with np.errstate(over="ignore"):
        numbers = plain_numbers(values.cat.categories).astype("float32")
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        what = "'{value}' is not a number; mend it, or rename the column if it holds no ratings"
        rows.refuse(np.isin(values.cat.codes, np.flatnonzero(wrong)), "rating", what)
    return pd.Series(numbers[values.cat.codes], index=values.index)


def _known(rows: Table, catalogue: Table, titles: pd.Series) -> tuple[pd.Series, np.ndarray, list[str]]:
    """The item column in the catalogue's categories, which rows have one, and the count of the others."""
    raw = rows.frame["item"]
    item = raw.cat.set_categories(titles.index)
    known = item.notna().to_numpy()
    unknown = int((~known).sum())
    if unknown * 2 > len(known):
        example = str(raw.iloc[int((~known).argmax())])
        rows.refuse(
            ~known,
            "item",
            f"'{{value}}' is not in {catalogue.file.path.name}, nor are most"
            + (_alike(example, titles.index) or "; do the ids match?"),
        )
    if not unknown:
        return item, known, []
    row = int((~known).argmax())
    example = f"the first is '{brief(str(raw.iloc[row]))}' in line {rows.line(row)}"
    hint = _alike(str(raw.iloc[row]), titles.index)
    return item, known, [f"{unknown} interactions with items that the catalogue lacks dropped ({example}{hint})"]


def _alike(key: str, known: pd.Index) -> str:
    """A hint where an id is there in another spelling: "7.0" or "007" for "7", "b00x" for "B00X", "a b" for "ab"."""
    bare = _bare(key)
    spelled = next((other for other in known[:SEARCHED] if _bare(other) == bare), None)
    return "" if spelled is None else f"; the catalogue spells it '{brief(spelled)}'"


def _bare(key: str) -> str:
    """An id without what programs add or lose: case, blanks, leading zeros, a decimal point with nothing behind it."""
    key = "".join(unicodedata.normalize("NFKC", INVISIBLE.sub("", key)).casefold().split())
    return key.removesuffix(".0").lstrip("0")


def _without_repeats(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """``frame`` is sorted: only rows beside one of the same user and time can repeat another."""
    user, time = frame["user"].cat.codes.to_numpy(), frame["timestamp"].to_numpy()
    tied = (user[1:] == user[:-1]) & (time[1:] == time[:-1])
    near = np.append(False, tied) | np.append(tied, False)
    repeated = np.zeros(len(frame), dtype=bool)
    repeated[near] = frame[near].duplicated().to_numpy()
    if not repeated.any():
        return frame, []
    return frame[~repeated], [f"{repeated.sum()} repeated rows dropped"]


def _by_user_and_time(frame: pd.DataFrame, time: np.ndarray) -> pd.DataFrame:
    """Sorted; with a split, with the row of the file kept as index."""
    user = frame["user"].cat.codes.to_numpy()
    later = (user[1:] > user[:-1]) | ((user[1:] == user[:-1]) & (time[1:] >= time[:-1]))
    if later.all():
        return frame
    order = np.lexsort((time, user))
    if "split" in frame:
        return frame.iloc[order]
    return pd.DataFrame({name: frame.pop(name).array.take(order) for name in list(frame)}, copy=False)
