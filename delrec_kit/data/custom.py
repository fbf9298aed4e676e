"""A folder of the user's own: interactions.csv[.gz] and items.csv."""

from pathlib import Path

from delrec_kit.data.domain import ITEMS, Domain
from delrec_kit.data.files import find_file, find_folder
from delrec_kit.data.interactions import Interactions, validate
from delrec_kit.data.tables import TextFile
from delrec_kit.errors import KitError


def read_custom(data_dir: str | Path, domain: Domain = ITEMS) -> Interactions:
    """Read and validate ``interactions.csv`` (user, item, timestamp[, split]) and ``items.csv`` (item, title).

    UTF-8, comma separated, a header line naming the columns in any order; other columns are not read; interactions may
    be packed (``.csv.gz``). Ids are text: "1" and "01" differ. Raises KitError as ``validate`` does, and for files
    that are missing, empty, damaged, not UTF-8, or there both packed and unpacked.
    """
    folder = find_folder(data_dir)
    names = ["interactions.csv", "interactions.csv.gz"]
    if all((folder / name).is_file() for name in names):
        raise KitError(f"{folder} holds both {names[0]} and {names[1]}; keep the one that is meant")
    interactions = TextFile(find_file(folder, names))
    items = TextFile(find_file(folder, ["items.csv"]))
    return validate(
        interactions.read(("user", "item", "timestamp"), ("split", "rating"), numbers=("timestamp",)),
        items.read(("item", "title")),
        domain,
    )
