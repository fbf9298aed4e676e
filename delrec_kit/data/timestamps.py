"""Timestamps to whole seconds since 1970, or a line that says which one cannot be."""

import numpy as np
import pandas as pd

from delrec_kit.data.tables import Table

LATEST = 4_102_444_799  # seconds: the end of year 2099; pictures fail near year 9999
MILLISECONDS = 20_000_000_000  # from here on a number can only be milliseconds: as seconds it is the year 2603
WRITE = "write seconds since 1970"


def seconds(rows: Table) -> tuple[pd.Series, list[str]]:
    """(rows,) int64, and what was done, counted. Seconds, all milliseconds, or all dates (ISO 8601, UTC where no zone
    is given) are understood; a column that mixes them is refused at its first odd row."""
    column = rows.frame["timestamp"]
    notices = []
    if isinstance(column.dtype, pd.CategoricalDtype):
        number, notices = _of_text(rows, column)
    else:
        number = column.to_numpy()
    _refuse(rows, number < 0, "{value} is negative; " + WRITE)
    large = number >= MILLISECONDS
    if large.all() and len(number):
        number = number // 1000
        notices.append(f"{len(number)} timestamps read as milliseconds")
    _refuse(rows, number > LATEST, "{value} is after the year 2099; write seconds, not milliseconds")
    if number.dtype != np.int64:
        _refuse(rows, number % 1 != 0, "{value} is not a whole number of seconds")
        number = number.astype("int64")
    ahead = int((number > pd.Timestamp.now("UTC").timestamp()).sum())
    if ahead:
        notices.append(f"{ahead} interactions lie in the future")
    return pd.Series(number, index=column.index), notices


def _of_text(rows: Table, column: pd.Series) -> tuple[np.ndarray, list[str]]:
    names, codes = column.cat.categories, column.cat.codes.to_numpy()
    _refuse(rows, np.isin(codes, np.flatnonzero(names == "")), "the timestamp is missing; " + WRITE)
    values = pd.to_numeric(names, errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
    if np.isnan(values).all():
        dates = pd.to_datetime(pd.Series(names), errors="coerce", format="ISO8601", utc=True)
        if dates.notna().any():
            wrong = dates.isna().to_numpy()
            _refuse(rows, np.isin(codes, np.flatnonzero(wrong)), "'{value}' is not a date such as 2017-11-05")
            return _epoch(dates)[codes], [f"{len(codes)} timestamps read as dates (UTC where no zone is given)"]
    wrong = ~np.isfinite(values)
    if wrong.any():
        _refuse(rows, np.isin(codes, np.flatnonzero(wrong)), "'{value}' is not a number; " + WRITE)
    return values[codes], []


def _epoch(dates: pd.Series) -> np.ndarray:
    return dates.dt.tz_convert(None).to_numpy().astype("datetime64[s]").astype("int64")


def _refuse(rows: Table, wrong: np.ndarray, what: str) -> None:
    rows.refuse(wrong, "timestamp", what)
