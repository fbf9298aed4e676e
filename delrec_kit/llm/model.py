"""The one interface behind which every language model stands, whatever its family."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import nn

from delrec_kit.llm.prompts import PromptBatch
from delrec_kit.llm.titles import PackedTitles


class LanguageModel(nn.Module, ABC):
    """A frozen (perhaps 4-bit) transformer that embeds prompts with P in place, scores titles and shows attention.

    model: the transformers model; d: width of its embeddings; identity: what a soft prompt trained with it depends on.
    """

    def __init__(self, model: Any, tokenizer: Any, identity: dict[str, str]):
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.identity = identity
        self.model.requires_grad_(False)
        self.model.eval()

    @property
    def embeddings(self) -> nn.Embedding:
        return self.model.get_input_embeddings()

    @property
    def d(self) -> int:
        return self.embeddings.weight.shape[1]

    @property
    def device(self) -> torch.device:
        return self.embeddings.weight.device

    def embed(self, prompts: PromptBatch, soft: torch.Tensor | None) -> torch.Tensor:
        """(B, L, d) input embeddings, with row j of ``soft`` (k, d) wherever the prompt holds soft token j."""
        embedded = self.embeddings(prompts.ids.clamp(min=0))
        is_soft = prompts.ids < 0
        if soft is None:
            return embedded
        rows = soft[(-prompts.ids - 1).clamp(min=0)].to(embedded.dtype)
        return torch.where(is_soft[..., None], rows, embedded)

    @property
    @abstractmethod
    def start(self) -> int:
        """The token behind which a title is scored."""

    @property
    @abstractmethod
    def adapter_targets(self) -> list[str]:
        """Names of the attention query and value projections, for AdaLoRA."""

    @abstractmethod
    def token_log_likelihoods(self, prompts: PromptBatch, titles: PackedTitles, soft: torch.Tensor | None):
        """(B, S) log-likelihood of each title token given the prompt and the tokens before it in its title."""

    @abstractmethod
    def attentions(self, prompts: PromptBatch, titles: PackedTitles, soft: torch.Tensor | None) -> dict:
        """Attention weights by kind, each (layers, B, heads, queries, keys). Never empty."""

    def score_titles(
        self,
        prompts: PromptBatch,
        titles: PackedTitles,
        soft: torch.Tensor | None = None,
        length_normalised: bool = False,
    ) -> torch.Tensor:
        """(B, m) float32 log-likelihood of each whole title, its end included; equal titles score equal.

        The verbalizer of this kit. ``length_normalised`` divides by the number of tokens.
        """
        tokens = self.token_log_likelihoods(prompts, titles, soft).float()
        block = titles.block
        sums = tokens.new_zeros(titles.lengths.shape)
        sums = sums.scatter_add(1, block.clamp(min=0), tokens.masked_fill(block < 0, 0.0))
        if length_normalised:
            sums = sums / titles.lengths
        return sums.gather(1, titles.first)
