"""Any dataset in RecBole's atomic files: NAME.inter and NAME.item, types in the header."""

import re
from pathlib import Path

from delrec_kit.data.domain import FILMS, GAMES, ITEMS, PRODUCTS
from delrec_kit.data.engine import Engine
from delrec_kit.data.finding import find_one
from delrec_kit.data.sources.naming import called_by
from delrec_kit.data.tables import Table, brief, joined
from delrec_kit.data.text import TextFile
from delrec_kit.data.validation import Raw
from delrec_kit.run.inputs import matching
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError, nearest

FIELDS = {  # what RecBole's own datasets call them: Steam product_id, Yelp business_id, Retailrocket visitor_id
    "user": ("user_id", "visitor_id", "session_id"),
    "item": ("item_id", "product_id", "business_id", "artist_id", "news_id"),
    "timestamp": ("timestamp", "date"),
    "rating": ("rating", "stars"),
    "label": ("label",),
    "title": ("title", "movie_title", "product_name", "product_title", "app_name", "item_name", "book_title", "name"),
    "year": ("release_year", "year"),
}
DOMAINS = {"movie_title": FILMS, "app_name": GAMES, "product_name": PRODUCTS, "product_title": PRODUCTS}
PARTS = ("train", "valid", "test")


def read_recbole(folder: Path, config: DataConfig) -> Raw:
    """``NAME.inter``, or NAME.train.inter, NAME.valid.inter and NAME.test.inter, and ``NAME.item``.

    Fields may have the names that RecBole's own datasets use, or those that ``data.columns`` gives them, without types;
    what stands between two fields of the header separates them everywhere, unless ``separator`` is given there. Items
    that nobody chose are left out and counted. Raises KitError where the folder does not hold exactly one dataset, its
    .item file is missing, or a header lacks a field.
    """
    called = called_by(config, {**dict.fromkeys(FIELDS, ""), "separator": ""})
    config = config.model_copy(update={"columns": {name: theirs for name, theirs in called.items() if theirs}})
    split = {part: matching(folder, [f"*.{part}.inter"]) for part in PARTS}
    if all(split.values()):
        inters = [find_one(folder, [f"*.{part}.inter"], f"{part} interactions") for part in PARTS]
    else:
        inters = [find_one(folder, ["*.inter"], "interactions")]
    items = folder / (inters[0].name.removesuffix(".inter").removesuffix(".train") + ".item")
    if not items.is_file():
        raise KitError(f"{folder} has no file {items.name}; the kit works on titles, which stand in that file")
    engine = Engine(sum(path.stat().st_size for path in inters))
    tables = [_read(engine, path, config, ("user", "item", "timestamp"), ("rating", "label")) for path in inters]
    rows = tables[0] if len(tables) == 1 else joined(tables, PARTS)
    item = rows.spelled["item"].partition(":")[0]
    catalogue = _read(engine, items, config, ("item", "title"), ("year",), item)
    domain = DOMAINS.get(catalogue.spelled["title"].partition(":")[0], ITEMS)
    return Raw(rows, catalogue, domain, chosen_only=True, several=len(tables) > 1)


def _read(
    engine: Engine, path: Path, config: DataConfig, wanted: tuple[str, ...], optional: tuple[str, ...], item: str = ""
) -> Table:
    """The table under the kit's own names. item: what the .inter file calls an item, for the .item file."""
    file, header = _opened(path, config.columns.get("separator"))
    there, spelled = ", ".join(map(brief, header)), {}
    for name in (*wanted, *optional):
        names = (config.columns[name],) if name in config.columns else FIELDS[name]
        if name == "item" and item:  # Steam's .item file says id
            names = (item, *names, *(["id"] if item == "product_id" else []))
        found = next((theirs for theirs in names if theirs in header), None)
        if found is None and name == "title" and name not in config.columns:
            found = next((column for column in header if "title" in column or "name" in column), None)
            if found is None:
                some = ", ".join(names[:4])
                raise KitError(f"{path}, line 1: no column of titles such as {some} (known: {there})")
        timed = any(word in column for column in header for word in ("time", "date"))
        if found is not None:
            spelled[name] = header[found]
        elif name in wanted and (name != "timestamp" or timed or name in config.columns):
            raise KitError(f"{path}, line 1: no column '{names[0]}'{nearest(names[0], map(brief, header))}")
    table = file.read(engine, list(spelled.values()))
    table = table.select("row, " + ", ".join(f'"{theirs}" AS {name}' for name, theirs in spelled.items()))
    return Table(engine, table.name, file, spelled)


def _opened(path: Path, separator: str | None) -> tuple[TextFile, dict[str, str]]:
    """The file, and field -> the column as the header writes it, with its type."""
    file = TextFile(path, delimiter=separator or "\t", quoted=False)
    first = file.header()
    if separator is None and len(first) == 1 and (end := re.search(r":\w+(\W)", first[0])):
        file = TextFile(path, delimiter=end[1], quoted=False)  # what ends the first type separates fields
        first = file.header()
    if ":" not in first[0]:
        known = ", ".join(map(brief, first))
        raise KitError(f"{path}, line 1: the header names no types, such as user_id:token (it has {known})")
    return file, {column.partition(":")[0].strip(): column.strip() for column in first}
