"""The loss of both stages, and the module that a Trainer trains with it."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from delrec_kit.llm import LlmRecommender, PackedTitles, PromptBatch

NEVER = -1e4  # a score that no softmax notices, and whose product with a target of 0 is a number
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # scores (B, m), targets (B, m) -> (B,)


def kl_loss(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(B,) KL(targets || softmax(scores)) in nats, over the m items that are ranked.

    For one-hot targets this is the cross-entropy over the candidates: what the loss ranks is what the prompt lists, no
    more and no less (DELRec eqs. 6 and 9, arXiv 2406.11156, take the softmax over all classes).
    """
    return F.kl_div(F.log_softmax(scores, dim=-1), targets, reduction="none").sum(-1)


class Ranker(nn.Module):
    """A recommender and a loss as one module: what learns in it are P, an adapter in the language model, or both."""

    def __init__(self, recommender: LlmRecommender, loss: Loss = kl_loss):
        super().__init__()
        self.recommender = recommender
        self.loss = loss
        self.llm, self.soft = recommender.llm, recommender.P  # named parameters: llm.…, soft.…

    def forward(
        self, prompts: dict, titles: dict, targets: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The mean loss over the batch, each row times its ``weights`` (B,) where they are given. Items whose target
        is negative are not ranked."""
        scores = self.recommender.logits(PromptBatch(**prompts), PackedTitles(**titles))
        losses = self.loss(scores.masked_fill(targets < 0, NEVER), targets.clamp(min=0))
        return (losses if weights is None else losses * weights).mean()
