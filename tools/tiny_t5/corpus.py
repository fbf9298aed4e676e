"""Prompts about made-up lists of films, in the kit's own templates, with a rule's text where P will stand.

Films are drawn uniformly. No person of the made world is read, nor the probabilities of any person's choice.
"""

from dataclasses import dataclass

import numpy as np

from delrec_kit.data import Domain
from delrec_kit.data.made_world.titles import LEXICON, make_catalogue
from delrec_kit.llm.prompts import Prompt, PromptWriter
from delrec_kit.llm.templates import TEMPLATES
from tools.tiny_t5.rules import (
    DISLIKES,
    FORBIDDING,
    LIKES,
    PARAPHRASES,
    YEARLY,
    Catalogue,
    Rule,
    RuleBook,
    share,
)
from tools.tiny_t5.tokenizer import build_tokenizer

GENRES = tuple(LEXICON)
FACTS = {
    "genre": "What kind of film is {history}? It is",
    "genre_last": "Watched: {history}. The last film is",
    "genre_first": "Watched: {history}. The first film is",
    "property": "From the list: {candidates}. A {soft} film is",
}
UNLISTED = {f"{task}_unlisted": text.replace(" From the list: {candidates}.", "") for task, text in TEMPLATES.items()}
TASKS, TASK_SHARES = ("final", "rps", "ta"), (0.5, 0.3, 0.2)
KIND_WEIGHTS = {
    "last": 6, "sequel": 5, "first": 1.5, "before": 1, "often": 3, "different": 1.5, "newest": 0.5, "oldest": 0.5,
    "series": 2, "likes": 3, "not": 1.5, "after": 8, "mostly": 4, "unless": 4,
}  # fmt: skip
FACT_SHARE, SILENT_SHARE, GARBLED_SHARE = 0.15, 0.08, 0.1


@dataclass(frozen=True)
class Level:
    """A level of the curriculum: films watched, from ``shortest`` to ``longest``; m candidates; how many prompts
    list them."""

    shortest: int
    longest: int
    m: int
    batch: int
    listed: float


LEVELS = (
    Level(2, 4, 6, 64, 0.0),
    Level(2, 5, 8, 64, 0.1),
    Level(2, 7, 8, 64, 0.3),
    Level(2, 10, 12, 48, 0.5),
    Level(3, 12, 15, 48, 0.8),
)


@dataclass(frozen=True)
class Batch:
    """prompts (B); candidates (B, m) rows of the title table; targets (B, m) distributions; genres (B, G): the kinds
    that are wanted, zeros where no kind is; kinds (B): of rule or fact."""

    prompts: list[Prompt]
    candidates: np.ndarray
    targets: np.ndarray
    genres: np.ndarray
    kinds: list[str]

    @classmethod
    def of(cls, rows: list[tuple]) -> "Batch":
        prompts, candidates, targets, genres, kinds = zip(*rows, strict=True)
        tables = (np.stack(column).astype(np.float32) for column in (targets, genres))
        return cls(list(prompts), np.stack(candidates), *tables, list(kinds))


