"""The words that prompts use for a dataset's items."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Domain:
    """A ``noun`` is ``past``: films are watched, games are played, items are purchased."""

    noun: str = "film"
    plural: str = "films"
    past: str = "watched"
    present: str = "watch"


FILMS = Domain()
ITEMS = Domain(noun="item", plural="items", past="chose", present="choose")
PRODUCTS = Domain(noun="product", plural="products", past="bought", present="buy")
GAMES = Domain(noun="game", plural="games", past="played", present="play")
