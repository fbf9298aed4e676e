"""Delimited text files, read column by column so that every complaint can name a file, a line and a column.

The quick way reads by Arrow, text as categories: each different value is kept once, and a row is a number. Where that
fails, or a value turns out wrong, the file is walked once more, slowly, by the csv module, which knows its lines.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from delrec_kit.data.quoting import BLANK_QUOTE, LINE_END, Survey, holds_rows, separator_hint, survey
from delrec_kit.data.replaced import Replaced
from delrec_kit.settings.errors import KitError, nearest

BLOCK = 2**25  # bytes that Arrow parses at a time; a longer line cannot be read
csv.field_size_limit(2**30)
SHOWN = 20  # names of columns that an error lists
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what bytes become that cannot be decoded
SEPARATOR = "\x1f"  # what a delimiter of several characters is read as: Arrow and csv take one only
DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error)


def brief(value: str, limit: int = 40) -> str:
    """A value as an error message quotes it: one line, at most ``limit`` characters, what cannot be seen escaped."""
    value = " ".join(value[: 8 * limit].split())
    value = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in value)
    return value if len(value) <= limit else value[: limit - 1] + "…"


@dataclass(frozen=True)
class TextFile:
    """How a file is written. ``names`` are its columns; None means that line 1 names them.

    A gzip file is known by its first bytes, not by its name; a byte-order mark and CRLF line ends are accepted.
    ``delimiter`` may have several characters, all of them the same, such as "::".
    """

    path: Path
    names: tuple[str, ...] | None = None
    delimiter: str = ","
    quoted: bool = True
    encoding: str = "utf-8-sig"

    def open(self) -> IO[bytes]:
        """The bytes of the file, unpacked, a delimiter of several characters replaced by one."""
        raw = open_bytes(self.path)
        if len(self.delimiter) == 1:
            return raw
        return io.BufferedReader(Replaced(raw, self.delimiter.encode(), SEPARATOR.encode()), 2**20)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row that is not blank with the line that it begins on, checked for what cannot be read."""
        line, width = 1, None
        with self._text() as text:
            quoting = csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
            reader = csv.reader(text, delimiter=self._character, quoting=quoting, strict=True)
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

    def read(self, wanted: tuple[str, ...], optional: tuple[str, ...] = (), numbers: tuple[str, ...] = ()) -> "Table":
        """The columns ``wanted``, and those of ``optional`` that are there, as categories without outer blanks.

        Those of ``numbers`` whose every value is a whole number come as int64.
        """
        columns = self._columns(wanted, optional)
        chosen = [*wanted, *(name for name in optional if name in columns)]
        with self.open() as raw, self._damage_told():
            seen = survey(raw, self.delimiter)
        if self.encoding == "utf-8-sig":
            # Arrow takes 0x10 for 16
            whole = [] if seen.hexadecimal else [name for name in numbers if name in chosen]
            frame = self._read_by_arrow(columns, chosen, whole)
        else:
            rows = [fields for _, fields in self.rows()][self.names is None :]
            frame = pd.DataFrame(rows, columns=columns, dtype="str")[chosen]
            frame = frame.apply(lambda column: trimmed(column.astype("category")))
        if not len(frame):
            raise KitError(f"{self.path} has a header and no rows")
        if self.quoted:
            self._check_quotes(seen, columns, chosen, numbers, len(frame))
        table = Table(self, frame)
        if self.names is None:
            again = np.all([_equal(frame[name], name) for name in wanted], axis=0)
            table.refuse(again, wanted[0], "the line that names the columns stands here again; delete it")
        return table

    def line(self, row: int) -> int:
        """The line of the file on which a row (0 is the first after the header) begins."""
        skip = 1 if self.names is None else 0
        return next(islice(self.rows(), row + skip, None))[0]

    @property
    def _character(self) -> str:
        return self.delimiter if len(self.delimiter) == 1 else SEPARATOR

    @contextmanager
    def _text(self) -> Iterator[IO[str]]:
        with self.open() as raw, io.TextIOWrapper(raw, self.encoding, errors="surrogateescape", newline="") as text:
            yield text

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        """Damage to a gzip file becomes the error that tells its line."""
        try:
            yield
        except DAMAGE as error:
            for _ in self.rows():
                pass
            raise KitError(f"{self.path}: the gzip file is damaged or cut off") from error

    def _check_row(self, fields: list[str], line: int, width: int) -> None:
        where = f"{self.path}, line {line}"
        if len(fields) != width:
            if any("\0" in value for value in fields):
                raise KitError(f"{where}: NUL bytes; the file is damaged")
            hint = separator_hint(fields, self.delimiter, width)
            if len(fields) > width:
                hint = "; put quotes around a value that holds the delimiter"
                if self.quoted and any(map(BLANK_QUOTE.match, fields)):
                    hint = "; remove the blanks before quotation marks"
            raise KitError(f"{where}: {len(fields)} columns where the first line has {width}{hint}")
        for column, value in enumerate(fields, start=1):
            if bad := NOT_UTF8.search(value):
                byte = ord(bad[0]) - 0xDC00
                raise KitError(f"{where}, column {column}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8")

    def _columns(self, wanted: tuple[str, ...], optional: tuple[str, ...]) -> list[str]:
        line, first = next(self.rows(), (0, None))
        if first is None:
            raise KitError(f"{self.path} is empty")
        if any("\0" in value for value in first):
            raise KitError(f"{self.path}, line {line}: NUL bytes; the file is damaged, or not saved as UTF-8")
        columns = [name.strip() for name in first] if self.names is None else self._named(first, line)
        for name in wanted:
            if name not in columns:
                hint = separator_hint(first, self.delimiter, len(wanted)) or nearest(name, map(brief, columns[:SHOWN]))
                if hint.startswith(" (") and not set(columns) & set(wanted):
                    hint += "; the first line names the columns"
                raise KitError(f"{self.path}, line {line}: no column '{name}'{hint}")
        for name in (*wanted, *optional):
            if columns.count(name) > 1:
                raise KitError(f"{self.path}, line {line}: the column '{name}' stands there twice")
        return columns

    def _named(self, first: list[str], line: int) -> list[str]:
        names, width = self.names or (), len(first)
        if width < len(names):
            delimiter = {"\t": "tab", "|": "'|'", "::": "'::'"}.get(self.delimiter, self.delimiter)
            raise KitError(
                f"{self.path}, line {line}: {width} columns where {len(names)} are expected ({', '.join(names)}), "
                f"separated by {delimiter}{separator_hint(first, self.delimiter, len(names))}"
            )
        return [*names, *(f"column {i + 1}" for i in range(len(names), width))]

    def _read_by_arrow(self, columns: list[str], chosen: list[str], numbers: list[str]) -> pd.DataFrame:
        try:
            table = self._arrow(columns, chosen, numbers)
        except (pa.ArrowInvalid, OSError, *DAMAGE) as error:
            if numbers:  # not every value is a whole number: what is wrong with it is found in the text
                return self._read_by_arrow(columns, chosen, [])
            rows = sum(1 for _ in self.rows())
            if rows == 1 and self.names is None:
                raise KitError(f"{self.path} has a header and no rows") from error
            raise KitError(f"{self.path} cannot be read: {brief(str(error), 200)}") from error
        taken = {}
        for name in chosen:  # column by column, so that no two copies of the whole table lie in memory
            place = table.column_names.index(name)
            column = table.column(place).unify_dictionaries().to_pandas()
            taken[name] = column if name in numbers else trimmed(column)
            table = table.remove_column(place)
        frame = pd.DataFrame(taken, copy=False)
        del column
        pa.default_memory_pool().release_unused()  # at size this is half of what was read
        return frame

    def _arrow(self, columns: list[str], chosen: list[str], numbers: list[str]) -> pa.Table:
        text = pa.dictionary(pa.int32(), pa.string())
        quote = '"' if self.quoted else False
        with self.open() as raw:
            return pyarrow.csv.read_csv(
                raw,
                pyarrow.csv.ReadOptions(column_names=columns, block_size=BLOCK, skip_rows=self._header_lines()),
                pyarrow.csv.ParseOptions(delimiter=self._character, quote_char=quote, newlines_in_values=self.quoted),
                pyarrow.csv.ConvertOptions(
                    include_columns=chosen,
                    column_types={name: pa.int64() if name in numbers else text for name in chosen},
                    null_values=[],
                    strings_can_be_null=False,
                ),
            )

    def _header_lines(self) -> int:
        """Lines of the file up to the end of the one that names the columns."""
        if self.names is not None:
            return 0
        line, fields = next(self.rows())
        return line + sum(len(LINE_END.findall(field)) for field in fields)

    def _check_quotes(
        self, seen: Survey, columns: list[str], chosen: list[str], numbers: tuple[str, ...], rows: int
    ) -> None:
        """A quotation mark left open makes one value of many rows; a blank before one makes it part of the value."""
        if not seen.doubtful and seen.lines <= rows + 1:
            return
        moment = next((columns.index(name) for name in numbers), None)
        for line, fields in self.rows():
            for place, value in enumerate(fields):
                where = f"{self.path}, line {line}, column '{brief(columns[place])}'"
                if LINE_END.search(value) and holds_rows(value, place, len(columns), self.delimiter, moment):
                    what = f"'{brief(value)}' holds whole lines of the table"
                    raise KitError(f"{where}: {what}; is a quotation mark left open?")
                if columns[place] in chosen and BLANK_QUOTE.match(value):
                    raise KitError(f"{where}: a blank stands before the quotation mark; remove it")


