"""The catalogue's titles as token ids, made once, and packed for scoring many titles in one decoder sequence."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

MAX_TITLE_TOKENS = 48


@dataclass(frozen=True)
class TitleTable:
    """Token ids of every title.

    ids (N+1, W) int64, right-padded with 0; lengths (N+1,), the closing end-of-sequence token not counted;
    canonical (N+1,): the first item that bears the same title, so that equal titles get equal scores.
    """

    ids: np.ndarray
    lengths: np.ndarray
    canonical: np.ndarray
    eos: int

    @classmethod
    def build(cls, tokenizer: Any, titles: list[str]) -> "TitleTable":
        """``titles[0]`` is padding. Titles longer than 48 tokens are cut there."""
        encoded = tokenizer(titles[1:], add_special_tokens=False)["input_ids"] if len(titles) > 1 else []
        rows = [[], *(row[:MAX_TITLE_TOKENS] for row in encoded)]
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        ids = np.zeros((len(rows), max(1, lengths.max())), dtype=np.int64)
        ids[np.arange(ids.shape[1]) < lengths[:, None]] = np.concatenate([np.array(r, dtype=np.int64) for r in rows])
        first: dict[tuple[int, ...], int] = {}
        canonical = np.array([first.setdefault(tuple(row), item) for item, row in enumerate(rows)])
        return cls(ids, lengths, canonical, int(tokenizer.eos_token_id))

    def __getitem__(self, item: int) -> np.ndarray:
        return self.ids[item, : self.lengths[item]]


@dataclass(frozen=True)
class PackedTitles:
    """m titles a prompt, laid end to end in one sequence of S tokens, each ending in end-of-sequence.

    inputs (B, S): decoder inputs, each title shifted right behind ``start``; labels (B, S): what each position must
    predict, -100 for padding; block (B, S): which of the m titles a position belongs to, -1 for padding;
    lengths (B, m): tokens of each title; first (B, m): the first candidate of the set with the same title.
    """

    inputs: torch.Tensor
    labels: torch.Tensor
    block: torch.Tensor
    lengths: torch.Tensor
    first: torch.Tensor

    @classmethod
    def build(cls, table: TitleTable, candidates: np.ndarray, start: int) -> "PackedTitles":
        """Pack the titles of ``candidates`` (B, m) behind the decoder's ``start`` token."""
        lengths = table.lengths[candidates] + 1
        ends = lengths.cumsum(axis=1)
        B, S = len(candidates), int(ends[:, -1].max())
        position = np.arange(S)
        block = (position[None, None, :] >= ends[:, :, None]).sum(axis=1)
        inside = block < candidates.shape[1]
        block = np.where(inside, block, 0)
        offset = position[None] - np.take_along_axis(ends - lengths, block, axis=1)
        item = np.take_along_axis(candidates, block, axis=1)
        width = table.ids.shape[1]
        token = table.ids[item, np.minimum(offset, width - 1)]
        labels = np.where(offset < table.lengths[item], token, table.eos)
        previous = table.ids[item, np.clip(offset - 1, 0, width - 1)]
        inputs = np.where(offset == 0, start, previous)
        canonical = table.canonical[candidates]
        first = (canonical[:, :, None] == canonical[:, None, :]).argmax(axis=-1)
        arrays = (np.where(inside, inputs, start), np.where(inside, labels, -100), np.where(inside, block, -1))
        return cls(*(torch.from_numpy(a.reshape(B, S)) for a in arrays), *map(torch.from_numpy, (lengths, first)))

    def to(self, device: torch.device | str) -> "PackedTitles":
        return PackedTitles(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def attention_mask(self, dtype: torch.dtype) -> torch.Tensor:
        """(B, 1, S, S) additive mask: a token sees its own title up to itself and nothing of the other titles."""
        S = self.block.shape[1]
        past = torch.ones(S, S, dtype=torch.bool, device=self.block.device).tril()
        seen = (self.block[:, :, None] == self.block[:, None, :]) & past
        mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
