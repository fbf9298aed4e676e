"""Parquet files, read as the tables that text files give."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from delrec_kit.data.tables import Table, brief, trimmed
from delrec_kit.settings.errors import KitError, nearest


@dataclass(frozen=True)
class ParquetFile:
    path: Path

    def read(self, wanted: tuple[str, ...], optional: tuple[str, ...] = (), numbers: tuple[str, ...] = ()) -> Table:
        """The columns ``wanted``, and those of ``optional`` that are there, as ``TextFile.read`` gives them.

        Raises KitError for a damaged file, a missing or nested column, or a missing value.
        """
        try:
            file = pq.ParquetFile(self.path)
            names = file.schema_arrow.names
            for name in wanted:
                if name not in names:
                    raise KitError(f"{self.path}: no column '{name}'{nearest(name, map(brief, names))}")
            chosen = [*wanted, *(name for name in optional if name in names)]
            table = file.read(columns=chosen)
        except (pa.ArrowException, OSError) as error:
            raise KitError(f"{self.path} cannot be read: {str(error).splitlines()[0]}") from error
        if not table.num_rows:
            raise KitError(f"{self.path} has no rows")
        return Table(self, pd.DataFrame({name: self._column(table[name], name, name in numbers) for name in chosen}))

    def line(self, row: int) -> int:
        """Rows are counted from 1; a Parquet file has no lines."""
        return row + 1

    def _column(self, column: pa.ChunkedArray, name: str, number: bool) -> pd.Series:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if column.null_count:
            row = column.is_null().combine_chunks().to_numpy(zero_copy_only=False).argmax()
            raise KitError(f"{self.path}, row {row + 1}, column '{name}': a value is missing")
        if pa.types.is_nested(kind):
            raise KitError(f"{self.path}, column '{name}': one value a row is needed, not {kind}")
        if number and pa.types.is_timestamp(kind):
            return column.cast(pa.timestamp("s", kind.tz), safe=False).cast(pa.int64()).to_pandas()
        if number and pa.types.is_integer(kind):
            return column.cast(pa.int64()).to_pandas()
        text = (
            column.cast(pa.string()) if not pa.types.is_dictionary(column.type) else column.cast(kind).cast(pa.string())
        )
        return trimmed(text.dictionary_encode().unify_dictionaries().to_pandas())
