"""Amazon's product reviews of any category, as published in 2014, 2018 and 2023."""

from pathlib import Path

from delrec_kit.data.domain import PRODUCTS
from delrec_kit.data.engine import Engine
from delrec_kit.data.finding import find_one
from delrec_kit.data.objects import JsonLines
from delrec_kit.data.sources.naming import called_by, renamed
from delrec_kit.data.tables import Table, joined
from delrec_kit.data.text import TextFile
from delrec_kit.data.validation import Raw
from delrec_kit.run.inputs import amazon_files, matching
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError

REVIEWS = (
    {"user": "reviewerID", "item": "asin", "rating": "overall", "timestamp": "unixReviewTime"},  # 2014 and 2018
    {"user": "user_id", "item": "parent_asin", "rating": "rating", "timestamp": "timestamp"},  # 2023
)
ROWS = tuple(REVIEWS[1])
PARTS = ("train", "valid", "test")


def read_amazon(folder: Path, config: DataConfig, categories: tuple[str, ...]) -> Raw:
    """One category's interactions and metadata: reviews, else the benchmark splits of 2023, else ratings alone.

    ``categories`` are the publishers' names for it; none means the one whose metadata lie in the folder, or that
    ``data.columns`` names as ``category``. Which layout a file has is told by its first line. Every review counts,
    whatever its rating. Products without a title, and those that nobody chose, are left out and counted. Raises
    KitError where the folder holds no such file or several.
    """
    usual = {**dict.fromkeys(ROWS, ""), "title": "title", "category": ""}
    called = {name: theirs for name, theirs in called_by(config, usual).items() if theirs}
    categories = (called.pop("category"),) if "category" in called else categories or (_category(folder),)
    reviews, ratings, splits, metadata = amazon_files(*categories)
    alone = [] if matching(folder, reviews) else matching(folder, ratings)
    parts = {part: [path for path in matching(folder, splits) if f".{part}." in path.name] for part in PARTS}
    benchmark = all(parts.values()) and not matching(folder, reviews)
    engine = Engine(sum(path.stat().st_size for path in matching(folder, (*reviews, *ratings, *splits))))
    if benchmark:
        rows = joined([_ratings(engine, paths[0], called) for paths in parts.values()], PARTS)
    elif alone:
        rows = _ratings(engine, find_one(folder, ratings, "ratings"), called)
    else:
        rows = _reviews(engine, JsonLines(find_one(folder, reviews, "reviews")), called)
    products, spoilt = _titles(engine, JsonLines(find_one(folder, metadata, "metadata")), called)
    return Raw(rows, products, PRODUCTS, spoilt, chosen_only=True, first_titles=True, several=benchmark)


def _category(folder: Path) -> str:
    return find_one(folder, amazon_files("")[-1], "metadata").name.partition(".")[0].removeprefix("meta_")


def _reviews(engine: Engine, file: JsonLines, called: dict[str, str]) -> Table:
    first = file.first()
    fields = max(REVIEWS, key=lambda layout: sum(field in first for field in layout.values()))
    fields = {name: called.get(name, field) for name, field in fields.items()}
    if not any(field in first for field in fields.values()):
        layouts = " nor ".join(f"({', '.join(layout.values())})" for layout in REVIEWS)
        raise KitError(f"{file.path}, {file.at(0)[1]}: a review has neither the fields {layouts}")
    return file.read(engine, fields)


def _ratings(engine: Engine, path: Path, called: dict[str, str]) -> Table:
    """With the header of 2023, or without one: user first in 2014 (``ratings_…``), product first in 2018."""
    header = TextFile(path).header()
    if REVIEWS[1]["item"] in header or called.get("item") in header:
        return renamed(TextFile(path), engine, {**REVIEWS[1], **called}, ROWS)
    order = ROWS if path.name.startswith("ratings_") else ("item", "user", *ROWS[2:])
    return TextFile(path, order).read(engine, ROWS, moment="timestamp")


def _titles(engine: Engine, file: JsonLines, called: dict[str, str]) -> tuple[Table, list[str]]:
    """The catalogue without rows whose title is code of the page, as the publishers of 2018 advise, and their count."""
    item = "parent_asin" if "parent_asin" in file.first() else "asin"
    table = file.read(engine, {"item": item, "title": called["title"]}, optional=("title",))
    return table.without("contains(title, 'getTime')", "catalogue rows left out whose title is code of a web page")
