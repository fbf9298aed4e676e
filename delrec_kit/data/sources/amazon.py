"""Amazon's product reviews of any category, as published in 2014, 2018 and 2023."""

from pathlib import Path

from delrec_kit.data.domain import PRODUCTS
from delrec_kit.data.engine import Engine
from delrec_kit.data.objects import JsonLines
from delrec_kit.data.sources.naming import check_columns, files_of_split, passed_over, read_named
from delrec_kit.data.tables import Table, joined
from delrec_kit.data.text import TextFile
from delrec_kit.data.validation import Raw
from delrec_kit.run.inputs import amazon_files, find_file, matching
from delrec_kit.settings.config import DataConfig

REVIEW = {  # of 2014 and 2018, and of 2023
    "user": ("reviewerID", "user_id"),
    "item": ("parent_asin", "asin"),
    "rating": ("overall", "rating"),
    "timestamp": ("unixReviewTime", "timestamp"),
}
PRODUCT = {"item": ("parent_asin", "asin"), "title": ("title",)}


def read_amazon(folder: Path, config: DataConfig, categories: tuple[str, ...]) -> Raw:
    """One category's interactions and metadata: reviews, else the benchmark splits of 2023, else ratings alone; what is
    there too is named in a notice.

    ``categories`` are the publishers' names for it; none means the one whose metadata lie in the folder, or that
    ``data.columns`` names as ``category``. Which layout a file has is told by its first line. Every review counts,
    whatever its rating. Products without a title, and those that nobody chose, are left out and counted. Raises
    KitError where the folder holds no such file or several.
    """
    check_columns(config, {*REVIEW, "title", "category"})
    own = config.columns.get("category")
    categories = (own,) if own else categories or (_category(folder),)
    reviews, ratings, splits, metadata = amazon_files(*categories)
    parts = {} if matching(folder, reviews) else files_of_split(folder, splits)
    alone = not matching(folder, reviews) and matching(folder, ratings)
    called = (ratings, "ratings") if alone else (reviews, "reviews")
    paths = [*parts.values()] or [find_file(folder, *called)]
    engine = Engine(sum(path.stat().st_size for path in paths))
    if parts or alone:
        rows = joined([_ratings(engine, path, config) for path in paths], list(parts))
    else:
        rows = read_named(JsonLines(paths[0]), engine, config, REVIEW, ("rating",))
    catalogue = read_named(JsonLines(find_file(folder, metadata, "metadata")), engine, config, PRODUCT, ("title",))
    code = "catalogue rows left out whose title is code of a web page"  # as the publishers of 2018 advise
    products, spoilt = catalogue.without("contains(title, 'getTime')", code)
    notices = passed_over(folder, (*reviews, *ratings, *splits), paths) + spoilt
    return Raw(rows, products, PRODUCTS, notices, chosen_only=True, first_titles=True, several=bool(parts))


def _category(folder: Path) -> str:
    return find_file(folder, amazon_files("")[-1], "metadata").name.partition(".")[0].removeprefix("meta_")


def _ratings(engine: Engine, path: Path, config: DataConfig) -> Table:
    """With the header of 2023, or without one: user first in 2014 (``ratings_…``), product first in 2018."""
    file = TextFile(path)
    if {*REVIEW["item"], config.columns.get("item")} & {*file.header()}:
        return read_named(file, engine, config, REVIEW, ("rating",))
    order = ("user", "item") if path.name.startswith("ratings_") else ("item", "user")
    return TextFile(path, (*order, "rating", "timestamp")).read(engine, {name: name for name in REVIEW})
