"""Stage 1's examples in stage 2, weighing less with every step, in the end nothing beside the labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from delrec_kit.llm import Prompt, PromptWriter
from delrec_kit.training.examples import Examples
from delrec_kit.training.task import collate

Row = tuple[tuple[Prompt, np.ndarray, np.ndarray], bool]


@dataclass(frozen=True)
class Marked(Dataset):
    """The rows of ``examples``, each with whether the teacher answered it (or a masked item), and no true label."""

    examples: Examples

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def lengths(self) -> list[int]:
        return self.examples.lengths

    def __getitem__(self, index: int) -> Row:
        return self.examples[index], index < len(self) - self.examples.true_labels


def collate_marked(writer: PromptWriter, rows: Sequence[Row]) -> dict:
    """``collate``, with ``taught`` (B,)."""
    return collate(writer, [row for row, _ in rows]) | {"taught": torch.tensor([taught for _, taught in rows])}


def faded(taught: torch.Tensor, done: float) -> torch.Tensor:
    """(B,) weights when the share ``done`` of the steps is done: 1 − done where ``taught`` (B,), else 1."""
    return torch.where(taught, 1.0 - done, 1.0)
