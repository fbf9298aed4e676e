"""Delimited text files. The engine reads them and says which line is odd; here it is said in words what is wrong."""

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import duckdb

from delrec_kit.data.engine import Engine, quoted
from delrec_kit.data.tables import DAMAGE, Table, brief, check_packing, is_packed, open_bytes
from delrec_kit.settings.errors import KitError, nearest

csv.field_size_limit(2**30)
REJECTS = 1000  # lines of which the engine says what is wrong; those of blanks are no rows
LONGEST = 2**27  # bytes of a line, where a line is longer than the engine takes at first
ONE_SIGN = "\x1f"  # what the csv module is given for a separator of several characters
SEPARATORS = {
    ",": "commas",
    ";": "semicolons",
    "\t": "tabs",
    "|": "'|'",
    "::": "'::'",
    "#": "'#'",
    ":": "':'",
    " ": "blanks",
}
WEAK = (":", " ")  # text and times hold them too
LINE_END = re.compile(r"\r\n|\r|\n")
MOMENT = re.compile(r"\s*\d[-+\d.:eTZ\s]*")  # a number or an ISO date


@dataclass(frozen=True)
class TextFile:
    """How a file is written. ``names`` are its columns; None means that line 1 names them, ``typed`` with types that
    count for nothing ("item_id:token").

    A gzip file is known by its first bytes, not by its name; a byte-order mark and any line ends are accepted.
    """

    path: Path
    names: tuple[str, ...] | None = None
    delimiter: str = ","
    quoted: bool = True
    encoding: str = "utf-8"
    typed: bool = False

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row that is not blank with the line that it begins on, read slowly, as errors need it."""
        line, width = 1, None
        with self._text() as text:
            reader = self._split(text, strict=True)
            try:
                for fields in reader:
                    if self.delimiter.join(fields).strip() or (fields and len(fields) == width):
                        width = width or len(fields)
                        yield line, fields
                    line = reader.line_num + 1
            except DAMAGE as error:
                raise KitError(f"{self.path}, after line {line - 1}: the gzip file is damaged or cut off") from error
            except csv.Error as error:
                raise KitError(f"{self.path}, line {line}: {error}; is a quotation mark left open?") from error

    def header(self) -> list[str]:
        """The names of the columns, as line 1 or ``names`` give them. Raises KitError for an empty file, for NUL bytes
        and what is not UTF-8 in line 1, and for too few columns."""
        return self._first()[1]

    def at(self, row: int) -> tuple[Path, str]:
        skip = 1 if self.names is None else 0
        return self.path, f"line {next(islice(self.rows(), row + skip, None))[0]}"

    def read(self, engine: Engine, fields: Mapping[str, str], optional: Collection[str] = ()) -> Table:
        """The columns that ``fields`` names, each with the file's own name, as text; ``optional`` ones may be missing.

        Raises KitError with the line for whatever the engine rejects, and for a quotation mark that swallows whole
        lines: times tell rows of the table from text of many lines.
        """
        line, columns = self._first()
        fields = {name: theirs for name, theirs in fields.items() if theirs in columns or name not in optional}
        for theirs in fields.values():
            if theirs not in columns:
                wanted = [theirs for name, theirs in fields.items() if name not in optional]
                known = nearest(theirs, map(brief, columns[:20]))
                hint = separator_hint(columns, self.delimiter, len(wanted)) or known
                if hint.startswith(" (") and not set(columns) & set(wanted):
                    hint += "; the first line names the columns"
                raise KitError(f"{self.path}, line {line}: no column '{theirs}'{hint}")
            if columns.count(theirs) > 1:
                raise KitError(f"{self.path}, line {line}: the column '{theirs}' stands there twice")
        check_packing(self.path)
        skip = line + sum(len(LINE_END.findall(name)) for name in columns) if self.names is None else 0
        table = self._engine_table(engine, columns, fields, skip)
        if not engine.count(table):
            raise KitError(f"{self.path} has a header and no rows")
        if self.quoted:
            self._check_quotes(engine, table, columns, fields.get("timestamp", ""))
            engine.run(f"ALTER TABLE {table} DROP COLUMN lines")
        read = Table(engine, engine.view(f"SELECT rowid AS row, * FROM {table}"), self, fields)
        if self.names is None:
            same = ((name, quoted(theirs)) for name, theirs in fields.items())
            again = " AND ".join(f"contains({name}, {called}) AND bare({name}) = {called}" for name, called in same)
            read.refuse(again, next(iter(fields)), "the line that names the columns stands here again; delete it")
        return read

    def _split(self, lines: Iterable[str], strict: bool = False) -> Iterator[list[str]]:
        """The csv module's reader."""
        sign = self.delimiter if len(self.delimiter) == 1 else ONE_SIGN
        lines = (line.replace(self.delimiter, sign) for line in lines) if sign == ONE_SIGN else lines
        quoting = csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
        return csv.reader(lines, delimiter=sign, quoting=quoting, strict=strict)

    @contextmanager
    def _text(self) -> Iterator[IO[str]]:
        encoding = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
        with open_bytes(self.path) as raw, io.TextIOWrapper(raw, encoding, errors="surrogateescape", newline="") as it:
            yield it

    def _first(self) -> tuple[int, list[str]]:
        """The line of the first row, and the names of the columns."""
        line, first = next(self.rows(), (0, None))
        if first is None:
            raise KitError(f"{self.path} is empty")
        self._check_bytes(line, first)
        if self.names is None:
            return line, [(name.partition(":")[0] if self.typed else name).strip() for name in first]
        if len(first) < len(self.names):
            hint = separator_hint(first, self.delimiter, len(self.names))
            raise KitError(
                f"{self.path}, line {line}: {len(first)} columns where {len(self.names)} are expected "
                f"({', '.join(self.names)}), separated by {SEPARATORS.get(self.delimiter, repr(self.delimiter))}{hint}"
            )
        return line, [*self.names, *(f"column {i + 1}" for i in range(len(self.names), len(first)))]

    def _check_bytes(self, line: int, fields: Sequence[str]) -> None:
        for place, value in enumerate(fields, start=1):
            if bad := re.search("[\udc80-\udcff]", value):
                byte = f"byte 0x{ord(bad[0]) - 0xDC00:02x} is not UTF-8; save the file as UTF-8"
                raise KitError(f"{self.path}, line {line}, column {place}: {byte}")
            if "\0" in value:
                raise KitError(f"{self.path}, line {line}: NUL bytes; the file is damaged, or not saved as UTF-8")

    def _engine_table(self, engine: Engine, columns: list[str], fields: Mapping[str, str], skip: int) -> str:
        """The columns as they stand there, and in ``lines`` all values of a row where one has several lines."""
        names = [f"c{n}" for n in range(len(columns))]
        picked = ", ".join(f"{names[columns.index(theirs)]} AS {name}" for name, theirs in fields.items())
        several, quote, source = "NULL", "", self.path
        if self.quoted:
            broken = " OR ".join(f"contains({name}, chr(10)) OR contains({name}, chr(13))" for name in names)
            several, quote = f"CASE WHEN {broken} THEN [{', '.join(names)}] END", '"'
        options = {
            "auto_detect": "false", "header": "false", "strict_mode": "true", "store_rejects": "true", "skip": skip,
            "delim": quoted(self.delimiter), "quote": quoted(quote), "escape": quoted(quote), "nullstr": "chr(1)",
            "columns": "{" + ", ".join(f"{name}: 'VARCHAR'" for name in names) + "}", "encoding": quoted(self.encoding),
            "rejects_limit": REJECTS,
        }  # fmt: skip
        while True:
            options |= {"rejects_table": quoted(rejected := engine.name()), "rejects_scan": quoted(engine.name())}
            options["compression"] = quoted("gzip" if is_packed(source) else "none")
            given = ", ".join(f"{name} = {value}" for name, value in options.items())
            try:
                table = engine.table(f"SELECT {picked}, {several} AS lines FROM read_csv({quoted(source)}, {given})")
            except duckdb.Error as error:
                if source == self.path and ("invalid state" in str(error) or "GZIP" in str(error)):
                    source = self._copy(engine)
                    continue
                raise KitError(f"{self.path} cannot be read: {brief(str(error), 200)}") from error
            odd = f"bare(csv_line) <> '' OR csv_line IS NULL OR (SELECT count(*) FROM {rejected}) >= {REJECTS}"
            first = f"SELECT line, column_idx, error_type, csv_line FROM {rejected} WHERE {odd} ORDER BY ALL LIMIT 1"
            found = engine.one(first)
            if found is None:
                return table
            line, column, kind, text = found
            if kind == "LINE SIZE OVER MAXIMUM" and "max_line_size" not in options:
                options["max_line_size"] = LONGEST
            elif kind == "INVALID ENCODING" and several != "NULL" and columns[column - 1] not in fields.values():
                several = "NULL"
            else:
                self._tell(line, kind, text, len(columns))

    def _tell(self, line: int, kind: str, text: str, width: int) -> None:
        """What is wrong with a line that the engine rejects."""
        where, text = f"{self.path}, line {line}", text.strip("\r\n")
        if kind == "UNQUOTED VALUE":
            raise KitError(f"{where}: '{brief(text)}' does not end as it began; is a quotation mark left open?")
        if kind == "INVALID ENCODING":
            for at, fields in self.rows():
                if at >= line:
                    self._check_bytes(at, fields)
        self._check_bytes(line, [text])
        fields = next(self._split([text]))
        hint = separator_hint(fields, self.delimiter, width).partition(" (")[0]  # what would break the other lines
        if not self.delimiter.strip(" ") and 2 * self.delimiter in text:
            hint = "; several blanks stand between values, and each of them counts: write one sign there"
        elif len(fields) > width:
            hint = "; put quotes around a value that holds the delimiter"
        raise KitError(f"{where}: {len(fields)} columns where the first line has {width}{hint}")

    def _copy(self, engine: Engine) -> Path:
        """Unpacked, and with one kind of line end: the engine takes no mixed ones, nor zeros behind a gzip stream."""
        path = engine.folder / f"{engine.name()}.csv"
        with self._text() as text, path.open("w", encoding=self.encoding, errors="surrogateescape", newline="") as out:
            out.writelines(row.rstrip("\r\n") + "\n" for row in text)
        return path

    def _check_quotes(self, engine: Engine, table: str, columns: list[str], moment: str) -> None:
        """A quotation mark left open makes one value of many rows."""
        place = columns.index(moment) if moment in columns else None
        rows = engine.connection.execute(f"SELECT rowid, lines FROM {table} WHERE lines IS NOT NULL")
        while some := rows.fetchmany(1000):
            for row, fields in some:
                for column, value in enumerate(fields):
                    if holds_rows(value, column, len(columns), self.delimiter, place):
                        where = f"{self.path}, {self.at(row)[1]}, column '{brief(columns[column])}'"
                        what = f"'{brief(value)}' holds whole lines of the table"
                        raise KitError(f"{where}: {what}; is a quotation mark left open?")


