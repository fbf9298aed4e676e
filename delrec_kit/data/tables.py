"""Delimited text files, read as strings so that every complaint can name a file, a line and a column.

The quick way reads by Arrow. Where that fails, or a value turns out wrong, the file is walked once more, slowly, by
the csv module, which knows its lines.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from delrec_kit.errors import KitError, nearest

NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what bytes become that cannot be decoded
DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error)


def brief(value: str, limit: int = 40) -> str:
    """A value as an error message quotes it: one line, at most ``limit`` characters."""
    value = " ".join(value.split())
    return value if len(value) <= limit else value[: limit - 1] + "…"


@dataclass(frozen=True)
class TextFile:
    """How a file is written. ``names`` are its columns; None means that line 1 names them.

    A gzip file is known by its first bytes, not by its name; a byte-order mark and CRLF line ends are accepted.
    """

    path: Path
    names: tuple[str, ...] | None = None
    delimiter: str = ","
    quoted: bool = True
    encoding: str = "utf-8-sig"

    def open(self) -> IO[bytes]:
        """The bytes of the file, unpacked."""
        try:
            with open(self.path, "rb") as raw:
                packed = raw.read(2) == b"\x1f\x8b"
        except OSError as error:
            raise KitError(f"{self.path} cannot be opened: {error.strerror}") from error
        return gzip.open(self.path, "rb") if packed else open(self.path, "rb")

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row that is not blank with the line that it begins on, checked for what cannot be read."""
        line, width = 1, None
        with self._text() as text:
            quoting = csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
            reader = csv.reader(text, delimiter=self.delimiter, quoting=quoting, strict=True)
            try:
                for fields in reader:
                    if fields:
                        width = width or len(fields)
                        self._check_row(fields, line, width)
                        yield line, fields
                    line = reader.line_num + 1
            except DAMAGE as error:
                raise KitError(f"{self.path}, after line {line - 1}: the gzip file is damaged or cut off") from error
            except csv.Error as error:
                raise KitError(f"{self.path}, line {line}: {error}; is a quotation mark left open?") from error

    def read(self, wanted: tuple[str, ...], optional: tuple[str, ...] = ()) -> "Table":
        """The columns ``wanted``, and those of ``optional`` that are there, stripped of outer blanks."""
        columns = self._columns(wanted)
        chosen = [*wanted, *(name for name in optional if name in columns)]
        if self.encoding == "utf-8-sig":
            frame = self._read_by_arrow(columns, chosen)
        else:
            rows = [fields for _, fields in self.rows()][self.names is None :]
            frame = pd.DataFrame(rows, columns=columns, dtype="str")[chosen]
            frame = frame.apply(lambda column: column.str.strip())
        if not len(frame):
            raise KitError(f"{self.path} has a header and no rows")
        return Table(self, frame)

    @contextmanager
    def _text(self) -> Iterator[IO[str]]:
        with self.open() as raw, io.TextIOWrapper(raw, self.encoding, errors="surrogateescape", newline="") as text:
            yield text

    def _check_row(self, fields: list[str], line: int, width: int) -> None:
        where = f"{self.path}, line {line}"
        if len(fields) != width:
            hint = "; put quotes around a value that holds the delimiter" if len(fields) > width else ""
            raise KitError(f"{where}: {len(fields)} columns where the first line has {width}{hint}")
        for column, value in enumerate(fields, start=1):
            if bad := NOT_UTF8.search(value):
                byte = ord(bad[0]) - 0xDC00
                raise KitError(f"{where}, column {column}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8")

    def _columns(self, wanted: tuple[str, ...]) -> list[str]:
        line, first = next(self.rows(), (0, None))
        if first is None:
            raise KitError(f"{self.path} is empty")
        columns = [name.strip() for name in first] if self.names is None else self._named(len(first))
        for name in wanted:
            if name not in columns:
                raise KitError(f"{self.path}, line {line}: no column '{name}'{nearest(name, map(brief, columns))}")
        twice = [name for name in columns if columns.count(name) > 1]
        if twice:
            raise KitError(f"{self.path}, line {line}: the column '{twice[0]}' stands there twice")
        return columns

    def _named(self, width: int) -> list[str]:
        names = self.names or ()
        if width < len(names):
            delimiter = {"\t": "tab", "|": "'|'"}.get(self.delimiter, self.delimiter)
            raise KitError(
                f"{self.path}, line 1: {width} columns where {len(names)} are expected ({', '.join(names)}), "
                f"separated by {delimiter}"
            )
        return [*names, *(f"column {i + 1}" for i in range(len(names), width))]

    def _read_by_arrow(self, columns: list[str], chosen: list[str]) -> pd.DataFrame:
        try:
            with self.open() as raw:
                table = pyarrow.csv.read_csv(
                    raw,
                    pyarrow.csv.ReadOptions(column_names=columns),
                    pyarrow.csv.ParseOptions(
                        delimiter=self.delimiter,
                        quote_char='"' if self.quoted else False,
                        newlines_in_values=self.quoted,
                    ),
                    pyarrow.csv.ConvertOptions(
                        include_columns=chosen, column_types=dict.fromkeys(chosen, pa.large_string())
                    ),
                )
        except (pa.ArrowInvalid, OSError, *DAMAGE) as error:
            for _ in self.rows():
                pass
            raise KitError(f"{self.path} cannot be read: {str(error).splitlines()[0]}") from error
        table = table.slice(1) if self.names is None else table
        trimmed = {name: pc.utf8_trim_whitespace(table[name]) for name in chosen}
        return pa.table(trimmed).to_pandas().astype("str")


@dataclass(frozen=True)
class Table:
    """A file's columns as strings, in file order."""

    file: TextFile
    frame: pd.DataFrame

    def line(self, row: int) -> int:
        """The line of the file on which a row (0 is the first after the header) begins."""
        skip = 1 if self.file.names is None else 0
        return next(islice(self.file.rows(), row + skip, None))[0]

    def refuse(self, wrong: np.ndarray, column: str, what: str) -> None:
        """Raises KitError for the first row that is ``wrong``; ``{value}`` in ``what`` stands for its value."""
        if not (wrong := np.asarray(wrong)).any():
            return
        row = int(wrong.argmax())
        value = brief(self.frame[column].iloc[row])
        more = f" ({wrong.sum()} rows in all)" if wrong.sum() > 1 else ""
        where = f"{self.file.path}, line {self.line(row)}, column '{column}'"
        raise KitError(f"{where}: {what.replace('{value}', value)}{more}")
