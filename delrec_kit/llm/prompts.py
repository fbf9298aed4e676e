"""Prompts put together from pieces that were tokenised once, with the soft prompt standing in mid-text.

A prompt is a row of token ids; soft token j is written as the id ``-(j + 1)``, so that the place of P is part of the
prompt itself. The segments (instruction, history item 0, …) tile the prompt exactly.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from delrec_kit.data import Domain
from delrec_kit.llm.labels import Labels
from delrec_kit.llm.templates import TEMPLATES, TITLE_SEPARATOR
from delrec_kit.llm.text import TextFormat, encoder_decoder_format
from delrec_kit.llm.titles import PackedTitles, TitleTable

SLOT = re.compile(r"\{(\w+)\}")
NOUNS = ("noun", "plural", "past", "present", "past_title")


@dataclass(frozen=True)
class Segment:
    """Tokens ``start:stop`` of a prompt: the ``index``-th title of a slot, the soft prompt, or instruction text."""

    name: str
    index: int
    start: int
    stop: int


@dataclass(frozen=True)
class Prompt:
    """ids (L,); expects (d,): what the teacher expects next, as a vector, where a conditioned soft prompt needs it."""

    ids: np.ndarray
    segments: tuple[Segment, ...]
    expects: np.ndarray | None = None


@dataclass(frozen=True)
class PromptBatch:
    """ids (B, L) with soft tokens below zero and right padding; mask (B, L), 1 where a token stands; history (B, L),
    true on the titles of the history; expects (B, d): of the prompts that have one."""

    ids: torch.Tensor
    mask: torch.Tensor
    history: torch.Tensor
    expects: torch.Tensor | None = None

    def to(self, device: torch.device | str) -> "PromptBatch":
        return PromptBatch(*(None if part is None else part.to(device) for part in vars(self).values()))


class PromptWriter:
    """Writes the prompts of one dataset for one model, and packs the answers that are scored.

    templates: the words of the prompts, by task; format: how the model wants its text, an encoder-decoder's by default;
    verbalizer: what is scored as the answer. "title" is the whole title; "index" the letter or number that the prompt
    puts before the candidate; "first_token" the title's first token, which many titles share: only to reproduce the
    authors' code.
    notices: what is lost of the titles, counted.
    """

    def __init__(
        self,
        tokenizer: Any,
        domain: Domain,
        titles: list[str],
        templates: Mapping[str, str] = TEMPLATES,
        format: TextFormat | None = None,
        verbalizer: str = "title",
    ):
        self.tokenizer = tokenizer
        self.templates = dict(templates)
        self.format = format or encoder_decoder_format(tokenizer)
        self.table = TitleTable.build(tokenizer, titles, self.format.eos, self.format.gap)
        same = self.format.gap == self.format.answer_gap
        answers = self.table if same else TitleTable.build(tokenizer, titles, self.format.eos, self.format.answer_gap)
        self.answers = answers.first_tokens() if verbalizer == "first_token" else answers
        self.notices = self.answers.notices(titles)
        self.labels = Labels(tokenizer, self.format.answer_gap) if verbalizer == "index" else None
        self._separator = self._encode(TITLE_SEPARATOR.rstrip() if self.format.gap else TITLE_SEPARATOR)
        nouns = {name: getattr(domain, name) for name in NOUNS[:4]} | {"past_title": domain.past.capitalize()}
        self._templates = {task: self._compile(text, nouns) for task, text in templates.items()}

    def write(
        self,
        task: str,
        slots: Mapping[str, Sequence[int]],
        k: int = 0,
        text: str | None = None,
        expects: np.ndarray | None = None,
    ) -> Prompt:
        """The prompt of ``task`` ("final", "rps", "ta").

        slots: item ids by slot name; k: soft tokens at ``{soft}``; text: words put there instead, such as a
        hand-written description of the teacher. With neither, the bracketed part about the pattern is left out.
        expects (d,): what the teacher expects, for a conditioned soft prompt.
        """
        soft = np.arange(-1, -k - 1, -1) if k else self._encode(self.format.gap + text) if text else None
        parts: list[tuple[str, int, np.ndarray]] = []
        for optional, pieces in self._templates[task]:
            names = [name for name, ids in pieces if ids is None]
            if optional and any(soft is None if name == "soft" else not len(slots.get(name, ())) for name in names):
                continue
            for name, ids in pieces:
                if ids is not None:
                    parts.append(("instruction", -1, ids))
                elif name == "soft":
                    parts.append(("soft", 0, soft))
                else:
                    parts.extend(self._titles(name, slots[name]))
        return self._join(self._framed(parts), expects)

    def pack(self, prompts: Sequence[Prompt], candidates: np.ndarray) -> PackedTitles:
        """The answers of ``candidates`` (B, m), to be scored behind each of the B prompts."""
        if self.format.compares:
            return PackedTitles.of_items(candidates)
        start = self.format.start
        if start is None:
            start = np.array([prompt.ids[prompt.segments[-1].start] for prompt in prompts])
        if self.labels is None:
            return PackedTitles.build(self.answers, candidates, start)
        B, m = candidates.shape
        packed = PackedTitles.build(self.labels.table(m), np.tile(np.arange(1, m + 1), (B, 1)), start)
        return replace(packed, items=torch.from_numpy(np.array(candidates, dtype=np.int64)))

    def longest_answer(self, items: np.ndarray | None = None) -> int:
        """Tokens that a model reads behind a prompt of the longest answer among ``items``, by default of all. Its end
        is predicted and never read; what compares vectors reads none."""
        if self.format.compares:
            return 0
        if self.labels is not None:
            return 1
        lengths = self.answers.lengths if items is None else self.answers.lengths[items]
        return int(lengths.max(initial=0))

    def text(self, prompt: Prompt) -> str:
        """The prompt as the tokenizer reads it back, with ``<P>`` where the soft prompt stands."""
        decode = partial(self.tokenizer.decode, skip_special_tokens=True)
        soft = np.flatnonzero(prompt.ids < 0)
        if not len(soft):
            return decode(prompt.ids)
        return f"{decode(prompt.ids[: soft[0]])} <P> {decode(prompt.ids[soft[-1] + 1 :])}"

    def batch(self, prompts: Sequence[Prompt]) -> PromptBatch:
        """Raises ValueError where some of the prompts know what the teacher expects, and others do not."""
        lengths = np.array([len(prompt.ids) for prompt in prompts])
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, self.format.pad, dtype=np.int64)
        ids[mask] = np.concatenate([prompt.ids for prompt in prompts])
        history = np.zeros(mask.shape, dtype=bool)
        for row, prompt in enumerate(prompts):
            for segment in prompt.segments:
                if segment.name == "history":
                    history[row, segment.start : segment.stop] = True
        expects = [prompt.expects for prompt in prompts if prompt.expects is not None]
        if expects and len(expects) < len(prompts):
            raise ValueError("some prompts of a batch know what the teacher expects, and others do not")
        known = torch.from_numpy(np.stack(expects)) if expects else None
        return PromptBatch(*map(torch.from_numpy, (ids, mask.astype(np.int64), history)), known)

    def _encode(self, text: str) -> np.ndarray:
        return np.array(self.tokenizer(text, add_special_tokens=False)["input_ids"], dtype=np.int64)

    def _compile(self, template: str, nouns: Mapping[str, str]) -> list[tuple[bool, list]]:
        """[(bracketed?, [(slot or "", ids or None), …]), …] with the nouns filled in and the text tokenised."""
        chunks = []
        for chunk in re.split(r"(\[[^\]]*\])", template):
            optional = chunk.startswith("[")
            text = SLOT.sub(lambda s: nouns.get(s[1], s[0]), chunk.strip("[]"))
            parts = SLOT.split(text)
            if self.format.gap:  # the blank before a slot belongs to the word that fills it
                parts[:-1:2] = [part.rstrip() for part in parts[:-1:2]]
            pieces = [(part, None) if i % 2 else ("", self._encode(part)) for i, part in enumerate(parts) if part]
            if pieces:
                chunks.append((optional, pieces))
        return chunks

    def _titles(self, slot: str, items: Sequence[int]) -> list[tuple[str, int, np.ndarray]]:
        parts = []
        for index, item in enumerate(items):
            if index:
                parts.append(("instruction", -1, self._separator))
            title = self.table[int(item)]
            if slot == "candidates" and self.labels is not None:  # the label goes wherever its title goes
                label = self._encode(self.format.gap + self.labels.of(len(items))[index] + ":")
                title = np.concatenate([label, title])
            parts.append((slot, index, title))
        return parts

    def _framed(self, parts: list[tuple[str, int, np.ndarray]]) -> list[tuple[str, int, np.ndarray]]:
        """The text with what the model wants around it; without a slot of its own, the last token is the answer's."""
        format = self.format
        around = lambda ids: [("instruction", -1, np.array(ids, dtype=np.int64))] if ids else []  # noqa: E731
        parts = [*around(format.opening), *parts, *around(format.closing)]
        slot = np.array(format.answer, dtype=np.int64)
        if not len(slot):
            name, index, last = parts.pop()
            parts.append((name, index, last[:-1]))
            slot = last[-1:]
        return [*parts, ("answer", -1, slot), *around(format.ending)]

    @staticmethod
    def _join(parts: list[tuple[str, int, np.ndarray]], expects: np.ndarray | None) -> Prompt:
        stops = np.cumsum([len(ids) for _, _, ids in parts])
        segments = tuple(
            Segment(name, index, int(stop) - len(ids), int(stop))
            for (name, index, ids), stop in zip(parts, stops, strict=True)
        )
        return Prompt(np.concatenate([ids for _, _, ids in parts]), segments, expects)
