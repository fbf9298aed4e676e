"""MovieLens-100K and MovieLens-1M, from a folder in GroupLens' layout, or downloaded."""

import re
from contextlib import suppress
from pathlib import Path

from delrec_kit.data.domain import FILMS
from delrec_kit.data.engine import Engine
from delrec_kit.data.sources.grouplens import ML_1M, ML_100K, download
from delrec_kit.data.sources.naming import check_columns, passed_over, separator
from delrec_kit.data.tables import DAMAGE, open_bytes
from delrec_kit.data.text import TextFile
from delrec_kit.data.validation import Raw
from delrec_kit.run.inputs import find_file
from delrec_kit.settings.config import DataConfig

UTF_8 = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)  # not an ASCII letter
RATINGS, FILM = ("user", "item", "rating", "timestamp"), ("item", "title")


def read_movielens(folder: Path | None, config: DataConfig) -> Raw:
    """``u.data`` (user, item, rating, timestamp by tabs) and ``u.item`` (id|title|…, latin-1).

    Every rating counts as an interaction, whatever its value. ``folder`` None downloads once, with progress, into
    the user's cache. Raises KitError when the download fails or is not the known data.
    """
    return _read(folder or download(ML_100K), ("u.data", "u.item"), ("\t", "|"), config)


def read_movielens_1m(folder: Path | None, config: DataConfig) -> Raw:
    """``ratings.dat`` (user::item::rating::timestamp) and ``movies.dat`` (id::title::genres), as of MovieTweetings too;
    films that nobody rated are left out and counted."""
    return _read(folder or download(ML_1M), ("ratings.dat", "movies.dat"), ("::", "::"), config, chosen_only=True)


def _read(
    folder: Path, names: tuple[str, str], separators: tuple[str, str], config: DataConfig, chosen_only: bool = False
) -> Raw:
    check_columns(config, ["separator"])
    rows, films = (find_file(folder, [name]) for name in names)
    engine = Engine(rows.stat().st_size)
    ratings = TextFile(rows, RATINGS, separator(config, separators[0]), quoted=False)
    catalogue = TextFile(films, FILM, separator(config, separators[1]), quoted=False, encoding=_encoding(films))
    tables = (file.read(engine, dict(zip(file.names, file.names))) for file in (ratings, catalogue))
    others = [f"{path.stem}{end}" for path in (rows, films) for end in (".csv", ".csv.gz", ".parquet")]
    return Raw(*tables, FILMS, passed_over(folder, others, (rows, films)), chosen_only=chosen_only)


def _encoding(path: Path) -> str:
    """GroupLens' file is latin-1; a copy that someone saved as UTF-8 is told by its bytes, though a line of it may be
    damaged: that line is refused when the rows are read, as damaged gzip is."""
    with open_bytes(path) as raw, suppress(*DAMAGE):
        content = raw.read()
        return "utf-8" if content.isascii() or UTF_8.search(content) else "latin-1"
    return "utf-8"