def holds_rows(value: str, column: int, width: int, delimiter: str, moment: int | None) -> bool:
    """Whether the value of a ``column`` (of ``width``) is what a quotation mark left open makes of several rows; the
    column of the ``moment``, where there is one, tells rows from text of many lines."""
    lines = [line.split(delimiter) for line in LINE_END.split(value)]

    def fits(fields: list[str], first: int, length: int) -> bool:
        place = -1 if moment in (None, column) else moment - first
        return len(fields) == length and (not 0 <= place < length or MOMENT.fullmatch(fields[place]) is not None)

    if len(lines) == 1 or width == 1:
        return False
    around = fits(lines[0], column, width - column) and fits(lines[-1], 0, column + 1)
    return around or any(fits(fields, 0, width) for fields in lines[1:-1])


def separator_hint(fields: Sequence[str], delimiter: str, width: int) -> str:
    """A hint where a line that should have ``width`` columns has them with another separator."""
    inside, needed = "\n".join(fields), max(width - 1, 1)
    whole = len(fields) == 1 and not inside.startswith("<")  # no page of the web
    signs = [sign for sign in SEPARATORS if inside.count(sign) >= needed and (whole or sign not in WEAK)]
    if not signs or len(fields) > needed:
        return ""
    other = max(signs, key=lambda sign: (sign not in WEAK, inside.count(sign)))
    said, ours = SEPARATORS[other], SEPARATORS.get(delimiter, repr(delimiter))
    return f"; it looks separated by {said}, but {ours} are expected (data.columns: {{separator: {other!r}}} says so)"
