"""The validated table that everything later trusts."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from delrec_kit.data.brought import LABELS, checked_labels
from delrec_kit.data.domain import Domain
from delrec_kit.data.tables import Table, brief
from delrec_kit.data.titles import clean_titles
from delrec_kit.errors import nearest

LATEST = 4_102_444_799  # seconds: the end of year 2099; pictures fail near year 9999


@dataclass(frozen=True)
class Interactions:
    """Who chose what, when, and what things are called.

    frame: user (str), item (str), timestamp (int64, seconds since 1970) and, where the data brings a split, split;
    users in order of first appearance, each user's rows by time, equal times in file order. titles: raw item id ->
    cleaned title, in catalogue order, holding every item of the frame. notices: each clean-up with its count.
    """

    frame: pd.DataFrame
    titles: pd.Series
    domain: Domain
    notices: list[str] = field(default_factory=list)


def validate(rows: Table, catalogue: Table, domain: Domain) -> Interactions:
    """Interactions from two tables of strings: user, item, timestamp[, split] and item, title.

    Counted clean-ups: titles (see ``clean_titles``), catalogue rows that repeat another, interactions that repeat
    another in every column, interactions with items that the catalogue lacks.
    Raises KitError with file, line and column for an empty id, a timestamp that is no whole number of seconds from 0
    to the year 2099, an unknown split label, a row that stands under two labels, an item with two titles, or when
    most interactions are with unknown items.
    """
    titles, notices = _titles(catalogue, domain)
    frame = rows.frame
    for column in ("user", "item"):
        rows.refuse(frame[column] == "", column, "the id is empty")
    frame = frame.assign(timestamp=_seconds(rows))
    if "split" in frame:
        frame["split"] = _labels(rows)
    known, found = _known(rows, catalogue, titles)
    notices += found
    frame = frame[known]
    frame, found = _without_repeats(frame)
    notices += found
    frame = _by_user_and_time(frame)
    if "split" in frame:
        frame, found = checked_labels(frame, rows)
        notices += found
    return Interactions(frame.reset_index(drop=True), titles, domain, notices)


def _titles(catalogue: Table, domain: Domain) -> tuple[pd.Series, list[str]]:
    frame = catalogue.frame
    catalogue.refuse(frame["item"] == "", "item", "the id is empty")
    repeated = frame.duplicated()
    clash = frame[~repeated].duplicated("item").reindex(frame.index, fill_value=False)
    catalogue.refuse(clash, "item", "item '{value}' already has another title; give each item one row")
    titles, notices = clean_titles(frame[~repeated].set_index("item")["title"], domain)
    if repeated.any():
        notices.insert(0, f"{repeated.sum()} repeated catalogue rows dropped")
    return titles, notices


def _seconds(rows: Table) -> pd.Series:
    text = rows.frame["timestamp"]
    rows.refuse(text == "", "timestamp", "the timestamp is missing; write seconds since 1970")
    number = pd.to_numeric(text, errors="coerce").astype("float64")
    rows.refuse(~np.isfinite(number), "timestamp", "'{value}' is not a number; write seconds since 1970")
    rows.refuse(number < 0, "timestamp", "{value} is negative; write seconds since 1970")
    rows.refuse(number > LATEST, "timestamp", "{value} is after the year 2099; write seconds, not milliseconds")
    rows.refuse(number % 1 != 0, "timestamp", "{value} is not a whole number of seconds")
    return number.astype("int64")


def _labels(rows: Table) -> pd.Series:
    labels = rows.frame["split"].str.lower()
    wrong = ~labels.isin(LABELS)
    if wrong.any():
        hint = nearest(labels[wrong].iloc[0], LABELS)
        rows.refuse(wrong, "split", "'{value}' is no part of a split" + hint)
    return labels


def _known(rows: Table, catalogue: Table, titles: pd.Series) -> tuple[np.ndarray, list[str]]:
    known = rows.frame["item"].isin(titles.index).to_numpy()
    unknown = int((~known).sum())
    if unknown * 2 > len(known):
        rows.refuse(
            ~known, "item", f"'{{value}}' is not in {catalogue.file.path.name}, nor are most; do the ids match?"
        )
    if not unknown:
        return known, []
    row = int((~known).argmax())
    example = f"the first is '{brief(rows.frame['item'].iloc[row])}' in line {rows.line(row)}"
    return known, [f"{unknown} interactions with items that the catalogue lacks dropped ({example})"]


def _without_repeats(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    repeated = frame.duplicated()
    frame = frame[~repeated]
    return frame, [f"{repeated.sum()} repeated rows dropped"] if repeated.any() else []


def _by_user_and_time(frame: pd.DataFrame) -> pd.DataFrame:
    """Sorted, with the row of the file kept as index."""
    user = pd.factorize(frame["user"])[0]
    return frame.iloc[np.lexsort((frame["timestamp"], user))]
