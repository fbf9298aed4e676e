"""The view that one can touch: sides as JSON, and the page part that shows it without a server.

``view.js`` draws the JSON, in a page and in a notebook alike (``touch``). Shares of attention are whole numbers, per
mille, and nats have three digits: the file stays small, and nobody reads more.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from delrec_kit.interpret.attention import place_names
from delrec_kit.interpret.by_hand import GRADIENTS, SAID
from delrec_kit.interpret.by_piece import REST, Side
from delrec_kit.run.progress import watched

BELIEF = "Where a model looks is not why it answers: see the verdict of notebook 05b on this run."
TOLD = {  # by explanation: what its numbers are, of whatever is touched
    "effect": "By how many nats the log-probability of a candidate falls when the piece is left out alone: blue and "
    "solid speaks for the candidate, orange and dashed against it.",
    "gradients": SAID[GRADIENTS],
    "rollout": f"What each state comes from if attention alone carried it, followed through all layers. {BELIEF}",
    "attention": "From the tokens of what is touched, their mean, to the tokens of each piece, their sum; a candidate "
    f"looks as the answer that is being scored. {BELIEF}",
}
MOST = 400_000  # shares in one view: above, heads are averaged
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
PAGE = """
html { color-scheme: light dark; } .delrec-page { max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
.delrec-page { font: 16px/1.5 system-ui, sans-serif; color: #111; }
.delrec-page h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
.delrec-page h2 { font-size: 1.15rem; margin-top: 2rem; }
@media (prefers-color-scheme: dark) { body { background: #1b1b1b; } .delrec-page { color: #eee; } }
"""
HERE = Path(__file__).parent
SCRIPT, SHEET = HERE / "view.js", HERE / "view.css"


@dataclass(frozen=True, eq=False)
class PromptView:
    """One person's prompt under one or two models: to touch, as a picture, and as a page. title: of the page."""

    sides: Sequence[Side]
    title: str = ""

    @cached_property
    def data(self) -> dict[str, Any]:
        """What ``view.js`` reads."""
        return view_data(self.sides, self.title)

    def page(self) -> str:
        """The view alone as a page that needs nothing beside itself."""
        return page_html(self.title, f"<h1>{escape(self.title)}</h1>{embedded(self.data)}")

    def save(self, path: str | Path) -> Path:
        """Write the page, or the picture where ``path`` ends in .png."""
        path = Path(path)
        if path.suffix == ".png":
            self.picture()[0].savefig(path, dpi=150)
        else:
            path.write_text(self.page(), encoding="utf-8")
        return path

    def picture(self) -> tuple[Figure, pd.DataFrame]:
        """The first choice's explanations, a row a piece, and their numbers."""
        from delrec_kit.interpret.prompt_plot import plot_prompt

        return plot_prompt(self.sides)

    def touch(self):
        """To touch: a widget where someone watches a notebook; elsewhere HTML, which an executed copy keeps."""
        if watched():
            return self.widget()
        from IPython.display import HTML

        return HTML(embedded(self.data))

    def widget(self):
        from delrec_kit.interpret.touch import Touch

        return Touch(self.data, self.page())


def view_data(sides: Sequence[Side], title: str = "") -> dict[str, Any]:
    """What ``view.js`` reads: plain lists, numbers and text. Where a large model's heads would make it too long, their
    mean takes their place."""
    asked = sum(side.attention.size + side.answering.size for side in sides)
    return {
        "title": title,
        "said": TOLD,
        "sides": [_side(side, asked > MOST) for side in sides],
    }


def _side(side: Side, averaged: bool) -> dict[str, Any]:
    attention, answering = side.attention, side.answering
    if averaged:
        attention, answering = attention.mean(1, keepdims=True), answering.mean(1, keepdims=True)
    return {
        "name": side.name,
        "spans": [list(span) for span in side.spans],
        "pieces": [
            {"key": f"{kind}:{index}", "label": label}
            for (kind, index), label in zip(side.pieces, place_of(side), strict=True)
        ],
        "answers": [
            {"title": title, "chance": _digits(chance), "teacher": rank, "next": bool(came)}
            for title, chance, rank, came in side.answers
        ],
        "first": side.first,
        "attention": _mille(attention),
        "answering": _mille(answering),
        "rollout": _mille(side.rollout),
        "rolloutAnswering": _mille(side.rollout_answering),
        "effect": _digits(side.effect),
        "gradients": _digits(side.gradients),
        "note": side.note,
        "missed": f"{side.name}: the shares add up to {side.gradients.sum():.2f} nats and miss what they should by "
        f"{abs(side.missed):.2f}.",
    }


def place_of(side: Side) -> list[str]:
    """(n,) where each piece stands, such as "title 2 back"."""
    names = iter(place_names([piece for piece in side.pieces if piece[0] != REST]))
    return ["the other words" if kind == REST else next(names) for kind, _ in side.pieces]


def _mille(shares: np.ndarray) -> list:
    return np.rint(1000 * shares).astype(int).tolist()


def _digits(values: np.ndarray | float) -> list | float:
    return np.round(np.asarray(values, dtype=float), 3).tolist()


@cache
def sources() -> tuple[str, str]:
    """The script and the style sheet."""
    return SCRIPT.read_text(encoding="utf-8"), SHEET.read_text(encoding="utf-8")


def page_html(title: str, body: str, sheet: str = "") -> str:
    """A page that fetches nothing, and may not: its policy forbids it. body: HTML."""
    head = (
        "<meta charset='utf-8'><meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<meta http-equiv='Content-Security-Policy' content=\"{POLICY}\">"
        f"<title>{escape(title)}</title><style>{PAGE}{sheet}</style>"
    )
    main = f"<main class='delrec-page'>{body}</main>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{main}</body></html>\n"


def embedded(data: dict[str, Any]) -> str:
    """The view as a part of a page: its numbers as JSON in which no text can end the element, its look and its script.

    ``<`` and ``&`` stand as escapes, so that a title with ``</script>`` in it is a title.
    """
    script, sheet = sources()
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return (
        f"<style>{sheet}</style><div class='delrec-view'></div>"
        f"<script type='application/json' class='delrec-view-data'>{text}</script>"
        f"<script type='module'>{script}</script>"
    )
