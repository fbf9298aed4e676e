"""Prompts put together from pieces that were tokenised once, with the soft prompt standing in mid-text.

A prompt is a row of token ids; soft token j is written as the id ``-(j + 1)``, so that the place of P is part of the
prompt itself. The segments (instruction, history item 0, …) tile the prompt exactly.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from delrec_kit.data import Domain
from delrec_kit.llm.templates import TEMPLATES, TITLE_SEPARATOR
from delrec_kit.llm.titles import TitleTable

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
    ids: np.ndarray
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class PromptBatch:
    """ids (B, L) with soft tokens below zero and right padding; mask (B, L), 1 where a token stands."""

    ids: torch.Tensor
    mask: torch.Tensor

    def to(self, device: torch.device | str) -> "PromptBatch":
        return PromptBatch(self.ids.to(device), self.mask.to(device))


class PromptWriter:
    """Writes the prompts of one dataset for one tokenizer. ``extra`` holds more templates by task."""

    def __init__(self, tokenizer: Any, domain: Domain, titles: list[str], extra: Mapping[str, str] = {}):
        self.tokenizer = tokenizer
        self.table = TitleTable.build(tokenizer, titles)
        self.pad = int(tokenizer.pad_token_id)
        self._separator = self._encode(TITLE_SEPARATOR)
        nouns = {name: getattr(domain, name) for name in NOUNS[:4]} | {"past_title": domain.past.capitalize()}
        self._templates = {task: self._compile(text, nouns) for task, text in {**TEMPLATES, **extra}.items()}

    def write(
        self,
        task: str,
        slots: Mapping[str, Sequence[int]],
        k: int = 0,
        text: str | None = None,
    ) -> Prompt:
        """The prompt of ``task`` ("final", "rps", "ta").

        slots: item ids by slot name; k: soft tokens at ``{soft}``; text: words put there instead, such as a
        hand-written description of the teacher. With neither, the bracketed part about the pattern is left out.
        """
        soft = np.arange(-1, -k - 1, -1) if k else self._encode(text) if text else None
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
        parts.append(("answer", -1, np.array([self.table.eos])))
        return self._join(parts)

    def text(self, prompt: Prompt) -> str:
        """The prompt as the tokenizer reads it back, with ``<P>`` where the soft prompt stands."""
        decode = partial(self.tokenizer.decode, skip_special_tokens=True)
        soft = np.flatnonzero(prompt.ids < 0)
        if not len(soft):
            return decode(prompt.ids)
        return f"{decode(prompt.ids[: soft[0]])} <P> {decode(prompt.ids[soft[-1] + 1 :])}"

    def batch(self, prompts: Sequence[Prompt | np.ndarray]) -> PromptBatch:
        rows = [p.ids if isinstance(p, Prompt) else p for p in prompts]
        lengths = np.array([len(row) for row in rows])
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, self.pad, dtype=np.int64)
        ids[mask] = np.concatenate(rows)
        return PromptBatch(torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64)))

    def _encode(self, text: str) -> np.ndarray:
        return np.array(self.tokenizer(text, add_special_tokens=False)["input_ids"], dtype=np.int64)

    def _compile(self, template: str, nouns: Mapping[str, str]) -> list[tuple[bool, list]]:
        """[(bracketed?, [(slot or "", ids or None), …]), …] with the nouns filled in and the text tokenised."""
        chunks = []
        for chunk in re.split(r"(\[[^\]]*\])", template):
            optional = chunk.startswith("[")
            text = SLOT.sub(lambda s: nouns.get(s[1], s[0]), chunk.strip("[]"))
            pieces = [
                (part, None) if i % 2 else ("", self._encode(part)) for i, part in enumerate(SLOT.split(text)) if part
            ]
            if pieces:
                chunks.append((optional, pieces))
        return chunks

    def _titles(self, slot: str, items: Sequence[int]) -> list[tuple[str, int, np.ndarray]]:
        parts = []
        for index, item in enumerate(items):
            if index:
                parts.append(("instruction", -1, self._separator))
            parts.append((slot, index, self.table[int(item)]))
        return parts

    @staticmethod
    def _join(parts: list[tuple[str, int, np.ndarray]]) -> Prompt:
        stops = np.cumsum([len(ids) for _, _, ids in parts])
        segments = tuple(
            Segment(name, index, int(stop) - len(ids), int(stop))
            for (name, index, ids), stop in zip(parts, stops, strict=True)
        )
        return Prompt(np.concatenate([ids for _, _, ids in parts]), segments)
