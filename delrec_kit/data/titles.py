"""Titles as people write them, "Matrix, The (1999)" is "The Matrix (1999)", and items found by them."""

import html
import re
import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches

import pandas as pd

from delrec_kit.data.domain import FILMS, Domain
from delrec_kit.settings.errors import KitError

LENGTH = 160  # characters, where nothing else is set
EMPTY_TITLES = "empty titles written"
MISSING = {"", "nan", "none", "null", "n/a", "<na>"}  # what programs write for a title that is not there
ARTICLES = (
    "The|A|An|Le|La|Les|Un|Une|El|Los|Las|Una|Il|Lo|Gli|Uno|O|Os|Der|Die|Das|Ein|Eine"  # en fr es it pt de
    "|De|Het|Een|Den|Det|En|Ett"  # nl, Scandinavian
)
MOVED = re.compile(
    rf"(?P<before>^|\()\s*(?P<rest>[^()]*[^(),\s]), (?:(?P<article>{ARTICLES})|(?P<elided>[LlDd]['’]))"
    r"(?=\s*(?:\(|\)|$))"
)
INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufffe\uffff\ud800-\udfff]")
CONTROL = re.compile("[\u0000-\u001f\u007f-\u009f]")
TAGS = "a|b|big|blockquote|br|center|code|div|em|font|h[1-6]|hr|i|img|li|ol|p|pre|script|small|span|strike|strong|style"
TAGS += "|sub|sup|table|tbody|td|th|tr|tt|u|ul"
TAG = re.compile(rf"</?(?:{TAGS})(?:\s[^<>]*)?/?>|<!--.*?-->", re.IGNORECASE)
ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z]\w*);")  # with its semicolon: "Black&regular" holds none
DATED = re.compile(r"\(\d{4}\)$")


def clean_titles(raw: pd.Series, domain: Domain, length: int = LENGTH) -> tuple[pd.Series, pd.Index, list[str]]:
    """Titles by raw item id, cleaned; the ids of those with nothing in them; and what was done, counted.

    A title with nothing in it becomes the noun and the id ("film 267"), so that no sequence loses an item. Equal
    titles stay as they are, they tie when they are scored; those that only the cut makes equal keep their end.
    """
    whole = raw.map(lambda title: tidied(title, domain == FILMS)).astype("str")
    empty = whole.str.lower().isin(MISSING)
    whole[empty] = [tidied(f"{domain.noun} {item}", False) for item in whole.index[empty]]
    tidy = whole.map(lambda title: shorten(title, length)).astype("str")
    cut = (tidy != whole) & ~empty
    alike = cut & tidy.duplicated(keep=False) & ~whole.duplicated(keep=False)
    tidy[alike] = [shorten(title, length, both_ends=True) for title in whole[alike]]
    changed = (tidy != raw) & ~empty
    notices = [
        (changed.sum(), "titles tidied (article in front, blanks, tags, entities, control characters)"),
        (cut.sum(), f"titles cut to {length} characters"),
        (empty.sum(), f"{EMPTY_TITLES} as '{domain.noun}' and the item's id"),
        (tidy.duplicated().sum(), "items bear a title that stands earlier in the catalogue; equal titles tie"),
    ]
    return tidy, tidy.index[empty], [f"{count} {what}" for count, what in notices if count]


def tidied(raw: str, films: bool = True) -> str:
    """One title with HTML entities resolved, tags, control and invisible characters gone, blanks single, in Unicode
    NFC. Letters of every script stay.

    An article behind a comma comes to the front (in brackets too) where ``films`` are meant or a year ends the title,
    as with films: elsewhere, as in "USB Cable, Type, A", it is none.
    """
    text = TAG.sub(" ", ENTITY.sub(lambda entity: html.unescape(entity[0]), raw))
    text = " ".join(INVISIBLE.sub("", CONTROL.sub(" ", text)).split())
    if films or DATED.search(text):
        text = MOVED.sub(lambda at: at["before"] + (at["elided"] or f"{at['article']} ") + at["rest"], text)
    return unicodedata.normalize("NFC", text)


def shorten(text: str, length: int, both_ends: bool = False) -> str:
    """At most ``length`` characters, cut between words where one ends near, never inside an accented letter; with
    ``both_ends`` the middle goes."""
    if len(text) <= length:
        return text
    tail = text[-(length // 3) :].lstrip() if both_ends else ""
    while tail and unicodedata.combining(tail[0]):
        tail = tail[1:]
    stop = length - len(tail) - 1
    space = text.rfind(" ", max(stop + 1 - 40, 1), stop + 1)
    if space > 0:
        stop = space
    while stop > 1 and unicodedata.combining(text[stop]):
        stop -= 1
    return text[:stop].rstrip() + "…" + tail


def items_of(titles: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """The item of each title of ``wanted``, whatever its case; of equal titles the first. titles: by item, 0 is
    padding. Raises KitError for the first title that is not in the catalogue, naming the nearest."""
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
