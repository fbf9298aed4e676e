"""What the trainers train: a language model and a soft prompt, and the loss over the candidates a prompt lists."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from delrec_kit.llm import LanguageModel, PackedTitles, Prompt, PromptBatch, PromptWriter, SoftPrompt

NEVER = -1e4  # a score that no softmax notices, and whose product with a target of 0 is a number


class CandidateRanker(nn.Module):
    """Scores m candidates with P in the prompt. ``soft`` is None where no soft prompt is used."""

    def __init__(self, llm: LanguageModel, soft: SoftPrompt | None, length_normalised: bool = False):
        super().__init__()
        self.llm = llm
        self.soft = soft
        self.length_normalised = length_normalised

    def forward(
        self, prompts: dict, titles: dict, targets: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """KL divergence from ``targets`` (B, m) to the softmax of the scores, in nats, mean over the batch, each row
        times its ``weights`` (B,) where they are given.

        For one-hot targets this is the cross-entropy over the candidates: what the loss ranks is what the prompt
        lists, no more and no less (DELRec eqs. 6 and 9 take the softmax over all classes). Candidates whose target is
        negative are not ranked.
        """
        asked = PromptBatch(**prompts)
        P = None if self.soft is None else self.soft(asked)
        scores = self.llm.score_titles(asked, PackedTitles(**titles), P, length_normalised=self.length_normalised)
        scores = scores.masked_fill(targets < 0, NEVER)
        losses = F.kl_div(F.log_softmax(scores, dim=-1), targets.clamp(min=0), reduction="none").sum(-1)
        return (losses if weights is None else losses * weights).mean()

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that learn, by name. Everything else must not move."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}


def collate(writer: PromptWriter, rows: Sequence[tuple[Prompt, np.ndarray, np.ndarray]]) -> dict:
    """A batch of plain nested dicts of tensors, as a Trainer moves them to its device."""
    prompts, candidates, targets = zip(*rows, strict=True)
    return {
        "prompts": vars(writer.batch(prompts)),
        "titles": vars(writer.pack(prompts, np.stack(candidates))),
        "targets": torch.from_numpy(np.stack(targets)),
    }
