"""MovieLens-100K and MovieLens-1M, from a folder in GroupLens' layout, or downloaded."""

from dataclasses import replace
from pathlib import Path

from delrec_kit.data.catalogues import chosen_only
from delrec_kit.data.domain import FILMS
from delrec_kit.data.files import find_file, find_folder
from delrec_kit.data.grouplens import ML_1M, ML_100K, download
from delrec_kit.data.interactions import Interactions, validate
from delrec_kit.data.tables import DAMAGE, TextFile

RATINGS = ("user", "item", "rating", "timestamp")


def read_movielens(data_dir: str | Path | None = None) -> Interactions:
    """Read and validate ``u.data`` (user, item, rating, timestamp by tabs) and ``u.item`` (id|title|…, latin-1).

    Every rating counts as an interaction, whatever its value. ``data_dir`` None downloads once, with progress, into
    the user's cache. Raises KitError as ``validate`` does, and when the download fails or is not the known data.
    """
    folder = find_folder(data_dir) if data_dir is not None else download(ML_100K)
    ratings = TextFile(find_file(folder, ["u.data"]), RATINGS, "\t", quoted=False)
    path = find_file(folder, ["u.item"])
    films = TextFile(path, ("item", "title"), "|", quoted=False, encoding=_encoding(path))
    return validate(
        ratings.read(RATINGS, numbers=("rating", "timestamp")),
        films.read(("item", "title")),
        FILMS,
    )


def read_movielens_1m(data_dir: str | Path | None = None) -> Interactions:
    """Read and validate ``ratings.dat`` (user::item::rating::timestamp) and ``movies.dat`` (id::title::genres).

    Every rating counts as an interaction, whatever its value; films that nobody rated are left out and counted.
    ``data_dir`` None downloads as for MovieLens-100K. Raises KitError as ``read_movielens`` does.
    """
    folder = find_folder(data_dir) if data_dir is not None else download(ML_1M)
    ratings = TextFile(find_file(folder, ["ratings.dat"]), RATINGS, "::", quoted=False)
    path = find_file(folder, ["movies.dat"])
    films = TextFile(path, ("item", "title", "genres"), "::", quoted=False, encoding=_encoding(path))
    rows = ratings.read(RATINGS, numbers=("rating", "timestamp"))
    catalogue, unchosen = chosen_only(rows, films.read(("item", "title")))
    read = validate(rows, catalogue, FILMS)
    return replace(read, notices=[*unchosen, *read.notices])


def _encoding(path: Path) -> str:
    """GroupLens' file is latin-1; a copy that someone saved as UTF-8 is told by its bytes."""
    with TextFile(path).open() as raw:
        try:
            raw.read().decode("utf-8")
        except UnicodeDecodeError:
            return "latin-1"
        except DAMAGE:  # told with its line when the rows are read
            pass
    return "utf-8-sig"
