"""A folder of the user's own: interactions and items, as CSV, CSV.gz or Parquet, under any column names."""

from pathlib import Path

from delrec_kit.data.engine import Engine
from delrec_kit.data.parquet import ParquetFile
from delrec_kit.data.sources.naming import check_columns, read_named, separator
from delrec_kit.data.text import TextFile
from delrec_kit.data.validation import Raw
from delrec_kit.run.inputs import find_file
from delrec_kit.settings.config import DataConfig

ROWS = {name: (name,) for name in ("user", "item", "timestamp", "split", "rating", "label")}
CATALOGUE = {name: (name,) for name in ("item", "title", "year")}
ENDINGS = (".csv", ".csv.gz", ".parquet")


def read_custom(folder: Path, config: DataConfig) -> Raw:
    """``interactions`` (user, item, timestamp[, split, rating, label]) and ``items`` (item, title[, year]).

    Each is a ``.csv``, ``.csv.gz`` or ``.parquet`` file. ``config.columns`` says what the file calls a column (the one
    for item goes for both files), and what separates columns of CSV. Text is UTF-8, a header line names the columns in
    any order. Ids are text: "1" and "01" differ. Raises KitError for files that are missing, damaged, or there twice.
    """
    check_columns(config, {*ROWS, *CATALOGUE, "separator"})
    paths = [find_file(folder, [stem + ending for ending in ENDINGS]) for stem in ("interactions", "items")]
    engine = Engine(sum(path.stat().st_size for path in paths))
    rows, items = (
        ParquetFile(path) if path.suffix == ".parquet" else TextFile(path, delimiter=separator(config, ","))
        for path in paths
    )
    return Raw(
        read_named(rows, engine, config, ROWS, ("split", "rating", "label")),
        read_named(items, engine, config, CATALOGUE, ("year",)),
    )
