"""What is asked of a recommender, and its prompts taken apart: what is its choice without one of the pieces?

A piece is a soft token, or a title of the history, of the teacher's suggestions or of the candidates. Leaving one out
is an intervention: its effect is by how many nats the log-probability of the recommender's own first choice falls.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from delrec_kit.data import Cases, Ragged
from delrec_kit.llm import LlmRecommender, Prompt, Segment

SLOTS = ("soft", "history", "teacher", "candidates")  # whose parts are pieces
COLUMNS = ["user", "name", "index"]  # of a table with a row a piece; user: row of the cases


@dataclass(frozen=True)
class Piece:
    """name: of its segment; index: which title of the slot, or which soft token of P; places: (n,) of its tokens."""

    name: str
    index: int
    places: np.ndarray


@dataclass(frozen=True, eq=False)
class Question:
    """U cases and their candidates, items (U, m), asked of a recommender. off: soft tokens that no prompt has."""

    recommender: LlmRecommender
    cases: Cases
    items: np.ndarray
    off: tuple[int, ...] = ()

    @cached_property
    def prompts(self) -> list[Prompt]:
        prompts = self.recommender.prompts(self.cases, self.items)
        if not self.off:
            return prompts
        gone = [[p for p in pieces_of(prompt) if p.name == "soft" and p.index in self.off] for prompt in prompts]
        return [leave_out(prompt, pieces) for prompt, pieces in zip(prompts, gone, strict=True)]

    @cached_property
    def pieces(self) -> list[list[Piece]]:
        """Of each prompt."""
        return [pieces_of(prompt) for prompt in self.prompts]

    @cached_property
    def choice(self) -> tuple[np.ndarray, np.ndarray]:
        """(U,) the column of the candidate that the recommender puts first, and (U,) its log-probability in nats."""
        log_p = log_softmax(self.scores(self.prompts, np.arange(len(self.prompts))).astype(float), axis=1)
        first = log_p.argmax(axis=1)
        return first, log_p[np.arange(len(first)), first]

    def fall(self, changed: Sequence[Prompt], rows: np.ndarray) -> np.ndarray:
        """(n,) by how many nats the log-probability of the choice is lower in n ``changed`` prompts, those of ``rows``
        (n,) of the cases."""
        first, whole = self.choice
        log_p = log_softmax(self.scores(changed, rows).astype(float), axis=1)
        return whole[rows] - log_p[np.arange(len(rows)), first[rows]]

    def scores(self, changed: Sequence[Prompt], rows: np.ndarray) -> np.ndarray:
        """(n, m) scores of the candidates of ``rows`` (n,) of the cases under n ``changed`` prompts.

        For a conditioned P the teacher reads only the titles of the history that a prompt still has: one that is left
        out would speak on through P.
        """
        what = f"taking prompts of {self.recommender.name} apart" if self.recommender.name else None
        return self.recommender.score_prompts(self.expecting_anew(changed, rows), self.items[rows], what)

    def expecting_anew(self, changed: Sequence[Prompt], rows: np.ndarray) -> list[Prompt]:
        """``changed`` prompts, each with what the teacher expects after the titles of the history that it still has."""
        prompts, left = list(changed), {}  # place in prompts -> history without the titles that are gone
        for place, (prompt, row) in enumerate(zip(changed, rows, strict=True)):
            history = self.cases.history[row]
            listed = min(self.recommender.history, len(history))
            gone = set(range(listed)) - {s.index for s in prompt.segments if s.name == "history"}
            if prompt.expects is not None and gone:
                left[place] = np.delete(history, [len(history) - listed + index for index in gone])
        if left:
            expected = self.recommender.expects(Cases.of_histories(Ragged.from_lists(left.values())))
            for place, vector in zip(left, expected, strict=True):
                prompts[place] = replace(prompts[place], expects=vector)
        return prompts


def leave_one_out(question: Question) -> pd.DataFrame:
    """Of each piece of each prompt, by how many nats the log-probability of the first choice falls without it.

    Returns:
        user (row of the cases), name, index, effect: above 0 the piece speaks for the choice.
    """
    each = [(row, piece) for row, pieces in enumerate(question.pieces) for piece in pieces]
    without = [leave_out(question.prompts[row], [piece]) for row, piece in each]
    effect = question.fall(without, np.array([row for row, _ in each], dtype=np.int64))
    return pd.DataFrame([(row, p.name, p.index) for row, p in each], columns=COLUMNS).assign(effect=effect)


def pieces_of(prompt: Prompt) -> list[Piece]:
    """The pieces in the order of the prompt; instruction text and the answer slot are none."""
    found = []
    for segment in prompt.segments:
        places = np.arange(segment.start, segment.stop)
        if segment.name == "soft" and (prompt.ids[places] < 0).all():
            found += [Piece("soft", -int(prompt.ids[place]) - 1, np.array([place])) for place in places]
        elif segment.name in SLOTS and len(places):
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


def _loose_separators(prompt: Prompt, keep: np.ndarray) -> Iterator[slice]:
    """Separators that stand before a title that is gone, or before the first that is left."""
    titles = [(at, s) for at, s in enumerate(prompt.segments) if s.name in SLOTS and s.name != "soft"]
    left = {}  # slot -> whether a title of it is left so far
    for (before, last), (_, title) in pairwise(titles):
        left[last.name] = left.get(last.name, False) or bool(keep[last.start : last.stop].any())
        here = keep[title.start : title.stop].any()
        if last.name == title.name and not (here and left[last.name]):
            separator = prompt.segments[before + 1]
            yield slice(separator.start, separator.stop)
