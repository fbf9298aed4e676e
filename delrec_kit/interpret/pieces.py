"""The pieces of a prompt that an explanation speaks of: each soft token, and each title of the history, of the
teacher's suggestions and of the candidates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from delrec_kit.llm import Prompt, Segment
from delrec_kit.training import Expectations

SPOKEN_OF = ("soft", "history", "teacher", "candidates")


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
    """The prompt without the tokens of these pieces, nor what separated a title from the one before it."""
    keep = np.ones(len(prompt.ids), dtype=bool)
    for piece in pieces:
        keep[piece.places] = False
    for places in _loose_separators(prompt, keep):
        keep[places] = False
    moved = np.concatenate([[0], keep.cumsum()])
    segments = [Segment(s.name, s.index, int(moved[s.start]), int(moved[s.stop])) for s in prompt.segments]
    return replace(prompt, ids=prompt.ids[keep], segments=tuple(s for s in segments if s.stop > s.start))


def retold(
    prompts: Sequence[Prompt], histories: Sequence[Sequence[int]], listed: int, expects: Expectations
) -> list[Prompt]:
    """The prompts, each with what the teacher expects after the titles of the history that it still has.

    A title that is left out would speak on through a conditioned soft prompt, for which the teacher has read it.
    histories: of those who are asked, whole, oldest first; listed: how many of their last titles a prompt lists.
    """
    return [_retold(prompt, history, listed, expects) for prompt, history in zip(prompts, histories, strict=True)]


def _retold(prompt: Prompt, history: Sequence[int], listed: int, expects: Expectations) -> Prompt:
    shown = min(listed, len(history))
    gone = set(range(shown)) - {s.index for s in prompt.segments if s.name == "history"}
    if prompt.state is None or not gone:
        return prompt
    kept = np.delete(np.asarray(history), [len(history) - shown + index for index in gone])
    return replace(prompt, state=expects.of_history(kept))


def _loose_separators(prompt: Prompt, keep: np.ndarray) -> Iterator[slice]:
    """Separators that stand before a title that is gone, or before the first that is left."""
    titles = [(at, s) for at, s in enumerate(prompt.segments) if s.name in SPOKEN_OF and s.name != "soft"]
    left = {}  # slot -> whether a title of it is left so far
    for (before, last), (_, title) in pairwise(titles):
        left[last.name] = left.get(last.name, False) or bool(keep[last.start : last.stop].any())
        here = keep[title.start : title.stop].any()
        if last.name == title.name and not (here and left[last.name]):
            separator = prompt.segments[before + 1]
            yield slice(separator.start, separator.stop)
