"""Steam's reviews and games, as McAuley's group publishes them: one Python literal a line."""

from pathlib import Path

from delrec_kit.data.domain import GAMES
from delrec_kit.data.engine import Engine
from delrec_kit.data.finding import find_one
from delrec_kit.data.objects import JsonLines
from delrec_kit.data.sources.naming import called_by
from delrec_kit.data.validation import Raw
from delrec_kit.run.inputs import RAW_FILES
from delrec_kit.settings.config import DataConfig

REVIEW = {"user": "username", "item": "product_id", "timestamp": "date"}


def read_steam(folder: Path, config: DataConfig) -> Raw:
    """The reviews (username, product_id, date) and the games (id, app_name, else title).

    Reviews with a blank name, games without an id or a name, and those that nobody reviewed are left out and counted.
    Days are all that is known of the time. Raises KitError where the folder holds no such file or several.
    """
    called = called_by(config, {**REVIEW, "title": "app_name"})
    of_games = {name: name.startswith("steam_games") for name in RAW_FILES["steam"]}
    reviews = find_one(folder, [name for name in of_games if not of_games[name]], "reviews")
    games = JsonLines(find_one(folder, [name for name in of_games if of_games[name]], "games"))
    engine = Engine(reviews.stat().st_size)
    rows = JsonLines(reviews).read(engine, {name: called[name] for name in REVIEW})
    rows, nameless = rows.without("bare(user) = ''", "reviews with a blank username left out")
    fields = {"item": "id", "title": called["title"], "other": "title"}
    catalogue = games.read(engine, fields, optional=("item", "title", "other"))
    catalogue = catalogue.select("row, item, CASE WHEN bare(title) > '' THEN title ELSE other END AS title")
    catalogue, numberless = catalogue.without("COALESCE(bare(item), '') = ''", "games without an id left out")
    return Raw(rows, catalogue, GAMES, [*nameless, *numberless], chosen_only=True, first_titles=True)
