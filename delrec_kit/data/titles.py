"""Titles as people write them: "Matrix, The (1999)" is "The Matrix (1999)"."""

import html
import re
import unicodedata

import pandas as pd

from delrec_kit.data.domain import Domain

MAX_TITLE = 160  # characters
EMPTY_TITLES = "empty titles written"
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


def clean_title(raw: str) -> str:
    """One title, tidied: HTML entities resolved, control and invisible characters gone, blanks single, the article in
    front (in brackets too), Unicode NFC, at most 160 characters. Letters of every script stay."""
    text = INVISIBLE.sub("", CONTROL.sub(" ", html.unescape(raw)))
    text = MOVED.sub(_article_first, " ".join(text.split()))
    return shorten(unicodedata.normalize("NFC", text))


def clean_titles(raw: pd.Series, domain: Domain) -> tuple[pd.Series, pd.Index, list[str]]:
    """Titles by raw item id, cleaned; the ids of those with nothing in them; and what was done, counted.

    A title with nothing in it becomes the noun and the id ("film 267"), so that no sequence loses an item. Equal
    titles stay as they are: they tie when they are scored.
    """
    tidy = raw.map(clean_title).astype("str")
    empty = tidy == ""
    tidy[empty] = [clean_title(f"{domain.noun} {item}") for item in tidy.index[empty]]
    cut = raw.map(len)[tidy.str.endswith("…")] > MAX_TITLE
    changed = (tidy != raw) & ~empty
    notices = [
        (changed.sum(), "titles tidied (article in front, blanks, entities, control characters)"),
        (cut.sum(), f"titles cut to {MAX_TITLE} characters"),
        (empty.sum(), f"{EMPTY_TITLES} as '{domain.noun}' and the item's id"),
        (tidy.duplicated().sum(), "items bear a title that stands earlier in the catalogue; equal titles tie"),
    ]
    return tidy, tidy.index[empty], [f"{count} {what}" for count, what in notices if count]


def shorten(text: str) -> str:
    """At most 160 characters, cut between words where one ends near, never inside an accented letter."""
    if len(text) <= MAX_TITLE:
        return text
    stop = MAX_TITLE - 1
    space = text.rfind(" ", MAX_TITLE - 40, MAX_TITLE)
    if space > 0:
        stop = space
    while stop > 1 and unicodedata.combining(text[stop]):
        stop -= 1
    return text[:stop].rstrip() + "…"


def _article_first(match: re.Match) -> str:
    article = match["elided"] or f"{match['article']} "
    return f"{match['before']}{article}{match['rest']}"
