"""Amazon's product reviews, as published in 2014, 2018 and 2023."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from delrec_kit.data.catalogues import chosen_only, first_titles
from delrec_kit.data.domain import PRODUCTS
from delrec_kit.data.files import find_folder, find_one
from delrec_kit.data.filters import with_titles
from delrec_kit.data.interactions import Interactions, validate
from delrec_kit.data.json_lines import JsonLines
from delrec_kit.data.tables import Table, TextFile
from delrec_kit.run.inputs import RAW_FILES, matching
from delrec_kit.settings.errors import KitError

REVIEWS = (
    {"user": "reviewerID", "item": "asin", "rating": "overall", "timestamp": "unixReviewTime"},  # 2014 and 2018
    {"user": "user_id", "item": "parent_asin", "rating": "rating", "timestamp": "timestamp"},  # 2023
)
NUMBERS = {"rating": pa.float64(), "timestamp": pa.int64()}
RATINGS = ("user", "item", "rating", "timestamp")


def read_amazon(data_dir: str | Path, dataset: str) -> Interactions:
    """Read and validate one review file and one metadata file of ``dataset``, "beauty" or "home-kitchen".

    Which of the publishers' layouts a file has is told by the fields of its first object; without reviews, the ratings
    of 2014 (CSV without a header) are read. Every review counts, whatever its rating. Products without a title, and
    those that nobody chose, are left out and counted. Raises KitError as ``validate`` and ``JsonLines`` do, and where
    the folder holds no such file or several.
    """
    folder = find_folder(data_dir)
    patterns = RAW_FILES[dataset]
    ratings, metadata = ([name for name in patterns if name.startswith(start)] for start in ("ratings_", "meta_"))
    reviews = [name for name in patterns if name not in (*ratings, *metadata)]
    if matching(folder, ratings) and not matching(folder, reviews):
        rows = TextFile(find_one(folder, ratings, "ratings"), RATINGS).read(RATINGS, numbers=("timestamp",))
    else:
        rows = _reviews(JsonLines(find_one(folder, reviews, "reviews")))
    metadata = JsonLines(find_one(folder, metadata, "metadata"))
    catalogue, spoilt = _titles(metadata)
    catalogue, unchosen = chosen_only(rows, catalogue)
    catalogue, twice = first_titles(catalogue)
    read = with_titles(validate(rows, catalogue, PRODUCTS))
    return replace(read, notices=[*spoilt, *unchosen, *twice, *read.notices])


def _reviews(file: JsonLines) -> Table:
    first = file.first()
    fields = max(REVIEWS, key=lambda layout: sum(field in first for field in layout.values()))
    if not any(field in first for field in fields.values()):
        layouts = " nor ".join(f"({', '.join(layout.values())})" for layout in REVIEWS)
        raise KitError(f"{file.path}, line {file.line(0)}: a review has neither the fields {layouts}")
    return file.read(fields, numbers=NUMBERS)


def _titles(file: JsonLines) -> tuple[Table, list[str]]:
    """The catalogue without rows whose title is code of the page, as the publishers of 2018 advise, and their count."""
    item = "parent_asin" if "parent_asin" in file.first() else "asin"
    table = file.read({"item": item, "title": "title"}, optional=("title",))
    title = table.frame["title"].cat
    code = title.categories.str.contains("getTime", regex=False)[title.codes]
    if not code.any():
        return table, []
    return table.keep(~code), [f"{code.sum()} catalogue rows left out whose title is code of a web page"]
