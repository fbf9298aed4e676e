"""Steam's reviews and games, as McAuley's group publishes them: one Python literal a line."""

from pathlib import Path

from delrec_kit.data.domain import GAMES
from delrec_kit.data.engine import Engine
from delrec_kit.data.objects import JsonLines
from delrec_kit.data.sources.naming import check_columns, read_named
from delrec_kit.data.validation import Raw
from delrec_kit.run.inputs import RAW_FILES, find_file
from delrec_kit.settings.config import DataConfig

REVIEW = {"user": ("username",), "item": ("product_id",), "timestamp": ("date",)}
GAME = {"item": ("id",), "title": ("app_name",), "other": ("title",)}


def read_steam(folder: Path, config: DataConfig) -> Raw:
    """The reviews (username, product_id, date) and the games (id, app_name, else title).

    Reviews with a blank name, games without an id or a name, and those that nobody reviewed are left out and counted.
    Days are all that is known of the time. Raises KitError where the folder holds no such file or several.
    """
    check_columns(config, {*REVIEW, "title"})
    of_games = {name: name.startswith("steam_games") for name in RAW_FILES["steam"]}
    reviews = find_file(folder, [name for name in of_games if not of_games[name]], "reviews")
    games = JsonLines(find_file(folder, [name for name in of_games if of_games[name]], "games"))
    engine = Engine(reviews.stat().st_size)
    rows = read_named(JsonLines(reviews), engine, config, REVIEW)
    rows, nameless = rows.without("bare(user) = ''", "reviews with a blank username left out")
    catalogue = read_named(games, engine, config, GAME, GAME)
    catalogue = catalogue.select("row, item, CASE WHEN bare(title) > '' THEN title ELSE other END AS title")
    catalogue, numberless = catalogue.without("COALESCE(bare(item), '') = ''", "games without an id left out")
    return Raw(rows, catalogue, GAMES, [*nameless, *numberless], chosen_only=True, first_titles=True)
