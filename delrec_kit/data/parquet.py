"""Parquet files, read as the tables that text files give."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from delrec_kit.data.engine import Engine, quoted
from delrec_kit.data.tables import PROBED, RATIO, TOO_LARGE, Table, brief
from delrec_kit.settings.errors import KitError, nearest

EXACT = {"DOUBLE": 2**53, "FLOAT": 2**24}  # beyond it whole numbers are rounded, and written so that it is seen


@dataclass(frozen=True)
class ParquetFile:
    path: Path

    @property
    def _source(self) -> str:
        """The file alone: names of folders such as ``split=train`` are no columns."""
        return f"read_parquet({quoted(self.path)}, hive_partitioning = false)"

    def header(self) -> dict[str, str]:
        """Column -> its type. Raises KitError for a damaged file, and for one that unpacks to hundreds of times its
        size, each value counted as 8 bytes."""
        try:
            with duckdb.connect() as engine:
                found = engine.execute(f"DESCRIBE SELECT * FROM {self._source}").fetchall()
                counted = f"SELECT sum(num_rows) FROM parquet_file_metadata({quoted(self.path)})"
                (rows,) = engine.execute(counted).fetchone()
        except duckdb.Error as error:
            raise self._unreadable(error) from error
        if 8 * len(found) * rows > max(PROBED, RATIO * self.path.stat().st_size):
            raise KitError(TOO_LARGE.format(path=self.path, ratio=RATIO))
        return {row[0]: row[1] for row in found}

    def _unreadable(self, error: duckdb.Error) -> KitError:
        reason = brief(str(error).splitlines()[0], 120)
        return KitError(f"{self.path} cannot be read as Parquet: it is damaged, or another kind of file ({reason})")

    def at(self, row: int) -> tuple[Path, str]:
        return self.path, f"row {row + 1}"

    def read(self, engine: Engine, fields: Mapping[str, str], optional: Collection[str] = ()) -> Table:
        """The columns as ``TextFile.read`` gives them, times and lists in their own type.

        Raises KitError for a damaged file, a missing column, or one that holds tables.
        """
        types, picked = self.header(), []
        fields = {name: theirs for name, theirs in fields.items() if theirs in types or name not in optional}
        for name, theirs in fields.items():
            if theirs not in types:
                raise KitError(f"{self.path}: no column '{theirs}'{nearest(theirs, map(brief, types))}")
            kind, expression = types[theirs], '"' + theirs.replace('"', '""') + '"'
            if kind.startswith(("STRUCT", "MAP")) or (kind.endswith("]") and name != "seq"):
                raise KitError(f"{self.path}, column '{theirs}': one value a row is needed, not {brief(kind)}")
            if kind == "BLOB":
                expression = f"decode({expression})"
            elif kind in EXACT and name != "timestamp":  # 7.0 is the id 7
                whole = f"WHEN abs(x) < {EXACT[kind]} THEN x::BIGINT::VARCHAR ELSE format('{{:.16e}}', x::DOUBLE)"
                parts = f"CASE WHEN NOT isfinite(x) OR x <> floor(x) THEN x::VARCHAR {whole} END"
                expression = parts.replace("x", expression)
            elif name != "timestamp" and not kind.endswith("]"):
                expression += "::VARCHAR"
            picked.append(f"{expression} AS {name}")
        try:
            table = engine.table(f"SELECT {', '.join(picked)} FROM {self._source}")
        except duckdb.Error as error:
            raise self._unreadable(error) from error
        if not engine.count(table):
            raise KitError(f"{self.path} has no rows")
        return Table(engine, engine.view(f"SELECT rowid AS row, * FROM {table}"), self, fields)
