"""Files of one object a line, as reviews are published: JSON, read by Arrow, or Python literals, read line by line."""

import ast
import json
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.json

from delrec_kit.data.tables import BLOCK, DAMAGE, Table, brief, open_bytes, trimmed
from delrec_kit.run.progress import progress
from delrec_kit.settings.errors import KitError, nearest


@dataclass(frozen=True)
class JsonLines:
    """A file with one JSON object or Python literal a line, gzip or not; blank lines are passed over."""

    path: Path

    def objects(self) -> Iterator[tuple[int, dict]]:
        """Each object and its line. Raises KitError with the line for what is no object, and for damaged gzip."""
        for line, text in self._lines():
            yield line, self._parsed(line, text)

    def first(self) -> dict:
        """The first object: its fields tell a publisher's layouts apart."""
        for _, found in self.objects():
            return found
        raise KitError(f"{self.path} is empty")

    def line(self, row: int) -> int:
        """The line of the file on which a row (0 is the first) stands."""
        return next(islice(self._lines(), row, None))[0]

    def read(
        self,
        fields: Mapping[str, str],
        optional: tuple[str, ...] = (),
        numbers: Mapping[str, pa.DataType] | None = None,
    ) -> Table:
        """The columns that ``fields`` names, each with its field: text as categories without outer blanks.

        ``optional`` columns are empty where the field is missing or null. Those of ``numbers`` come as numbers of that
        type where all are, else as text. Raises KitError with the line where a field is missing, or holds something
        that is neither text nor a number.
        """
        numbers = numbers or {}
        frame = self._read_by_arrow(fields, optional, numbers) if self._is_json() else None
        if frame is None:
            frame = self._read_by_line(fields, optional)
        return Table(self, frame, dict(fields))

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

    def _is_json(self) -> bool:
        text = next(self._lines(), (0, b""))[1]
        if not text:
            raise KitError(f"{self.path} is empty")
        try:
            return isinstance(json.loads(text), dict)
        except (ValueError, RecursionError):
            return False

    def _read_by_arrow(
        self, fields: Mapping[str, str], optional: tuple[str, ...], numbers: Mapping[str, pa.DataType]
    ) -> pd.DataFrame | None:
        """None where Arrow cannot: walking line by line then tells why, or reads it."""
        kinds = {field: numbers.get(column, pa.string()) for column, field in fields.items()}
        try:
            with open_bytes(self.path) as raw:
                table = _arrow(raw, pa.schema(list(kinds.items())))
        except (pa.ArrowInvalid, OSError, *DAMAGE):
            return None
        taken = {}
        for column, field in fields.items():  # column by column, so that no two copies of the table lie in memory
            values = table.column(field)
            if values.null_count and column not in optional:
                self._refuse_missing(int(values.is_null().to_numpy().argmax()), field)
            if column in numbers:
                taken[column] = values.to_pandas()
            else:
                taken[column] = trimmed(_filled(values.unify_dictionaries().to_pandas()))
            table = table.drop_columns([field])
        return pd.DataFrame(taken, copy=False)

    def _refuse_missing(self, row: int, field: str) -> None:
        line, found = next(islice(self.objects(), row, None))
        self._refuse_field(line, found, field)

    def _refuse_field(self, line: int, found: dict, field: str) -> None:
        if field in found:
            raise KitError(f"{self.path}, line {line}: the field '{field}' is null")
        raise KitError(f"{self.path}, line {line}: no field '{field}'{nearest(field, map(brief, map(str, found)))}")

    def _read_by_line(self, fields: Mapping[str, str], optional: tuple[str, ...]) -> pd.DataFrame:
        seen: dict[str, dict[str, int]] = {column: {} for column in fields}
        places = {column: array("i") for column in fields}
        for line, found in progress(self.objects(), f"reading {self.path.name}"):
            for column, field in fields.items():
                value = found.get(field)
                if value is None:
                    if column not in optional:
                        self._refuse_field(line, found, field)
                    value = ""
                known = seen[column]
                places[column].append(known.setdefault(self._text(value, line, field), len(known)))
        return pd.DataFrame({name: _categories(places[name], seen[name]) for name in fields}, copy=False)

    def _text(self, value: object, line: int, field: str) -> str:
        if isinstance(value, str):  # half a character, which JSON can hold, is none in UTF-8
            return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
        if isinstance(value, bool) or not isinstance(value, int | float):
            kind = type(value).__name__
            raise KitError(f"{self.path}, line {line}: the field '{field}' holds a {kind}, not text or a number")
        return str(value)


def _arrow(raw: IO[bytes], schema: pa.Schema) -> pa.Table:
    """The schema's fields, text as dictionaries; block by block, because each text is then kept once."""
    reader = pyarrow.json.open_json(
        raw,
        pyarrow.json.ReadOptions(block_size=BLOCK),
        pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )
    batches = []
    for batch in reader:
        batch.validate(full=True)
        columns = [values.dictionary_encode() if pa.types.is_string(values.type) else values for values in batch]
        batches.append(pa.record_batch(columns, names=schema.names))
    return pa.Table.from_batches(batches)


def _filled(column: pd.Series) -> pd.Series:
    """Categories with "" where nothing is."""
    if not column.isna().any():
        return column
    return (column if "" in column.cat.categories else column.cat.add_categories("")).fillna("")


def _categories(places: array, seen: dict[str, int]) -> pd.Series:
    return trimmed(pd.Series(pd.Categorical.from_codes(np.asarray(places), pd.Index(list(seen), dtype="str"))))
