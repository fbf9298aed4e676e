"""The catalogue's titles as token ids, made once, and packed for scoring many titles in one decoder sequence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from delrec_kit.llm.as_text import as_text

MAX_TITLE_TOKENS = 48


@dataclass(frozen=True)
class TitleTable:
    """Token ids of every title.

    ids (N+1, W) int64, right-padded with 0; lengths (N+1,), the closing end-of-sequence token not counted;
    canonical (N+1,): the first item that bears the same title, so that equal titles get equal scores; eos: the closing
    token, None where an answer is one token that nothing closes.
    """

    ids: np.ndarray
    lengths: np.ndarray
    canonical: np.ndarray
    eos: int | None

    @classmethod
    def build(cls, tokenizer: Any, titles: list[str], eos: int | None = None, gap: str = "") -> "TitleTable":
        """``titles[0]`` is padding; ``gap`` is put before each. Titles longer than 48 tokens are cut there."""
        encoded = as_text(tokenizer, [gap + title for title in titles[1:]])
        return cls.of_rows([[], *(row[:MAX_TITLE_TOKENS] for row in encoded)], eos)

    @classmethod
    def of_rows(cls, rows: Sequence[Sequence[int]], eos: int | None) -> "TitleTable":
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        ids = np.zeros((len(rows), max(1, lengths.max())), dtype=np.int64)
        ids[np.arange(ids.shape[1]) < lengths[:, None]] = np.concatenate([np.array(r, dtype=np.int64) for r in rows])
        first: dict[tuple[int, ...], int] = {}
        canonical = np.array([first.setdefault(tuple(row), item) for item, row in enumerate(rows)])
        return cls(ids, lengths, canonical, eos)

    def first_tokens(self) -> "TitleTable":
        """Each title cut to its first token, as the authors' code scores it: titles that share it are tied."""
        return TitleTable.of_rows([self[item][:1].tolist() for item in range(len(self.lengths))], None)

    def notices(self, titles: Sequence[str]) -> list[str]:
        """What is lost of the titles in this table, counted."""
        texts = np.array(titles, dtype=object)
        merged = (texts != texts[self.canonical]).sum()
        cut = (self.lengths >= MAX_TITLE_TOKENS).sum()
        found = [
            (merged, "titles have the same tokens as another, different title; the model cannot tell them apart"),
            (cut, f"titles are cut at {MAX_TITLE_TOKENS} tokens"),
        ]
        return [f"{count} of {len(titles) - 1} {what}" for count, what in found if count]

    def __getitem__(self, item: int) -> np.ndarray:
        return self.ids[item, : self.lengths[item]]


@dataclass(frozen=True)
class PackedTitles:
    """m titles a prompt, laid end to end in one sequence of S tokens, each closed by end-of-sequence; T real ones.

    inputs (B, S): each title shifted right behind the start token; offset (B, S): places since its start; block (B, S):
    which of the m titles a position belongs to, -1 for padding; place (T,): the real positions in the flattened (B, S);
    labels (T,): what each of them must predict; owner (T,): its title in the flattened (B, m); lengths (B, m): tokens
    of each title; first (B, m): the first candidate of the set with the same title; items (B, m): which titles.
    Places and labels are laid out here, on the CPU, so that no GPU has to wait for a count.
    """

    inputs: torch.Tensor
    offset: torch.Tensor
    block: torch.Tensor
    place: torch.Tensor
    labels: torch.Tensor
    owner: torch.Tensor
    lengths: torch.Tensor
    first: torch.Tensor
    items: torch.Tensor

    @classmethod
    def build(cls, table: TitleTable, candidates: np.ndarray, start: int | np.ndarray) -> "PackedTitles":
        """Pack the titles of ``candidates`` (B, m) behind ``start``, one token for all or (B,)."""
        closed = table.eos is not None
        lengths = table.lengths[candidates] + closed
        ends = lengths.cumsum(axis=1)
        (B, m), S = candidates.shape, int(ends[:, -1].max())
        position = np.arange(S)
        block = (position[None, None, :] >= ends[:, :, None]).sum(axis=1)
        inside = block < m
        block = np.where(inside, block, 0)
        offset = np.where(inside, position[None] - np.take_along_axis(ends - lengths, block, axis=1), 0)
        item = np.take_along_axis(candidates, block, axis=1)
        width = table.ids.shape[1]
        token = table.ids[item, np.minimum(offset, width - 1)]
        labels = np.where(offset < table.lengths[item], token, table.eos or 0)
        previous = table.ids[item, np.clip(offset - 1, 0, width - 1)]
        inputs = np.where(offset == 0, np.broadcast_to(np.asarray(start).reshape(-1, 1), (B, 1)), previous)
        canonical = table.canonical[candidates]
        first = (canonical[:, :, None] == canonical[:, None, :]).argmax(axis=-1)
        place = np.flatnonzero(inside)
        owner = (np.arange(B)[:, None] * m + block).reshape(-1)[place]
        arrays = (inputs, offset, np.where(inside, block, -1), place, labels.reshape(-1)[place], owner)
        return cls(*map(torch.from_numpy, (*arrays, lengths, first, np.array(candidates, dtype=np.int64))))

    @classmethod
    def of_items(cls, candidates: np.ndarray) -> "PackedTitles":
        """Only which titles (B, m), for a model that reads none behind the prompt."""
        nothing = torch.empty((len(candidates), 0), dtype=torch.int64)
        return cls(*[nothing] * 8, torch.from_numpy(np.array(candidates, dtype=np.int64)))

    def to(self, device: torch.device | str) -> "PackedTitles":
        return PackedTitles(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def own(self) -> torch.Tensor:
        """(B, S, S) true where a token may look: at its own title up to itself, and at nothing of the others."""
        S = self.block.shape[1]
        past = torch.ones(S, S, dtype=torch.bool, device=self.block.device).tril()
        return (self.block[:, :, None] == self.block[:, None, :]) & past


def additive(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The (B, 1, Q, K) mask that attention adds to its logits, from (B, Q, K) booleans."""
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
