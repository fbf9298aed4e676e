"""Any dataset in RecBole's atomic files: NAME.inter and NAME.item, types in the header."""

import re
from dataclasses import replace
from pathlib import Path

from delrec_kit.data.domain import FILMS, GAMES, ITEMS, PRODUCTS
from delrec_kit.data.engine import Engine
from delrec_kit.data.sources.naming import check_columns, files_of_split, passed_over, read_named, separator
from delrec_kit.data.tables import joined
from delrec_kit.data.text import TextFile
from delrec_kit.data.validation import Raw
from delrec_kit.run.inputs import find_file
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError

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


def read_recbole(folder: Path, config: DataConfig) -> Raw:
    """``NAME.inter``, or NAME.train.inter, NAME.test.inter and perhaps NAME.valid.inter, and ``NAME.item``.

    Fields may have the names that RecBole's own datasets use, or those that ``data.columns`` gives them, without types;
    what stands between two fields of the header separates them everywhere, unless ``separator`` is given there. Items
    that nobody chose are left out and counted. Raises KitError where the folder does not hold exactly one dataset, its
    .item file is missing, or a header lacks a field.
    """
    check_columns(config, {*FIELDS, "separator"})
    parts = files_of_split(folder, ["*.train.inter", "*.valid.inter", "*.test.inter"])
    inters = [*parts.values()] or [find_file(folder, ["*.inter"], "interactions")]
    items = folder / (inters[0].name.removesuffix(".inter").removesuffix(".train") + ".item")
    if not items.is_file():
        raise KitError(f"{folder} has no file {items.name}; the kit works on titles, which stand in that file")
    engine = Engine(sum(path.stat().st_size for path in inters))
    rows = {name: FIELDS[name] for name in ("user", "item", "timestamp", "rating", "label")}
    tables = [read_named(_opened(path, config), engine, config, rows, ("rating", "label")) for path in inters]
    item, file = tables[0].spelled["item"], _opened(items, config)
    alike = [column for column in file.header() if "title" in column or "name" in column]
    product = (item, *FIELDS["item"], *(["id"] if item == "product_id" else []))  # Steam's .item file says id
    names = {"item": product, "title": (*FIELDS["title"], *alike), "year": FIELDS["year"]}
    catalogue = read_named(file, engine, config, names, ("year",))
    called = catalogue.spelled["title"]
    guessed = called not in FIELDS["title"] and "title" not in config.columns
    notices = passed_over(folder, ["*.inter"], inters)
    if guessed:
        notices.append(f"titles are taken from the column '{called}'; --columns title=… names another")
    domain = DOMAINS.get(called, ITEMS)
    return Raw(joined(tables, list(parts)), catalogue, domain, notices, chosen_only=True, several=bool(parts))


def _opened(path: Path, config: DataConfig) -> TextFile:
    """The file; what ends the first type of its header separates fields, unless ``data.columns`` says what does."""
    file = TextFile(path, delimiter=separator(config, "\t"), quoted=False)
    first = file.header()
    if "separator" not in config.columns and len(first) == 1 and (end := re.search(r":\w+(\W)", first[0])):
        file = replace(file, delimiter=end[1])
    return replace(file, typed=True)
