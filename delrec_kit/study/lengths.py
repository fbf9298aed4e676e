"""How long a run's prompts can become, measured before anything is trained, against what its model reads.

The longest titles suffice: where every title is tokenised by itself, a prompt is as long as its pieces together. The
bound is never below the truth. It takes the longest windows of the histories as they are, and of candidates and the
teacher's suggestions, which are drawn later, the longest titles that there are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from delrec_kit.data import PreparedData, Ragged
from delrec_kit.llm import PromptWriter, Words, words_of
from delrec_kit.settings.config import KitConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.methods import DESCRIPTION, METHODS
from delrec_kit.settings.rows import all_rows

SETTINGS = {  # what a user can lower -> the least that it may be
    "llm.history": lambda config: 1,
    "data.candidates": lambda config: config.distill.h + 1,
    "distill.k": lambda config: max(1, config.distill.conditioned),
    "distill.h": lambda config: 1,
}
LISTING = ("uniform", "popularity", "rerank")  # protocols kind-N whose prompts list N candidates


def check_prompts_fit(config: KitConfig, data: PreparedData) -> None:
    """Raise KitError where a prompt of the run, with a title behind it, may be longer than its language model reads."""
    words = words_of(config.llm)
    if words.longest is None:
        return
    measured = Lengths.of(config, data, words)
    tokens, what = measured.longest(config)
    if tokens > words.longest:
        raise KitError(
            f"{what} may take {tokens} tokens, its longest answer included, and {config.llm.name} reads "
            f"{words.longest}: {measured.advice(config, what)}"
        )


@dataclass(frozen=True)
class Lengths:
    """writer: knows all titles, cold ones too; histories: what prompts may list windows of; words: of the model."""

    writer: PromptWriter
    train: Ragged
    histories: tuple[Ragged, ...]
    words: Words

    @classmethod
    def of(cls, config: KitConfig, data: PreparedData, words: Words) -> "Lengths":
        split, cold = data.split, data.cold
        titles = [*split.titles, *(cold.titles if cold else ())]
        writer = PromptWriter(
            words.tokenizer, data.domain, titles, format=words.format, verbalizer=config.llm.verbalizer
        )
        asked = [split.valid, split.test]
        asked += [cases for parts in (cold.sets.values() if cold else ()) for cases, _ in parts.values()]
        histories = (split.train, *(cases.history for cases in asked))
        return cls(writer, split.train, histories, words)

    def longest(self, config: KitConfig) -> tuple[int, str]:
        """Tokens of the longest prompt with its longest answer, and which prompt that is."""
        answer = self.writer.longest_answer()
        prompts = [(tokens + answer, what) for tokens, what in self._prompts(config)]
        return max([*prompts, (self._alone, "a title")])

    def advice(self, config: KitConfig, what: str) -> str:
        """What to change, each setting by itself, so that all prompts fit."""
        found = [f"{name}={value}" for name in SETTINGS if (value := self._fits_at(config, name)) is not None]
        if self.words.lists and config.llm.verbalizer != "index":
            bare = replace(self, words=replace(self.words, lists=False))
            found += ["llm.listed=false"] if bare.longest(config)[0] <= self.words.longest else []
        protocol = what.rpartition(" of ")[2]
        if protocol in config.evaluation.protocols:
            found.append(f"a smaller number than {protocol} in evaluation.protocols")
        return f"set {' or '.join(found)}" if found else "lower several settings, or take a model that reads more"

    def _fits_at(self, config: KitConfig, name: str) -> int | None:
        """The most that the setting ``name`` may be for all prompts to fit; None where it alone does not help."""
        stage, field = name.split(".")
        low, high = SETTINGS[name](config), getattr(getattr(config, stage), field) - 1
        if high < low or self.longest(self._at(config, name, low))[0] > self.words.longest:
            return None
        while low < high:
            middle = (low + high + 1) // 2
            fits = self.longest(self._at(config, name, middle))[0] <= self.words.longest
            low, high = (middle, high) if fits else (low, middle - 1)
        return low

    @staticmethod
    def _at(config: KitConfig, name: str, value: int) -> KitConfig:
        stage, field = name.split(".")
        return config.model_copy(update={stage: getattr(config, stage).model_copy(update={field: value})})

    def _prompts(self, config: KitConfig) -> Iterator[tuple[int, str]]:
        """Of each kind of prompt that the run writes the longest, in tokens, and what to call it."""
        n, m, k, h = config.llm.history, config.data.candidates, config.distill.k, config.distill.h
        methods = [METHODS[name] for name in all_rows(config)]
        history, most = self._window(n), self._most_in_history(n)
        listed = {m: "a prompt"}
        for protocol in config.evaluation.protocols:
            kind, _, size = protocol.partition("-")
            if kind in LISTING:
                listed.setdefault(int(size), f"a prompt of {protocol}")
        slots = {"history": most}
        for size, what in listed.items():
            yield self._final(slots, history, size, k=k), what
            if any(method.prompt == "described" for method in methods):
                yield self._final(slots, history, size, text=DESCRIPTION), what
            if any(method.prompt == "teacher" for method in methods):
                yield self._final({**slots, "teacher": h}, history + self._top(h), size), what
        if "rps" in config.distill.tasks:
            rest = h - 1 if config.distill.rps == "hard_rest" else 0
            tokens = self._written("rps", {**slots, "teacher": rest}, m, history + self._top(rest), k=k)
            yield tokens, "a prompt of pattern simulating"
        if "ta" in config.distill.tasks:
            a = config.distill.a
            counts = {"example": a - 2, "example_answer": 1, "example_last": 1, "history": most, "last": 1}
            yield self._written("ta", counts, m, self._worked(a, n), k=k), "a prompt of temporal analysis"

    def _final(self, counts: dict[str, int], titles: int, m: int, k: int = 0, text: str | None = None) -> int:
        return self._written("final", counts, m, titles, k=k, text=text)

    def _written(
        self, task: str, counts: dict[str, int], m: int, titles: int, k: int = 0, text: str | None = None
    ) -> int:
        """Tokens of a prompt with so many titles in each slot and m candidates, if those but for the candidates have
        ``titles`` tokens together: as one with short titles is written, these taken out."""
        if self.words.lists:
            counts, titles = {**counts, "candidates": m}, titles + self._top(m)
        slots = {name: np.ones(count, dtype=np.int64) for name, count in counts.items()}
        written = len(self.writer.write(task, slots, k, text).ids)
        return written - sum(counts.values()) * int(self.writer.table.lengths[1]) + titles

    @property
    def _alone(self) -> int:
        """Of the longest title where the model reads it by itself."""
        format = self.words.format
        around = len(format.opening) + len(format.ending or format.answer)
        return int(self.writer.table.lengths.max()) + around if format.compares else 0

    def _top(self, count: int) -> int:
        """Tokens of the ``count`` longest titles."""
        return int(np.sort(self.writer.table.lengths)[::-1][:count].sum())

    def _most_in_history(self, n: int) -> int:
        return min(n, max((int(rows.lengths.max(initial=0)) for rows in self.histories), default=0)) or 1

    def _window(self, n: int) -> int:
        """Of n titles of a history, one of which 05b may replace by any other."""
        best = max(int(_windows(self._tokens(rows), rows, n - 1).max(initial=0)) for rows in self.histories)
        return best + self._top(1)

    def _worked(self, a: int, n: int) -> int:
        """Of the first ``a`` titles of a training sequence, and of n + 2 in a row: a history, the gap and the last."""
        tokens = self._tokens(self.train)
        first = np.add.reduceat(np.append(np.where(_places(self.train) < a, tokens, 0), 0), self.train.offsets[:-1]) * (
            self.train.lengths > 0
        )
        best = _windows(tokens, self.train, n + 2)
        return int((first + best).max(initial=0))

    def _tokens(self, rows: Ragged) -> np.ndarray:
        return self.writer.table.lengths[rows.values]


def _places(rows: Ragged) -> np.ndarray:
    """Of each value, how many of its row stand before it."""
    return np.arange(len(rows.values)) - np.repeat(rows.offsets[:-1], rows.lengths)


def _windows(tokens: np.ndarray, rows: Ragged, n: int) -> np.ndarray:
    """(U,) the largest sum of at most n consecutive ``tokens`` in each row."""
    ends = np.concatenate([[0], np.cumsum(tokens)])
    place = np.arange(1, len(tokens) + 1)
    begin = np.maximum(place - n, np.repeat(rows.offsets[:-1], rows.lengths))
    sums = np.append(ends[place] - ends[begin], 0)
    return np.maximum.reduceat(sums, rows.offsets[:-1]) * (rows.lengths > 0) if len(rows) else np.zeros(0, np.int64)