class Corpus:
    """Draws batches at a level of the curriculum."""

    def __init__(self, items: int = 360):
        self.films = make_catalogue(items)
        self.items = items
        self.catalogue = Catalogue.of(self.films, GENRES)
        self.rules = RuleBook(self.catalogue)
        self.titles = ["", *self.films["title"], *GENRES]  # the genres' names can be scored as titles are
        self.tokenizer = build_tokenizer([*self.titles, *_all_texts()])
        self.writer = PromptWriter(self.tokenizer, Domain(), self.titles, TEMPLATES | FACTS | UNLISTED)

    def training_batch(self, level: Level, rng: np.random.Generator) -> Batch:
        """Facts, or rules of all kinds in one of the templates (prompts of a batch are of like length)."""
        if rng.random() < FACT_SHARE:
            return self.facts(level, str(rng.choice(list(FACTS), p=(0.2, 0.25, 0.25, 0.3))), rng)
        task = str(rng.choice(TASKS, p=TASK_SHARES))
        task = task if rng.random() < level.listed else task + "_unlisted"
        return Batch.of([self._ruled(level, task, _draw_kind(rng), rng, garble=True) for _ in range(level.batch)])

    def ruled(self, level: Level, task: str, kind: str, rng: np.random.Generator) -> Batch:
        """Prompts that state a rule of ``kind``, or none for "silent", with the candidates listed."""
        return Batch.of([self._ruled(level, task, kind, rng) for _ in range(level.batch)])

    def facts(self, level: Level, fact: str, rng: np.random.Generator) -> Batch:
        """ "property": choose a listed film of a stated genre; the others name the genre of a film, the last, the
        first, with all genres as candidates."""
        draw = self._property if fact == "property" else self._genre_of
        return Batch.of([draw(level, fact, rng) for _ in range(level.batch)])

    def _genre_of(self, level: Level, fact: str, rng: np.random.Generator) -> tuple:
        history = self._films(1 if fact == "genre" else int(rng.integers(level.shortest, level.longest + 1)), rng)
        genre = self.catalogue.genre[history[0] if fact == "genre_first" else history[-1]]
        order = rng.permutation(len(GENRES))
        prompt = self.writer.write(fact, {"history": history + 1})
        return prompt, order + 1 + self.items, order == genre, np.arange(len(GENRES)) == genre, fact

    def _property(self, level: Level, fact: str, rng: np.random.Generator) -> tuple:
        genre = int(rng.integers(len(GENRES)))
        rule = Rule("likes", GENRES[genre], lambda h, c: self.catalogue.genre[c] == genre)
        candidates = self._candidates(level.m, np.empty(0, int), rule, rng)
        prompt = self.writer.write(fact, {"candidates": candidates + 1}, text=rule.text)
        weights = share(rule.favours(candidates[:0], candidates))
        return prompt, candidates + 1, weights, np.arange(len(GENRES)) == genre, fact

    def _ruled(self, level: Level, task: str, kind: str, rng: np.random.Generator, garble: bool = False) -> tuple:
        """A history, a rule in words (or none), candidates, and the distribution that the rule gives them."""
        silent = kind == "silent"
        length = int(rng.integers(level.shortest, level.longest + 1))
        while True:
            rule = silent_rule(self.catalogue) if silent else self.rules.draw(kind, rng)
            history = self._history(length, kind, rng)
            candidates = self._candidates(level.m, history, rule, rng)
            weights = rule.favours(history, candidates)
            if weights.any():
                break
        text = _garbled(rule.text, rng) if garble and rng.random() < GARBLED_SHARE else rule.text
        prompt = self._prompt(history, candidates, text, task, rng)
        return prompt, candidates + 1, share(weights), self._wanted(rule, history), kind

    def _wanted(self, rule: Rule, history: np.ndarray) -> np.ndarray:
        """(G,) the kinds that ``rule`` favours in the whole catalogue."""
        if rule.kind in YEARLY:
            return np.zeros(len(GENRES))
        favours = rule.favours(history, np.arange(self.items)).astype(float)
        return share(np.bincount(self.catalogue.genre, weights=share(favours), minlength=len(GENRES)))

    def _prompt(
        self, history: np.ndarray, candidates: np.ndarray, text: str, task: str, rng: np.random.Generator
    ) -> Prompt:
        slots = {"history": history + 1, "candidates": candidates + 1}
        if task.startswith("ta"):
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
            history[-1] = rng.choice(np.flatnonzero((self.catalogue.series >= 0) & (self.catalogue.part < 5)))
        return history

    def _candidates(self, m: int, history: np.ndarray, rule: Rule, rng: np.random.Generator) -> np.ndarray:
        """m films not in the history, at least one that ``rule`` favours (where any film is), with decoys of the last
        film's series and kind."""
        left = np.setdiff1d(np.arange(self.items), history)
        chosen = rng.choice(left, m, replace=False)
        chosen = _put_in(chosen, left[rule.favours(history, left) > 0], 1, rng)
        if len(history) and self.catalogue.series[history[-1]] >= 0 and rng.random() < 0.5:
            kin = left[self.catalogue.series[left] == self.catalogue.series[history[-1]]]
            chosen = _put_in(chosen, kin, int(rng.integers(1, 3)), rng)
        if rule.kind in FORBIDDING:  # otherwise nearly every candidate would do
            chosen = _put_in(chosen, left[rule.favours(history, left) == 0], m // 2, rng)
        return rng.permutation(chosen)


def silent_rule(catalogue: Catalogue) -> Rule:
    """What an unguided reader would do: take something of a kind that was watched, as often as it was watched."""
    return Rule("silent", "", lambda h, c: np.bincount(catalogue.genre[h], minlength=len(GENRES))[catalogue.genre[c]])


def _put_in(chosen: np.ndarray, wanted: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """``chosen`` with up to ``count`` of ``wanted`` in place of its last films; nothing twice."""
    new = rng.permutation(np.setdiff1d(wanted, chosen))[:count]
    return np.concatenate([new, chosen])[: len(chosen)]


def _garbled(text: str, rng: np.random.Generator) -> str:
    """Some words lost: the slot must stay readable when it does not hold a sentence."""
    return " ".join(word for word in text.split() if rng.random() > 0.15) or text


def _draw_kind(rng: np.random.Generator) -> str:
    if rng.random() < SILENT_SHARE:
        return "silent"
    weights = np.array(list(KIND_WEIGHTS.values()), dtype=float)
    return str(rng.choice(list(KIND_WEIGHTS), p=weights / weights.sum()))


def _all_texts() -> list[str]:
    """Every word that a prompt can hold beside titles."""
    nouns = vars(Domain()) | {"past_title": Domain().past.capitalize()}
    slots = ("history", "soft", "teacher", "candidates", "example", "example_last", "example_answer", "last")
    texts = [t.format(**nouns, **dict.fromkeys(slots, " ")) for t in (*TEMPLATES.values(), *FACTS.values())]
    rules = [phrase for phrases in PARAPHRASES.values() for phrase in phrases]
    rules += [phrase.format("") for phrase in (*LIKES, *DISLIKES)]
    others = ["after comes mostly sometimes else", "; , . : ["]
    return [t.replace("[", " ").replace("]", " ") for t in (*texts, *rules, *others)]
