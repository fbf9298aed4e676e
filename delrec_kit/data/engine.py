"""The engine that reads, sorts, joins and counts: DuckDB, which goes on on disk where its share of memory ends."""

import re
import tempfile
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import count
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import psutil

from delrec_kit.settings.errors import KitError

MEMORY = 400  # MB of the engine alone; beyond it, it works in a folder of TMPDIR
SHARE, FREE = 4, 2  # a file's part that the engine may take beyond that, and the part of what memory is free
SMALL = 2**22  # bytes of input up to which one thread is quicker than several
LARGE = 2**28  # bytes of input from which tables lie on disk, compressed, from the start
BLANKS = r"[\s\p{Z}\x0b\x1c-\x1f\x85]+"  # what Python's strip takes away
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"  # the engine itself reads 1_000 and 0x10 as numbers too
BATCH = 2**18  # rows fetched at a time
SETTINGS = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}


@lru_cache(maxsize=1)
def _shared() -> duckdb.DuckDBPyConnection:
    """One database for all small inputs, for a database of its own takes longer than reading them; on one thread."""
    config = {**SETTINGS, "memory_limit": f"{MEMORY}MB", "threads": 1, "temp_directory": tempfile.gettempdir()}
    return duckdb.connect(":memory:", config=config)


def memory_limit(bytes_in: int) -> str:
    """What the engine may take for files of this size. It sorts on disk, but what it joins by, a row an id, it holds:
    300 million rows of 12 million people stopped at 400 MB."""
    return f"{max(MEMORY, min(bytes_in / SHARE, psutil.virtual_memory().available / FREE) / 1e6):.0f}MB"


def stopped(error: duckdb.Error) -> KitError:
    """What is said where the engine had too little memory or disk."""
    mend = f"it works on disk in {tempfile.gettempdir()}, set TMPDIR to a folder with more room"
    if isinstance(error, duckdb.OutOfMemoryException) and "max_temp_directory_size" not in str(error):
        mend = "end what else takes memory, or leave rows out of the file"
    return KitError(f"the engine that reads data stopped: {str(error).splitlines()[0][:200]}; {mend}")


class Engine:
    """Tables that are numbered as they are made; they are gone with the last thing that holds the engine.

    Rows keep their order: of a file when it is read, and of a table in what is filtered from it.
    """

    def __init__(self, bytes_in: int = 0) -> None:
        self._numbers = count()
        if bytes_in < SMALL:
            self.connection = _shared().cursor()
        else:
            config = {**SETTINGS, "memory_limit": memory_limit(bytes_in), "temp_directory": str(self.folder)}
            self.connection = duckdb.connect(":memory:", config=config)
        self._kind = "TEMP"
        if bytes_in > LARGE:
            self.connection.execute(f"ATTACH {quoted(str(self.folder / 'tables.db'))} AS disk; USE disk")
            self._kind = ""
        self.connection.execute(
            "SET TimeZone = 'UTC'; SET enable_progress_bar = false;"
            "CREATE TEMP MACRO plain(x) AS ascii(x) BETWEEN 33 AND 126;"  # quicker than the expression
            "CREATE TEMP MACRO bare(x) AS CASE WHEN plain(x) AND plain(right(x, 1)) THEN x "
            f"ELSE regexp_replace(x, '^{BLANKS}|{BLANKS}$', '', 'g') END;"
            f"CREATE TEMP MACRO is_number(x) AS COALESCE(regexp_full_match(x, '{NUMBER}'), false)"
        )

    @property
    def folder(self) -> Path:
        """A folder that goes with the engine."""
        return Path(self._folder.name)

    @cached_property
    def _folder(self) -> tempfile.TemporaryDirectory:
        return tempfile.TemporaryDirectory(prefix="delrec-kit-", ignore_cleanup_errors=True)

    def name(self) -> str:
        return f"t{next(self._numbers)}"

    def table(self, query: str) -> str:
        """The name of a new table with what the query gives, its rows in that order. Raises KitError where memory or
        disk do not suffice, for which no file is to blame."""
        try:
            self.connection.execute(f"CREATE {self._kind} TABLE {(name := self.name())} AS {query}")
        except duckdb.Error as error:
            if isinstance(error, duckdb.OutOfMemoryException) or "No space left" in str(error):
                raise stopped(error) from error
            raise
        return name

    def view(self, query: str) -> str:
        """The name of a query whose rows are not stored."""
        self.connection.execute(f"CREATE TEMP VIEW {(name := self.name())} AS {query}")
        return name

    def given(self, **columns: Sequence) -> str:
        """The name of a table with these columns."""
        frame = pd.DataFrame(columns)
        self.connection.register("given", frame)
        name = self.table("SELECT * FROM given")
        self.connection.unregister("given")
        return name

    def run(self, statement: str) -> None:
        self.connection.execute(statement)

    def one(self, query: str) -> tuple | None:
        """The first row of a query with few, None where it has none."""
        return next(iter(self.connection.execute(query).fetchall()), None)

    def count(self, rows: str, condition: str = "true") -> int:
        """Rows of a table, a view or a query in brackets for which ``condition`` is true."""
        return self.one(f"SELECT count(*) FROM {rows} WHERE {condition}")[0]

    def frame(self, query: str) -> pd.DataFrame:
        return self.connection.execute(query).df()

    def column(self, query: str, rows: int, kind: type = np.int64, through: np.ndarray | None = None) -> np.ndarray:
        """(rows,) the only column of a query, or what stands ``through`` a table at its places, fetched batch by batch,
        so that it lies in memory once."""
        filled, values = 0, np.empty(rows, kind)
        for batch in self.connection.sql(query).to_arrow_reader(BATCH):
            part = batch.column(0).to_numpy(zero_copy_only=False)
            values[filled : filled + len(part)] = part if through is None else through[part]
            filled += len(part)
        return values

    def columns(self, table: str) -> dict[str, str]:
        """Column -> its type."""
        return {row[0]: row[1] for row in self.connection.execute(f"DESCRIBE {table}").fetchall()}


def quoted(text: object) -> str:
    """A text as SQL writes it; in the name of a file, signs that would stand for several files stand for themselves."""
    text = re.sub(r"([*?\[])", r"[\1]", str(text)) if isinstance(text, Path) else str(text)
    return "'" + text.replace("'", "''") + "'"
