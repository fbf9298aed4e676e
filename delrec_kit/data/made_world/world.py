"""The made world of the demo: films and people whose next choice follows a known distribution.

It is synthetic, and says so wherever it is shown. A choice is drawn from a mixture of what a title shows (the genre of
the last film, the next part of its series, a habit such as comedy after horror, all common to everyone), the person's
own taste, hidden links from film to film that no title shows, and popularity. So a language model can know something
that a teacher must learn, a teacher something that no title tells, and the oracle row says what is the best possible.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from delrec_kit.data.domain import FILMS
from delrec_kit.data.interactions import Interactions
from delrec_kit.data.made_world.titles import LEXICON, make_catalogue
from delrec_kit.data.split import Cases

MIXTURE = {"sequel": 0.42, "genre": 0.23, "habit": 0.06, "links": 0.20, "taste": 0.03, "popularity": 0.06}
PATTERNS = {  # what a prompt can tell everybody alike, what goes from film to film, and the rest
    "common to all": ("sequel", "genre", "habit"),
    "item to item": ("links",),
    "taste and popularity": ("taste", "popularity"),
}
POPULARITY_EXPONENT = 0.8
LINKS = (0.7, 0.3)  # weights of a film's two hidden successors
MEMORY = (0.4, 0.6)  # weights of the links of the last film, and of the one before it: choices look back two films
TASTE = 0.25  # Dirichlet concentration of a person's taste over genres
SHORTEST, MEAN_LENGTH, LONGEST = 12, 26, 60
DAY = 86_400


@dataclass(frozen=True)
class World:
    """films: the catalogue; interactions: what the people watched; the rest: the parameters of their choices."""

    films: pd.DataFrame
    interactions: Interactions | None
    popularity: np.ndarray
    habits: np.ndarray
    links: np.ndarray
    tastes: np.ndarray

    def parts_of_next(self, user: int, history: np.ndarray) -> dict[str, np.ndarray]:
        """What each part of the mixture adds to the probabilities (N,) of the next film of ``user`` after ``history``
        (positions in ``films``, oldest first)."""
        seen = np.zeros((1, len(self.films)), dtype=bool)
        seen[0, history] = True
        recent = np.array([[-1, -1, *history][:-3:-1]])
        return {name: part[0] for name, part in self.components(np.array([user]), recent, seen).items()}

    @staticmethod
    def likeliest(parts: dict[str, np.ndarray], film: int) -> str:
        """The pattern that most likely led to ``film``, by what its parts of the mixture gave it."""
        given = {name: sum(parts[part][film] for part in of) for name, of in PATTERNS.items()}
        return max(given, key=given.get)

    def components(self, users: np.ndarray, recent: np.ndarray, seen: np.ndarray) -> dict[str, np.ndarray]:
        """Each part of the mixture, (B, N), for users (B,), the last film and the one before it (B, 2), -1 for none,
        and seen films (B, N).

        A part with nothing left to offer gives its weight to the others, in proportion; all parts sum to 1.
        """
        genre, series, part = (self.films[c].to_numpy() for c in ("genre", "series", "part"))
        last, has_last = recent[:, 0], (recent[:, :1] >= 0)
        g = genre[last]
        raw = {
            "sequel": (series == series[last][:, None]) & (series >= 0) & (part == part[last][:, None] + 1) & has_last,
            "genre": (genre == g[:, None]) * self.popularity * has_last,
            "habit": (genre == self.habits[g][:, None]) * self.popularity * has_last,
            "links": sum(w * self.links[film] * (film >= 0)[:, None] for w, film in zip(MEMORY, recent.T, strict=True)),
            "taste": self.tastes[users][:, genre] * self.popularity,
            "popularity": np.broadcast_to(self.popularity, seen.shape),
        }
        parts = {}
        for name, weights in raw.items():
            weights = np.where(seen, 0.0, weights)
            total = weights.sum(1, keepdims=True)
            parts[name] = MIXTURE[name] * np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
        whole = sum(p.sum(1, keepdims=True) for p in parts.values())
        return {name: p / whole for name, p in parts.items()}


def make_world(users: int, items: int, seed: int) -> World:
    """A world of ``users`` people and ``items`` films. The films do not depend on ``seed``, all else does."""
    films = make_catalogue(items)
    rng = np.random.default_rng(seed)
    genres = len(LEXICON)
    popularity = (1.0 + rng.permutation(items)) ** -POPULARITY_EXPONENT
    links = np.zeros((items, items))
    for weight in LINKS:
        links[np.arange(items), (np.arange(items) + rng.integers(1, items, items)) % items] += weight
    habits = (np.arange(genres) + 1 + rng.integers(0, genres - 1, genres)) % genres
    tastes = rng.dirichlet(np.full(genres, TASTE), users)
    world = World(films, None, popularity, habits, links, tastes)
    frame = _watch(world, users, rng)
    keys = pd.Index([f"f{i + 1}" for i in range(items)], name="item", dtype="str")
    titles = pd.Series(films["title"].to_numpy(), index=keys, name="title")
    frame["user"], frame["item"] = "u" + (frame["user"] + 1).astype("str"), keys[frame["item"]]
    notices = ["this is a made world: films, people and choices are synthetic"]
    return replace(world, interactions=Interactions.of_frame(frame, titles, FILMS, notices))


def true_probabilities(
    world: World, user_keys: Sequence[str], item_keys: Sequence[str], cases: Cases, candidates: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """(U, m) what the world gives each candidate as the next item of each case, over its whole catalogue; and of each
    case the pattern that most likely led to the answer. user_keys, item_keys: what the cases' numbers are called."""
    place = world.interactions.titles.index.get_indexer(item_keys)  # -1 for padding, never asked for
    person = {key: number for number, key in enumerate(world.interactions.user_keys)}
    rows, patterns = np.empty(candidates.shape), []
    for row, (user, history) in enumerate(zip(cases.user, cases.history)):
        parts = world.parts_of_next(person[user_keys[user]], place[history])
        rows[row] = sum(parts.values())[place[candidates[row]]]
        patterns.append(world.likeliest(parts, place[cases.target[row]]))
    return rows, patterns


def _watch(world: World, users: int, rng: np.random.Generator) -> pd.DataFrame:
    """Everybody watches film after film, all people a step at a time."""
    items = len(world.films)
    lengths = np.clip(SHORTEST + rng.exponential(MEAN_LENGTH - SHORTEST, users), None, min(LONGEST, items // 2)).astype(
        int
    )
    seen = np.zeros((users, items), dtype=bool)
    recent = np.full((users, 2), -1)
    watched = np.zeros((users, lengths.max()), dtype=np.int64)
    for step in range(lengths.max()):
        p = sum(world.components(np.arange(users), recent, seen).values())
        draw = rng.random(users)[:, None] < p.cumsum(1)
        film = np.where(draw.any(1), draw.argmax(1), (p > 0).argmax(1))
        recent = np.stack([film, recent[:, 0]], axis=1)
        watched[:, step] = film
        seen[np.arange(users), film] = True
    start = 1_000_000_000 + rng.integers(0, 3 * 365 * DAY, (users, 1))
    gaps = 1 + rng.exponential(4 * DAY, watched.shape).astype(np.int64)
    times = start + gaps.cumsum(1)
    inside = np.arange(watched.shape[1]) < lengths[:, None]
    user = np.repeat(np.arange(users), lengths)
    return pd.DataFrame({"user": user, "item": watched[inside], "timestamp": times[inside]})
