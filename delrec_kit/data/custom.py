"""A folder of the user's own: interactions.csv[.gz] and items.csv."""

from pathlib import Path

from delrec_kit.data.domain import ITEMS, Domain
from delrec_kit.data.files import find_file, find_folder
from delrec_kit.data.interactions import Interactions, validate
from delrec_kit.data.tables import TextFile


def read_custom(data_dir: str | Path, domain: Domain = ITEMS) -> Interactions:
    """Read and validate ``interactions.csv`` (user, item, timestamp[, split]) and ``items.csv`` (item, title).

    UTF-8, comma separated, a header line naming the columns in any order; other columns are not read; interactions may
    be packed (``.csv.gz``). Ids are text: "1" and "01" differ. Raises KitError as ``validate`` does, and for files
    that are missing, empty, damaged or not UTF-8.
    """
    folder = find_folder(data_dir)
    interactions = TextFile(find_file(folder, ["interactions.csv", "interactions.csv.gz"]))
    items = TextFile(find_file(folder, ["items.csv"]))
    return validate(
        interactions.read(("user", "item", "timestamp"), optional=("split",)), items.read(("item", "title")), domain
    )
