"""The pieces of a prompt that an explanation speaks of: each soft token, each title of the history, each candidate."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from delrec_kit.llm import Prompt, Segment

SPOKEN_OF = ("soft", "history", "candidates")


@dataclass(frozen=True)
class Piece:
    """name: of its segment; index: which title of the slot, or which soft token; places: (n,) of its tokens."""

    name: str
    index: int
    places: np.ndarray


def pieces_of(prompt: Prompt) -> list[Piece]:
    """The pieces in the order of the prompt; instruction text and the answer slot are none."""
    found = []
    for segment in prompt.segments:
        places = np.arange(segment.start, segment.stop)
        if segment.name == "soft" and (prompt.ids[places] < 0).all():
            found += [Piece("soft", index, places[index : index + 1]) for index in range(len(places))]
        elif segment.name in SPOKEN_OF and len(places):
            found.append(Piece(segment.name, segment.index, places))
    return found


def leave_out(prompt: Prompt, pieces: Sequence[Piece]) -> Prompt:
    """The prompt without the tokens of these pieces; what separates titles stays."""
    keep = np.ones(len(prompt.ids), dtype=bool)
    for piece in pieces:
        keep[piece.places] = False
    moved = np.concatenate([[0], keep.cumsum()])
    segments = [Segment(s.name, s.index, int(moved[s.start]), int(moved[s.stop])) for s in prompt.segments]
    return replace(prompt, ids=prompt.ids[keep], segments=tuple(s for s in segments if s.stop > s.start))
