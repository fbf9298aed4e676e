"""Prompts about made-up lists of films, in the kit's own templates, with a rule's text where P will stand."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from delrec_kit.data import Domain
from delrec_kit.data.world_titles import LEXICON, make_catalogue
from delrec_kit.llm.pretraining.rules import PARAPHRASES, Catalogue, Rule, RuleBook, share
from delrec_kit.llm.pretraining.tokenizer import build_tokenizer
from delrec_kit.llm.prompts import Prompt, PromptWriter
from delrec_kit.llm.templates import TEMPLATES

GENRES = tuple(LEXICON)
FACTS = {
    "genre": "What kind of film is {history}? It is",
    "genre_last": "Watched: {history}. The last film is",
    "genre_first": "Watched: {history}. The first film is",
    "property": "From the list: {candidates}. A {soft} film is",
}
KIND_WEIGHTS = {
    "last": 6, "sequel": 5, "first": 1, "before": 1, "often": 2, "different": 1, "newest": 1, "oldest": 1, "series": 2,
    "likes": 4, "not": 1, "after": 4, "mostly": 4, "unless": 3,
}  # fmt: skip


@dataclass(frozen=True)
class Level:
    """One level of the curriculum: history lengths from ``shortest`` to ``longest``, m candidates."""

    shortest: int
    longest: int
    m: int
    batch: int


LEVELS = (
    Level(1, 1, 3, 128),
    Level(1, 3, 4, 128),
    Level(1, 5, 6, 96),
    Level(2, 8, 10, 64),
    Level(2, 12, 15, 48),
)


@dataclass(frozen=True)
class Batch:
    """prompts (B); candidates (B, m) rows of the title table; targets (B, m) distributions; kinds (B)."""

    prompts: list[Prompt]
    candidates: np.ndarray
    targets: np.ndarray
    kinds: list[str]


class Corpus:
    """Draws batches at a level of the curriculum. Films are drawn uniformly: no person's sequence is ever used."""

    def __init__(self, items: int = 360):
        self.films = make_catalogue(items)
        self.items = items
        self.catalogue = Catalogue.of(self.films, GENRES)
        self.rules = RuleBook(self.catalogue)
        self.titles = ["", *self.films["title"], *GENRES]  # the genres' names can be scored as titles are
        self.tokenizer = build_tokenizer([*self.titles, *_all_texts()])
        self.writer = PromptWriter(self.tokenizer, Domain(), self.titles, FACTS)

    def batch(self, level: Level, rng: np.random.Generator, kinds: tuple[str, ...] | None = None) -> Batch:
        """A batch of one sort: facts (a fifth), or rules in the three templates. ``kinds`` asks for certain rules."""
        if kinds is None and rng.random() < 0.2:
            rows = self._facts(level, rng)
        else:
            rows = [self._ruled(level, rng, kinds) for _ in range(level.batch)]
        prompts, candidates, targets, names = zip(*rows, strict=True)
        return Batch(list(prompts), np.stack(candidates), np.stack(targets).astype(np.float32), list(names))

    def _facts(self, level: Level, rng: np.random.Generator) -> list[tuple]:
        if rng.random() < 0.3:
            return [self._property(level, rng) for _ in range(level.batch)]
        return [self._genre_of(level, rng) for _ in range(level.batch)]

    def _genre_of(self, level: Level, rng: np.random.Generator, task: str | None = None) -> tuple:
        """Name the genre of a film, of the last, or of the first of a list; all genres are the candidates."""
        task = task or str(rng.choice(["genre", "genre_last", "genre_first"]))
        history = self._films(1 if task == "genre" else int(rng.integers(level.shortest, level.longest + 1)), rng)
        asked = history[0] if task == "genre_first" else history[-1]
        order = rng.permutation(len(GENRES))
        prompt = self.writer.write(task, {"history": history + 1})
        return prompt, order + 1 + self.items, self.catalogue.genre[asked] == order, task

    def _property(self, level: Level, rng: np.random.Generator) -> tuple:
        """Choose a listed film of a stated genre."""
        rule = self.rules.draw("likes", rng)
        candidates = self._candidates(level.m, np.empty(0, int), rule, rng)
        weights = share(rule.favours(candidates[:1], candidates))
        genre = rule.text.replace("always ", "").replace("likes ", "").replace("a ", "").replace(" film", "")
        return self.writer.write("property", {"candidates": candidates + 1}, text=genre), candidates + 1, weights, "property"

    def _ruled(self, level: Level, rng: np.random.Generator, kinds: tuple[str, ...] | None) -> tuple:
        """A history, a rule in words (or none), candidates, and the distribution that the rule gives them."""
        silent = kinds is None and rng.random() < 0.08
        kind = str(rng.choice(kinds)) if kinds else _draw_kind(rng)
        length = int(rng.integers(level.shortest, level.longest + 1))
        for _ in range(20):
            rule = self.rules.draw(kind, rng)
            history = self._history(length, kind, rng)
            candidates = self._candidates(level.m, history, None if silent else rule, rng)
            weights = self._default(history, candidates) if silent else rule.favours(history, candidates).astype(float)
            if weights.sum() > 0:
                break
        else:
            weights = np.ones(level.m)
        prompt = self._prompt(history, candidates, "" if silent else rule.text, rng)
        return prompt, candidates + 1, share(weights), "silent" if silent else kind

    def _prompt(self, history: np.ndarray, candidates: np.ndarray, text: str, rng: np.random.Generator) -> Prompt:
        slots = {"history": history + 1, "candidates": candidates + 1}
        task = str(rng.choice(["final", "rps", "ta"], p=[0.5, 0.3, 0.2]))
        if task == "ta":
            shown = self._films(int(rng.integers(2, 5)) + 2, rng) + 1
            slots |= {"example": shown[:-2], "example_answer": shown[-2:-1], "example_last": shown[-1:]}
            slots["last"] = self._films(1, rng) + 1
        return self.writer.write(task, slots, text=text or None)

    def _films(self, count: int, rng: np.random.Generator) -> np.ndarray:
        return rng.choice(self.items, count, replace=False)

    def _history(self, length: int, kind: str, rng: np.random.Generator) -> np.ndarray:
        """Films at random; where a rule speaks of series, the last one often has a next part; genres often repeat."""
        history = self._films(length, rng)
        if rng.random() < 0.3 and length > 2:
            genre = self.catalogue.genre[history[rng.integers(length)]]
            alike = rng.permutation(np.flatnonzero(self.catalogue.genre == genre))
            places = rng.permutation(length)[: length // 2]
            history[places] = alike[: len(places)]
        if kind in ("sequel", "series", "unless", "mostly") and rng.random() < 0.8:
            with_next = np.flatnonzero((self.catalogue.series >= 0) & (self.catalogue.part < 5))
            history[-1] = rng.choice(with_next)
        return history

    def _candidates(self, m: int, history: np.ndarray, rule: Rule | None, rng: np.random.Generator) -> np.ndarray:
        """m films not in the history, at least one that ``rule`` favours (where any film is), decoys of its series."""
        left = np.setdiff1d(np.arange(self.items), history)
        chosen = rng.choice(left, m, replace=False)
        if rule is not None:
            favoured = left[rule.favours(history if len(history) else left[:1], left) > 0]
            chosen = _put_in(chosen, favoured, 1, rng)
        if len(history) and self.catalogue.series[history[-1]] >= 0 and rng.random() < 0.5:
            kin = left[self.catalogue.series[left] == self.catalogue.series[history[-1]]]
            chosen = _put_in(chosen, kin, min(2, m - 1), rng)
        return rng.permutation(chosen)

    def _default(self, history: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """What an unguided reader would say: something of a kind that was watched, as often as it was watched."""
        counts = np.bincount(self.catalogue.genre[history], minlength=len(GENRES))
        weights = counts[self.catalogue.genre[candidates]].astype(float)
        return weights if weights.any() else np.ones(len(candidates))


def _put_in(chosen: np.ndarray, wanted: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """``chosen`` with up to ``count`` of ``wanted`` in place of its first films; nothing twice."""
    new = rng.permutation(np.setdiff1d(wanted, chosen))[:count]
    return np.concatenate([new, chosen])[: len(chosen)]


def _draw_kind(rng: np.random.Generator) -> str:
    weights = np.array(list(KIND_WEIGHTS.values()), dtype=float)
    return str(rng.choice(list(KIND_WEIGHTS), p=weights / weights.sum()))


def _all_texts() -> list[str]:
    """Every word that a prompt can hold beside titles."""
    nouns = vars(Domain()) | {"past_title": Domain().past.capitalize()}
    blank = {"history", "soft", "teacher", "candidates", "example", "example_last", "example_answer", "last"}
    texts = [t.format(**nouns, **dict.fromkeys(blank, " ")) for t in (*TEMPLATES.values(), *FACTS.values())]
    rules = [p for phrases in PARAPHRASES.values() for p in phrases]
    others = ["likes always a film no never anything but after comes mostly sometimes else", "; , . : ["]
    return [t.replace("[", " ").replace("]", " ") for t in (*texts, *rules, *others)]
