"""A folder of the user's own: interactions and items, as CSV, CSV.gz or Parquet, under any column names."""

from collections.abc import Mapping
from pathlib import Path

from delrec_kit.data.domain import ITEMS, Domain
from delrec_kit.data.files import find_file, find_folder
from delrec_kit.data.interactions import Interactions, validate
from delrec_kit.data.parquet import ParquetFile
from delrec_kit.data.tables import Table, TextFile
from delrec_kit.settings.errors import KitError, nearest

ENDINGS = (".csv", ".csv.gz", ".parquet")
ROWS, OPTIONAL, CATALOGUE = ("user", "item", "timestamp"), ("split", "rating"), ("item", "title")


def read_custom(data_dir: str | Path, domain: Domain = ITEMS, columns: Mapping[str, str] = {}) -> Interactions:
    """Read and validate ``interactions`` (user, item, timestamp[, split, rating]) and ``items`` (item, title).

    Each is a ``.csv``, ``.csv.gz`` or ``.parquet`` file. ``columns`` says what the file calls a column:
    ``{"user": "reviewer"}``; the one for item goes for both files. Text is UTF-8, comma separated, a header line naming
    the columns in any order; other columns are not read. Ids are text: "1" and "01" differ. Raises KitError as
    ``validate`` does, and for files that are missing, empty, damaged, not UTF-8, or there twice.
    """
    folder = find_folder(data_dir)
    for name in columns:
        if name not in {*ROWS, *OPTIONAL, *CATALOGUE}:
            raise KitError(f"data.columns: no column '{name}'{nearest(name, [*ROWS, *OPTIONAL, 'title'])}")
    files = _file(folder, "interactions"), _file(folder, "items")
    return validate(_read(files[0], columns, ROWS, OPTIONAL), _read(files[1], columns, CATALOGUE), domain)


def _file(folder: Path, stem: str) -> Path:
    names = [stem + ending for ending in ENDINGS]
    there = [name for name in names if (folder / name).is_file()]
    if len(there) > 1:
        raise KitError(f"{folder} holds both {there[0]} and {there[1]}; keep the one that is meant")
    return find_file(folder, names)


def _read(path: Path, called: Mapping[str, str], wanted: tuple[str, ...], optional: tuple[str, ...] = ()) -> Table:
    """The table under the kit's own column names."""
    theirs = {name: called.get(name, name) for name in (*wanted, *optional)}
    file = ParquetFile(path) if path.suffix == ".parquet" else TextFile(path)
    given = tuple(theirs[name] for name in optional)
    table = file.read(
        tuple(theirs[name] for name in wanted),
        given,
        numbers=tuple(theirs[name] for name in wanted if name == "timestamp"),
    )
    ours = {there: name for name, there in theirs.items()}
    return Table(file, table.frame.rename(columns=ours))
