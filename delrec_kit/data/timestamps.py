"""Timestamps to whole seconds since 1970, or a line that says which one cannot be."""

import numpy as np
import pandas as pd

from delrec_kit.data.tables import Table

LATEST = 4_102_444_799  # seconds: the end of year 2099; pictures fail near year 9999
MILLISECONDS = 20_000_000_000  # from here on a number can only be milliseconds: as seconds it is the year 2603
WRITE = "write seconds since 1970"


def seconds(rows: Table) -> tuple[pd.Series, np.ndarray, list[str]]:
    """(rows,) int64 seconds, (rows,) the times as finely as the file gives them, and what was done, counted.

    Seconds, all milliseconds, or all dates (ISO 8601, UTC where no zone is given) are understood; a column that mixes
    them is refused at its first odd row. The finer times order rows within a second.
    """
    column = rows.frame["timestamp"]
    if isinstance(column.dtype, pd.CategoricalDtype):
        number, fine, notices = _of_text(rows, column)
    else:
        number, fine, notices = _of_numbers(rows, column.to_numpy())
    ahead = int((number > pd.Timestamp.now("UTC").timestamp()).sum())
    if ahead:
        notices.append(f"{ahead} interactions lie in the future")
    return pd.Series(number, index=column.index, copy=False), fine, notices


def _of_text(rows: Table, column: pd.Series) -> tuple[np.ndarray, np.ndarray, list[str]]:
    names, codes = column.cat.categories, column.cat.codes.to_numpy()

    def refuse(wrong: np.ndarray, what: str) -> None:
        if wrong.any():
            _refuse(rows, np.isin(codes, np.flatnonzero(wrong)), what)

    refuse(names == "", "the timestamp is missing; " + WRITE)
    values = plain_numbers(names)
    if np.isnan(values).all() and (dated := names.str.match(r"\d{4}-")).any():
        dates = pd.to_datetime(pd.Series(names).where(dated), errors="coerce", format="ISO8601", utc=True)
        if dates.notna().any():
            refuse(dates.isna(), "'{value}' is not an ISO date, as others are; write all alike, or seconds since 1970")
            fine = dates.dt.tz_convert(None).to_numpy()
            number = fine.astype("datetime64[s]").astype("int64")
            refuse(number < 0, "{value} is before 1970")
            refuse(number > LATEST, "{value} is after the year 2099")
            notices = [f"{len(codes)} timestamps read as dates (UTC where no zone is given)"]
            return number[codes], fine.astype("int64")[codes], notices
    refuse(~np.isfinite(values), "'{value}' is not a number; " + WRITE)
    return _of_numbers(rows, values[codes])


def _of_numbers(rows: Table, fine: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    number, notices = fine, []
    _refuse(rows, number < 0, "{value} is negative; " + WRITE)
    if (number >= MILLISECONDS).all() and len(number):
        number = number // 1000
        notices.append(f"{len(number)} timestamps read as milliseconds")
    _refuse(rows, number > LATEST, "{value} is after the year 2099; write seconds, not milliseconds or finer")
    if number.dtype != np.int64:
        _refuse(rows, number % 1 != 0, "{value} is not a whole number of seconds")
    return number.astype("int64", copy=False), fine, notices


def plain_numbers(names: pd.Index) -> np.ndarray:
    """(names,) what decimal numbers are worth; NaN for any other text, hexadecimal too."""
    values = pd.to_numeric(names, errors="coerce").to_numpy(dtype="float64", na_value=np.nan, copy=True)
    values[names.str.contains("x", case=False, regex=False)] = np.nan
    return values


def _refuse(rows: Table, wrong: np.ndarray, what: str) -> None:
    rows.refuse(wrong, "timestamp", what)
