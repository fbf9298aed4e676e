"""A file's columns in the engine, each row knowing where in the file it stands."""

import contextlib
import gzip
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from delrec_kit.data.engine import Engine
from delrec_kit.settings.errors import KitError

PROBED, RATIO = 2**27, 400  # bytes that are unpacked to see; text packs to a twentieth or so
TOO_LARGE = (
    "{path} unpacks to more than {ratio} times its size, as no table of interactions does; unpack it by hand and look "
    "into it, if it is meant"
)
OTHERS = {  # first bytes of files that are no text
    b"PK\3\4": "a zip archive, or a workbook; unpack it, or export it as CSV",
    b"PAR1": "a Parquet file; let its name end in .parquet",
    b"BZh9": "packed with bzip2; unpack it",
    b"\xfd7zXZ": "packed with xz; unpack it",
    b"\x28\xb5\x2f\xfd": "packed with zstd; unpack it",
    b"7z\xbc\xaf": "a 7z archive; unpack it",
    b"Rar!": "a rar archive; unpack it",
}
DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error)


def brief(value: str, limit: int = 40) -> str:
    """A value as an error message quotes it: one line, at most ``limit`` characters, what cannot be seen escaped."""
    value = " ".join(value[: 8 * limit].split())
    value = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in value)
    return value if len(value) <= limit else value[: limit - 1] + "…"


class DataFile(Protocol):
    """A file of rows that can be found again."""

    path: Path

    def header(self) -> Collection[str]:
        """What it calls its columns."""

    def read(self, engine: Engine, fields: Mapping[str, str], optional: Collection[str] = ()) -> "Table":
        """The columns that ``fields`` names, each with the file's own name, as text; ``optional`` ones may be missing.
        Raises KitError, with the line or the row, for whatever is wrong."""

    def at(self, row: int) -> tuple[Path, str]:
        """Where a row (0 is the first) stands: the file, and a place in it such as "line 7"."""


@dataclass(frozen=True)
class Joined:
    """Several files, the rows of each after those of the one before. starts: the first row of each."""

    files: Sequence[DataFile]
    starts: Sequence[int]

    def header(self) -> Collection[str]:
        return self.files[0].header()

    def at(self, row: int) -> tuple[Path, str]:
        which = max(n for n, start in enumerate(self.starts) if start <= row)
        return self.files[which].at(row - self.starts[which])


@dataclass(frozen=True)
class Table:
    """Columns of a file: ``row``, the place in the file, and others, mostly text; NULL where the file has nothing.

    name: the engine's table or view; spelled: what the file calls a column, where that differs from its name here.
    """

    engine: Engine
    name: str
    file: DataFile
    spelled: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, str]:
        """Column -> its type in the engine."""
        return self.engine.columns(self.name)

    def count(self, condition: str = "true") -> int:
        return self.engine.count(self.name, condition)

    def select(self, columns: str, condition: str = "true") -> "Table":
        """Other columns, or only the rows for which ``condition`` is true."""
        name = self.engine.view(f"SELECT {columns} FROM {self.name} WHERE {condition}")
        return Table(self.engine, name, self.file, self.spelled)

    def without(self, condition: str, what: str) -> "tuple[Table, list[str]]":
        """The other rows, and what was left out, counted."""
        count = self.count(condition)
        if not count:
            return self, []
        return self.select("*", f"NOT COALESCE({condition}, false)"), [f"{count} {what}"]

    def refuse(self, condition: str, column: str, what: str) -> None:
        """Raises KitError for the first row for which ``condition`` is true; ``{value}`` in ``what`` stands for the
        value of its ``column``."""
        count, row = self.engine.one(f"SELECT count(*), min(row) FROM {self.name} WHERE {condition}")
        if not count:
            return
        value = self.engine.one(f"SELECT {column} FROM {self.name} WHERE row = {row}")[0]
        more = f" ({count} rows in all)" if count > 1 else ""
        path, place = self.file.at(row)
        where = f"{path}, {place}, column '{self.spelled.get(column, column)}'"
        raise KitError(f"{where}: {what.replace('{value}', brief(str('' if value is None else value)))}{more}")


def joined(tables: Sequence[Table], labels: Sequence[str]) -> Table:
    """Tables of the same columns one after the other, each with its label as a column ``split``; one stays as it is."""
    if len(tables) == 1:
        return tables[0]
    starts, queries = [0], []
    for table, label in zip(tables, labels):
        queries.append(f"SELECT * REPLACE (row + {starts[-1]} AS row), '{label}' AS split FROM {table.name}")
        starts.append(starts[-1] + table.engine.one(f"SELECT max(row) + 1 FROM {table.name}")[0])
    engine, first = tables[0].engine, tables[0]
    files = Joined([table.file for table in tables], starts[:-1])
    return Table(engine, engine.view(" UNION ALL BY NAME ".join(queries)), files, first.spelled)


def open_bytes(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked where its first bytes are gzip's. Raises KitError where it cannot be opened, or
    unpacks to hundreds of times its size."""
    if not is_packed(path):
        return open(path, "rb")
    check_ratio(path)
    return gzip.open(path, "rb")


def check_ratio(path: Path) -> None:
    """Raises KitError for a gzip file of which a small part unpacks to more than any table does: it would fill disk and
    memory."""
    unpacked = 0
    with contextlib.suppress(*DAMAGE), gzip.open(path, "rb") as raw:  # damage is told where the lines are read
        while unpacked < PROBED and (block := raw.read(2**22)):
            unpacked += len(block)
        if unpacked >= PROBED and unpacked > RATIO * raw.fileobj.tell():
            raise KitError(TOO_LARGE.format(path=path, ratio=RATIO))


def is_packed(path: Path) -> bool:
    """Whether it is gzip. Raises KitError where it cannot be opened, or is packed in another way."""
    try:
        with open(path, "rb") as raw:
            start = raw.read(8)
    except OSError as error:
        raise KitError(f"{path} cannot be opened: {error.strerror}") from error
    for first, what in OTHERS.items():
        if start.startswith(first):
            raise KitError(f"{path} is {what}")
    return start.startswith(b"\x1f\x8b")


def check_packing(path: Path) -> None:
    """Raises KitError, with the line, for a gzip file that is damaged: the engine does not compare its sums."""
    if not is_packed(path):
        return
    try:
        with gzip.open(path, "rb") as raw:
            while raw.read(2**20):
                pass
    except DAMAGE as damage:
        lines = 0
        with contextlib.suppress(*DAMAGE), gzip.open(path, "rb") as raw:
            for _ in raw:
                lines += 1
        raise KitError(f"{path}, after line {lines}: the gzip file is damaged or cut off") from damage
