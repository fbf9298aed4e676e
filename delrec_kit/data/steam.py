"""Steam's reviews and games, as McAuley's group publishes them: one Python literal a line."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from delrec_kit.data.catalogues import chosen_only, first_titles
from delrec_kit.data.domain import GAMES
from delrec_kit.data.files import find_folder, find_one
from delrec_kit.data.filters import with_titles
from delrec_kit.data.interactions import Interactions, validate
from delrec_kit.data.json_lines import JsonLines
from delrec_kit.data.tables import Table, trimmed
from delrec_kit.run.inputs import RAW_FILES

REVIEW = {"user": "username", "item": "product_id", "timestamp": "date"}
GAME = {"item": "id", "title": "app_name", "other": "title"}


def read_steam(data_dir: str | Path) -> Interactions:
    """Read and validate the reviews (username, product_id, date) and the games (id, app_name, title).

    Reviews with a blank name, games without an id or a name, and those that nobody reviewed are left out and counted.
    Days are all that is known of the time: reviews of one day keep their order in the file. Raises KitError as
    ``validate`` and ``JsonLines`` do, and where the folder holds no such file or several.
    """
    folder = find_folder(data_dir)
    patterns = {name: name.startswith("steam_games") for name in RAW_FILES["steam"]}
    reviews = find_one(folder, [name for name in patterns if not patterns[name]], "reviews")
    games = JsonLines(find_one(folder, [name for name in patterns if patterns[name]], "games"))
    rows, nameless = _filled(JsonLines(reviews).read(REVIEW), "user", "reviews with a blank username left out")
    catalogue, numberless = _filled(_games(games), "item", "games without an id left out")
    catalogue, unchosen = chosen_only(rows, catalogue)
    catalogue, twice = first_titles(catalogue)
    read = with_titles(validate(rows, catalogue, GAMES))
    return replace(read, notices=[*nameless, *numberless, *unchosen, *twice, *read.notices])


def _games(file: JsonLines) -> Table:
    """app_name, or title where there is none."""
    table = file.read(GAME, optional=("item", "title", "other"))
    name, other = (table.frame[column].astype("str") for column in ("title", "other"))
    title = name.where(name != "", other).astype("category")
    return Table(file, pd.DataFrame({"item": table.frame["item"], "title": trimmed(title)}), table.spelled)


def _filled(table: Table, column: str, what: str) -> tuple[Table, list[str]]:
    empty = (table.frame[column] == "").to_numpy()
    return (table.keep(~empty), [f"{empty.sum()} {what}"]) if empty.any() else (table, [])
