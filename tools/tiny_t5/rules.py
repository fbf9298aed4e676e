"""Preference rules in words, and which films each one favours: what the tiny T5 learns to follow.

A rule looks at a history and at candidates (positions in the catalogue) and gives each candidate a weight. Its text
stands where the soft prompt will stand, so that a trained soft prompt can act as a rule nobody wrote.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Catalogue:
    """Columns of the made world's films as arrays (N,)."""

    genre: np.ndarray
    series: np.ndarray
    part: np.ndarray
    year: np.ndarray
    genres: tuple[str, ...]

    @classmethod
    def of(cls, films: pd.DataFrame, genres: tuple[str, ...]) -> "Catalogue":
        return cls(*(films[c].to_numpy() for c in ("genre", "series", "part", "year")), genres)

    def follows(self, film: int, others: np.ndarray) -> np.ndarray:
        """Which of ``others`` is the next part of the series of ``film``."""
        same = (self.series[others] == self.series[film]) & (self.series[film] >= 0)
        return same & (self.part[others] == self.part[film] + 1)


@dataclass(frozen=True)
class Rule:
    """kind; the text as it stands in a prompt; favours(history, candidates) -> weights (m,), zeros where it is silent.

    Histories and candidates are positions in the catalogue.
    """

    kind: str
    text: str
    favours: Callable[[np.ndarray, np.ndarray], np.ndarray]


PARAPHRASES = {
    "last": (
        "the same kind as the last film",
        "more of the kind watched last",
        "always like the last one",
        "the last film decides the kind",
        "another film of the last kind",
        "stays with the kind of the last film",
        "more like the one just watched",
    ),
    "sequel": (
        "the next part of the last film",
        "the sequel of the last one",
        "goes on with the series just watched",
        "always the next part",
        "the part that follows the last film",
    ),
    "series": (
        "any part of the series just watched",
        "the same series as the last film",
        "stays with the series of the last one",
    ),
    "first": ("the same kind as the first film", "always like the first one", "more of the kind watched first"),
    "before": ("the same kind as the film before the last", "like the one before the last"),
    "often": ("the kind watched most often", "more of the most frequent kind", "the most frequent kind"),
    "different": ("a different kind than the last film", "never the last kind again"),
    "newest": ("the newest film", "always the newest one"),
    "oldest": ("the oldest film", "always the oldest one"),
}
LIKES = ("likes {}", "always {}", "a {} film", "nothing but {}")
DISLIKES = ("no {}", "never {}", "anything but {}")
YEARLY = ("newest", "oldest")
FORBIDDING = ("different", "not")


class RuleBook:
    """Draws rules. ``rng`` decides which, and in which words."""

    def __init__(self, catalogue: Catalogue):
        self.c = catalogue
        self.simple = {
            "last": lambda h, c: self._is(h[-1], c),
            "sequel": lambda h, c: self.c.follows(h[-1], c),
            "first": lambda h, c: self._is(h[0], c),
            "before": lambda h, c: self._is(h[-2] if len(h) > 1 else h[-1], c),
            "often": self._often,
            "different": lambda h, c: ~self._is(h[-1], c),
            "newest": lambda h, c: self.c.year[c] == self.c.year[c].max(),
            "oldest": lambda h, c: self.c.year[c] == self.c.year[c].min(),
            "series": lambda h, c: (self.c.series[c] == self.c.series[h[-1]]) & (self.c.series[h[-1]] >= 0),
        }

    def draw(self, kind: str, rng: np.random.Generator) -> Rule:
        if kind in self.simple:
            return Rule(kind, str(rng.choice(PARAPHRASES[kind])), self.simple[kind])
        return getattr(self, f"_draw_{kind}")(rng)

    @property
    def kinds(self) -> tuple[str, ...]:
        return (*self.simple, "likes", "not", "after", "mostly", "unless")

    def _is(self, film: int, candidates: np.ndarray) -> np.ndarray:
        return self.c.genre[candidates] == self.c.genre[film]

    def _often(self, history: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        counts = np.bincount(self.c.genre[history], minlength=len(self.c.genres))
        return counts[self.c.genre[candidates]] == counts.max()

    def _draw_likes(self, rng: np.random.Generator) -> Rule:
        g = int(rng.integers(len(self.c.genres)))
        text = str(rng.choice(LIKES)).format(self.c.genres[g])
        return Rule("likes", text, lambda h, c: self.c.genre[c] == g)

    def _draw_not(self, rng: np.random.Generator) -> Rule:
        g = int(rng.integers(len(self.c.genres)))
        text = str(rng.choice(DISLIKES)).format(self.c.genres[g])
        return Rule("not", text, lambda h, c: self.c.genre[c] != g)

    def _draw_after(self, rng: np.random.Generator) -> Rule:
        """One to four habits at once: after horror comes comedy, after war comes sport."""
        count = int(rng.integers(1, 5))
        before = rng.permutation(len(self.c.genres))[:count]
        after = rng.integers(0, len(self.c.genres), count)
        names = self.c.genres
        text = ", ".join(f"after {names[b]} comes {names[a]}" for b, a in zip(before, after, strict=True))
        table = dict(zip(before.tolist(), after.tolist(), strict=True))
        return Rule("after", text, lambda h, c: self.c.genre[c] == table.get(int(self.c.genre[h[-1]]), -1))

    def _draw_mostly(self, rng: np.random.Generator) -> Rule:
        """Two rules, the first twice as strong: weights need not be all or nothing."""
        kinds = rng.choice(["last", "sequel", "likes", "often", "series"], 2, replace=False)
        first, second = (self.draw(str(kind), rng) for kind in kinds)

        def favours(h: np.ndarray, c: np.ndarray) -> np.ndarray:
            return 2 * share(first.favours(h, c)) + share(second.favours(h, c))

        return Rule("mostly", f"mostly {first.text}, sometimes {second.text}", favours)

    def _draw_unless(self, rng: np.random.Generator) -> Rule:
        """A series is gone on with; where there is none, another rule holds."""
        first = self.draw("sequel", rng)
        second = self.draw(str(rng.choice(["last", "often", "likes", "different"])), rng)

        def favours(h: np.ndarray, c: np.ndarray) -> np.ndarray:
            found = first.favours(h, c)
            return found if found.any() else second.favours(h, c)

        return Rule("unless", f"{first.text}, else {second.text}", favours)


def share(weights: np.ndarray) -> np.ndarray:
    """Weights that sum to 1, or zeros where all are zero."""
    total = weights.sum()
    return weights / total if total else weights.astype(float)
