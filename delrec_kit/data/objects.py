"""Files of one object a line, as reviews are published: JSON, read by the engine, or Python literals, line by line."""

import ast
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import duckdb

from delrec_kit.data.engine import Engine, quoted
from delrec_kit.data.tables import DAMAGE, Table, brief, check_packing, is_packed, open_bytes
from delrec_kit.run.progress import progress
from delrec_kit.settings.errors import KitError, nearest

LOOKED_AT = 1000  # objects that are searched for names of fields
TEXT = "'VARCHAR', 'BIGINT', 'UBIGINT', 'DOUBLE', 'HUGEINT', 'UHUGEINT'"  # what the engine calls text and numbers


@dataclass(frozen=True)
class JsonLines:
    """A file with one JSON object or Python literal a line, gzip or not; blank lines are passed over."""

    path: Path

    def objects(self) -> Iterator[tuple[int, dict]]:
        """Each object and its line. Raises KitError with the line for what is no object, and for damaged gzip."""
        return ((line, self._parsed(line, text)) for line, text in self._lines())

    def header(self) -> dict:
        """The fields of the first objects, for one alone may lack some: they tell a publisher's layouts apart."""
        found = [fields for _, fields in islice(self.objects(), LOOKED_AT)]
        if not found:
            raise KitError(f"{self.path} is empty")
        return {name: value for fields in found for name, value in fields.items()}

    def at(self, row: int) -> tuple[Path, str]:
        return self.path, f"line {next(islice(self._lines(), row, None))[0]}"

    def read(self, engine: Engine, fields: Mapping[str, str], optional: Collection[str] = ()) -> Table:
        """The columns that ``fields`` names, each with its field, as text; ``optional`` ones may be missing or null.

        Raises KitError with the line where a field is missing, or holds something that is neither text nor a number.
        """
        check_packing(self.path)
        name = self._engine_table(engine, self.path, fields)
        name = name or self._engine_table(engine, self._as_json(engine, fields, optional), fields)
        empty = "".join(f" OR {column} IS NULL" for column in fields if column not in optional)
        row = engine.one(f"SELECT min(rowid) FROM {name} WHERE odd{empty}")[0]
        if row is not None:
            self._check(*next(islice(self.objects(), row, None)), fields, optional)
        engine.run(f"ALTER TABLE {name} DROP COLUMN odd")
        return Table(engine, engine.view(f"SELECT rowid AS row, * FROM {name}"), self, dict(fields))

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        line = 0
        with open_bytes(self.path) as raw:
            try:
                for line, text in enumerate(raw, start=1):
                    if text.strip():
                        yield line, text
            except DAMAGE as error:
                raise KitError(f"{self.path}, after line {line}: the gzip file is damaged or cut off") from error

    def _parsed(self, line: int, text: bytes) -> dict:
        where = f"{self.path}, line {line}"
        try:
            decoded = text.decode("utf-8-sig" if line == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise KitError(f"{where}: byte 0x{text[error.start]:02x} is not UTF-8; is it a text file?") from error
        try:
            found = json.loads(decoded)
        except (ValueError, RecursionError):
            try:
                found = ast.literal_eval(decoded)
            except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
                raise KitError(f"{where}: neither JSON nor a Python literal: {brief(decoded)}") from error
        if not isinstance(found, dict):
            raise KitError(f"{where}: one object a line is expected, with fields and values, not {brief(decoded)}")
        return found

    def _engine_table(self, engine: Engine, path: Path, fields: Mapping[str, str]) -> str | None:
        """The fields as text, and ``odd`` where one holds neither text nor a number; None where a line is not JSON."""
        kinds = ", ".join(f"{quoted(field)}: 'JSON'" for field in dict.fromkeys(fields.values()))
        picked = ", ".join(f""""{field}" ->> '$' AS {column}""" for column, field in fields.items())
        odd = " OR ".join(f"""COALESCE(json_type("{field}") NOT IN ({TEXT}), false)""" for field in fields.values())
        packed = "gzip" if is_packed(path) else "none"
        options = f"format = 'newline_delimited', records = true, columns = {{{kinds}}}, compression = '{packed}'"
        try:
            return engine.table(f"SELECT {picked}, {odd} AS odd FROM read_json({quoted(path)}, {options})")
        except duckdb.Error:
            return None

    def _as_json(self, engine: Engine, fields: Mapping[str, str], optional: Collection[str]) -> Path:
        """A copy of the fields in JSON, for the engine."""
        path = engine.folder / f"{engine.name()}.json"
        with path.open("w", encoding="utf-8", errors="replace") as out:
            for line, found in progress(self.objects(), f"reading {self.path.name}"):
                self._check(line, found, fields, optional)
                texts = {field: found.get(field) for field in fields.values()}
                out.write(json.dumps(texts, ensure_ascii=False) + "\n")
        return path

    def _check(self, line: int, found: dict, fields: Mapping[str, str], optional: Collection[str]) -> None:
        for column, field in fields.items():
            value, where = found.get(field), f"{self.path}, line {line}"
            if value is None and column not in optional:
                if field in found:
                    raise KitError(f"{where}: the field '{field}' is null")
                raise KitError(f"{where}: no field '{field}'{nearest(field, map(brief, map(str, found)))}")
            if value is not None and (isinstance(value, bool) or not isinstance(value, str | int | float)):
                kind = type(value).__name__
                raise KitError(f"{where}: the field '{field}' holds a {kind}, not text or a number")
