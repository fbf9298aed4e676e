"""Any dataset in RecBole's atomic files: NAME.inter and NAME.item, tab separated, types in the header."""

from dataclasses import replace
from pathlib import Path

from delrec_kit.data.catalogues import chosen_only
from delrec_kit.data.domain import ITEMS
from delrec_kit.data.files import find_folder, find_one
from delrec_kit.data.interactions import Interactions, validate
from delrec_kit.data.tables import Table, TextFile, brief
from delrec_kit.settings.errors import KitError, nearest

INTERACTION = {"user": "user_id", "item": "item_id", "timestamp": "timestamp"}
TITLES = ("title", "movie_title", "product_name", "product_title", "app_name", "item_name", "book_title", "name")


def read_recbole(data_dir: str | Path) -> Interactions:
    """Read and validate ``NAME.inter`` (user_id, item_id, timestamp, and rating where it is there) and ``NAME.item``
    (item_id and a column of titles).

    Items that nobody chose are left out and counted. Raises KitError as ``validate`` does, and where the folder does
    not hold exactly one .inter file, its .item file is missing, or a header lacks a column.
    """
    folder = find_folder(data_dir)
    inter = find_one(folder, ["*.inter"], "interactions")
    items = inter.with_suffix(".item")
    if not items.is_file():
        raise KitError(f"{folder} has no file {items.name}; the kit works on titles, which stand in that file")
    rows = _read(inter, INTERACTION, {"rating": "rating"})
    header = _header(items)
    name = next((title for title in TITLES if title in header), None)
    name = name or next((column for column in header if "title" in column or "name" in column), None)
    if name is None:
        raise KitError(
            f"{items}, line 1: no column of titles such as {', '.join(TITLES[:4])} (known: {_known(header)})"
        )
    catalogue, unchosen = chosen_only(rows, _read(items, {"item": "item_id", "title": name}))
    read = validate(rows, catalogue, ITEMS)
    return replace(read, notices=[*unchosen, *read.notices])


def _file(path: Path) -> TextFile:
    return TextFile(path, delimiter="\t", quoted=False)


def _header(path: Path) -> dict[str, str]:
    """Field -> the column as the file writes it, with its type."""
    _, columns = next(_file(path).rows(), (0, None))
    if columns is None:
        raise KitError(f"{path} is empty")
    if ":" not in columns[0]:
        raise KitError(f"{path}, line 1: the header names no types, such as user_id:token (it has {_known(columns)})")
    return {column.partition(":")[0].strip(): column.strip() for column in columns}


def _read(path: Path, fields: dict[str, str], optional: dict[str, str] | None = None) -> Table:
    header = _header(path)
    for field in fields.values():
        if field not in header:
            raise KitError(f"{path}, line 1: no column '{field}'{nearest(field, map(brief, header))}")
    fields = fields | {column: field for column, field in (optional or {}).items() if field in header}
    spelled = {column: header[field] for column, field in fields.items()}
    numbers = tuple(spelled[column] for column in ("timestamp",) if column in spelled)
    table = _file(path).read(tuple(spelled.values()), numbers=numbers)
    columns = {column: table.frame[name] for column, name in spelled.items()}
    return Table(table.file, table.frame.set_axis(list(columns), axis=1), spelled)


def _known(columns) -> str:
    return ", ".join(map(brief, columns))
