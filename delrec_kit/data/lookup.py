"""Items by title, as people write them."""

from collections.abc import Sequence
from difflib import get_close_matches

from delrec_kit.settings.errors import KitError


def item_of(titles: Sequence[str], wanted: str) -> int:
    """The item of a title, whatever its case; of equal titles the first. titles: by item, 0 is padding. Raises KitError
    for a title that is not in the catalogue, naming the nearest."""
    return items_of(titles, [wanted])[0]


def items_of(titles: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """The item of each of ``wanted``, as ``item_of`` finds it. Raises KitError for the first that is not there."""
    folded = {title.casefold(): item for item, title in reversed(list(enumerate(titles))) if item}
    items = [folded.get(title.strip().casefold()) for title in wanted]
    if None in items:
        unknown = wanted[items.index(None)]
        near = [titles[folded[title]] for title in _nearest_titles(unknown.casefold(), list(folded))]
        raise KitError(f"no title '{unknown}' in the catalogue; nearest: {', '.join(map(repr, near)) or 'none'}")
    return items


def _nearest_titles(wanted: str, titles: Sequence[str]) -> list[str]:
    """Up to three; who writes no year is matched without it."""
    bare = [title.rpartition(" (")[0] or title for title in titles]
    known = dict(zip(titles if "(" in wanted else bare, titles, strict=True))
    return [known[match] for match in get_close_matches(wanted, known, n=3, cutoff=0.3)]