def open_bytes(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked where its first bytes are gzip's. Raises KitError where it cannot be opened."""
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
    except OSError as error:
        raise KitError(f"{path} cannot be opened: {error.strerror}") from error
    return gzip.open(path, "rb") if packed else open(path, "rb")


def trimmed(column: pd.Series) -> pd.Series:
    """Categories without outer blanks; those that become equal become one."""
    names = column.cat.categories.astype("str")
    bare = names.str.strip()
    if bare.equals(names):
        return column.cat.rename_categories(names)
    place, kept = pd.factorize(bare)
    return pd.Series(pd.Categorical.from_codes(place[column.cat.codes], kept), index=column.index)


def _equal(column: pd.Series, name: str) -> np.ndarray:
    if not isinstance(column.dtype, pd.CategoricalDtype) or name not in column.cat.categories:
        return np.zeros(len(column), dtype=bool)
    return column.cat.codes.to_numpy() == column.cat.categories.get_loc(name)


class Located(Protocol):
    """A file whose rows can be found again."""

    path: Path

    def line(self, row: int) -> int:
        """The line of the file on which a row (0 is the first) begins."""


@dataclass(frozen=True)
class Chosen:
    """Some rows of a file."""

    file: Located
    rows: np.ndarray

    @property
    def path(self) -> Path:
        return self.file.path

    def line(self, row: int) -> int:
        return self.file.line(int(self.rows[row]))


@dataclass(frozen=True)
class Table:
    """A file's columns in file order: text as categories, numbers as int64 or float64.

    spelled: what the file itself calls a column, where that differs from the column's name here.
    """

    file: Located
    frame: pd.DataFrame
    spelled: Mapping[str, str] = field(default_factory=dict)

    def line(self, row: int) -> int:
        return self.file.line(row)

    def keep(self, rows: np.ndarray) -> "Table":
        """The ``rows`` that are true, each still knowing its line."""
        rows = np.asarray(rows)
        if rows.all():
            return self
        frame = self.frame.loc[rows].reset_index(drop=True)
        return Table(Chosen(self.file, np.flatnonzero(rows)), frame, self.spelled)

    def refuse(self, wrong: np.ndarray, column: str, what: str) -> None:
        """Raises KitError for the first row that is ``wrong``; ``{value}`` in ``what`` stands for its value."""
        if not (wrong := np.asarray(wrong)).any():
            return
        row = int(wrong.argmax())
        value = brief(str(self.frame[column].iloc[row]))
        more = f" ({wrong.sum()} rows in all)" if wrong.sum() > 1 else ""
        where = f"{self.file.path}, line {self.line(row)}, column '{self.spelled.get(column, column)}'"
        raise KitError(f"{where}: {what.replace('{value}', value)}{more}")
