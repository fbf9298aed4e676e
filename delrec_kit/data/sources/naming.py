"""What a publisher or a user calls the columns, and what ``data.columns`` says instead."""

from collections.abc import Collection, Mapping, Sequence

from delrec_kit.data.engine import Engine
from delrec_kit.data.parquet import ParquetFile
from delrec_kit.data.tables import Table
from delrec_kit.data.text import TextFile
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError, nearest

ROWS = {name: name for name in ("user", "item", "timestamp", "split", "rating", "label")}
CATALOGUE = {name: name for name in ("item", "title", "year")}
SPELLED = {"tab": "\t", "\\t": "\t", "blank": " ", "comma": ","}  # separators that a shell hardly lets through
MOMENTS = ("time", "date", "when", "stamp")


def called_by(config: DataConfig, usual: Mapping[str, str]) -> dict[str, str]:
    """Our name of a column -> the file's: ``usual``, and what ``data.columns`` says on top.

    Raises KitError for a name that this dataset's files have no column for.
    """
    for name in config.columns:
        if name not in usual:
            raise KitError(f"data.columns: no column '{name}' in the files of {config.dataset}{nearest(name, usual)}")
    called = {**usual, **config.columns}
    if "separator" in called:
        called["separator"] = SPELLED.get(called["separator"], called["separator"])
    return called


def timed(file: TextFile | ParquetFile, called: Mapping[str, str], config: DataConfig) -> Sequence[str]:
    """The columns that a file of interactions must have: times may be missing, where nothing looks like them."""
    header = list(file.header())
    looks = [name for name in header if any(word in name.lower() for word in MOMENTS)]
    untimed = called["user"] in header and called["item"] in header and not looks and "timestamp" not in config.columns
    return ("user", "item") if untimed else ("user", "item", "timestamp")


def renamed(
    file: TextFile | ParquetFile,
    engine: Engine,
    called: Mapping[str, str],
    wanted: Sequence[str],
    optional: Collection[str] = (),
) -> Table:
    """The table under the kit's own column names."""
    more = [called[name] for name in optional if name in called and name not in wanted]
    read = file.read(engine, [called[name] for name in wanted], more, called.get("timestamp", ""))
    there = read.columns
    spelled = {name: called[name] for name in dict.fromkeys((*wanted, *optional)) if called.get(name) in there}
    table = read.select("row, " + ", ".join(f'"{theirs}" AS {name}' for name, theirs in spelled.items()))
    return Table(engine, table.name, file, spelled)
