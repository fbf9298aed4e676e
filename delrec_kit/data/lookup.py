"""Items by title, as people write them."""

from collections.abc import Sequence
from difflib import get_close_matches

from delrec_kit.settings.errors import KitError


def item_of(titles: Sequence[str], wanted: str) -> int:
    """The item of a title, whatever its case; of equal titles the first. titles: by item, 0 is padding. Raises KitError
    for a title that is not in the catalogue, naming the nearest."""
    folded = {title.casefold(): item for item, title in reversed(list(enumerate(titles))) if item}
    item = folded.get(wanted.strip().casefold())
    if item is None:
        near = [titles[folded[title]] for title in _nearest_titles(wanted.casefold(), list(folded))]
        raise KitError(f"no title '{wanted}' in the catalogue; nearest: {', '.join(map(repr, near)) or 'none'}")
    return item


def _nearest_titles(wanted: str, titles: Sequence[str]) -> list[str]:
    """Up to three; who writes no year is matched without it."""
    bare = [title.rpartition(" (")[0] or title for title in titles]
    known = dict(zip(titles if "(" in wanted else bare, titles, strict=True))
    return [known[match] for match in get_close_matches(wanted, known, n=3, cutoff=0.3)]
