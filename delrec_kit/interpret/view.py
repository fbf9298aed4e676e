"""The view that one can touch: sides as JSON, and the page part that shows it without a server.

``view.js`` draws the JSON, in a page and in a notebook alike (``touch``). Shares of attention are whole numbers, per
mille, and nats have three digits: the file stays small, and nobody reads more.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from delrec_kit.interpret.attention import PLACES
from delrec_kit.interpret.by_hand import ATTENTION, EFFECT, GRADIENTS, ROLLOUT, SAID
from delrec_kit.interpret.by_piece import REST, Side

KEYS = {EFFECT: "effect", GRADIENTS: "gradients", ROLLOUT: "rollout", ATTENTION: "attention"}
MOST = 400_000  # shares in one view: above, heads are averaged
HERE = Path(__file__).parent
SCRIPT, SHEET = HERE / "view.js", HERE / "view.css"


def view_data(sides: Sequence[Side], title: str = "") -> dict[str, Any]:
    """What ``view.js`` reads: plain lists, numbers and text. Where a large model's heads would make it too long, their
    mean takes their place."""
    asked = sum(side.attention.size + side.answering.size for side in sides)
    return {
        "title": title,
        "said": {KEYS[name]: text for name, text in SAID.items()},
        "sides": [_side(side, asked > MOST) for side in sides],
    }


def _side(side: Side, averaged: bool) -> dict[str, Any]:
    attention, answering = side.attention, side.answering
    if averaged:
        attention, answering = attention.mean(1, keepdims=True), answering.mean(1, keepdims=True)
    back = max((index + 1 for kind, index in side.pieces if kind == "history"), default=0)
    return {
        "name": side.name,
        "spans": [list(span) for span in side.spans],
        "pieces": [{"key": f"{kind}:{index}", "label": _label(kind, index, back)} for kind, index in side.pieces],
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
        "missed": f"{side.name}: the shares add up to {side.gradients.sum():.2f} nats and miss what they should by "
        f"{abs(side.missed):.2f}.",
    }


def _label(kind: str, index: int, back: int) -> str:
    if kind == REST:
        return "the other words"
    return PLACES[kind].format(back - index if kind == "history" else index + 1)


def _mille(shares: np.ndarray) -> list:
    return np.rint(1000 * shares).astype(int).tolist()


def _digits(values: np.ndarray | float) -> list | float:
    return np.round(np.asarray(values, dtype=float), 3).tolist()


@cache
def sources() -> tuple[str, str]:
    """The script and the style sheet."""
    return SCRIPT.read_text(encoding="utf-8"), SHEET.read_text(encoding="utf-8")


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
