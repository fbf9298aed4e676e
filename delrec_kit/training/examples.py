"""Training examples: prompts, and distributions over the items that each of them ranks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import ConcatDataset, Dataset

from delrec_kit.data import Ragged
from delrec_kit.llm import Prompt, PromptWriter


@dataclass(frozen=True)
class Example:
    """prompt; candidates (m,): the items that are ranked; target (m,): a distribution over them, -1 on items that the
    user has had and that are not ranked; true_label: whether it tells an item that truly came next."""

    prompt: Prompt
    candidates: np.ndarray
    target: np.ndarray
    true_label: bool


@dataclass(frozen=True)
class OneOfAll:
    """Row i is (N,): 1 at ``answers[i]``, -1 at the rest of ``shown[i]``, over items 1 … N. Rows are made when they are
    asked for, so that memory grows with the examples and not with examples times items."""

    answers: np.ndarray
    shown: Ragged
    n_items: int

    def __len__(self) -> int:
        return len(self.answers)

    def __getitem__(self, row: int) -> np.ndarray:
        target = np.zeros(self.n_items, dtype=np.float32)
        target[self.shown[row] - 1] = -1
        target[self.answers[row] - 1] = 1
        return target


@dataclass(frozen=True)
class Examples(Dataset):
    """n prompts; candidates (n, m), or (n, 0) where prompts list nothing and the whole catalogue is ranked; targets
    (n, m) or (n, N), see ``Example``; true_labels: whether they tell what truly came next."""

    prompts: Sequence[Prompt]
    candidates: np.ndarray
    targets: np.ndarray | OneOfAll
    true_labels: bool = False

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each prompt."""
        return [len(prompt.ids) for prompt in self.prompts]

    def __getitem__(self, row: int) -> Example:
        candidates, target = self.candidates[row], self.targets[row]
        if not len(candidates):
            candidates = np.arange(1, len(target) + 1)
        return Example(self.prompts[row], candidates, target.astype(np.float32), self.true_labels)


class Joined(ConcatDataset):
    """Several kinds of examples in one set. fades: what is no true label weighs less with every step of a training, in
    the end nothing."""

    def __init__(self, parts: Sequence[Examples], fades: bool = False):
        super().__init__(parts)
        self.fades = fades

    @property
    def lengths(self) -> list[int]:
        return [length for part in self.datasets for length in part.lengths]

    @property
    def true_labels(self) -> int:
        return sum(len(part) for part in self.datasets if part.true_labels)


def collate(writer: PromptWriter, rows: Sequence[Example]) -> dict:
    """A batch of plain nested dicts of tensors, as a Trainer moves them to its device."""
    prompts = [row.prompt for row in rows]
    return {
        "prompts": vars(writer.batch(prompts)),
        "titles": vars(writer.pack(prompts, np.stack([row.candidates for row in rows]))),
        "targets": torch.from_numpy(np.stack([row.target for row in rows])),
        "true_label": torch.tensor([row.true_label for row in rows]),
    }
