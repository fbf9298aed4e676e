"""The one interface behind which every language model stands, whatever its family."""

from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from delrec_kit.llm.families.positions import positions
from delrec_kit.llm.likelihoods import Finish, token_log_likelihoods
from delrec_kit.llm.prompts import PromptBatch
from delrec_kit.llm.text import TextFormat
from delrec_kit.llm.titles import PackedTitles, TitleTable
from delrec_kit.settings.errors import KitError


@dataclass(frozen=True)
class Reading:
    """Prompts as a model has read them, once, to score any number of titles behind them.

    states (B, L, d): embedded (decoder-only) or encoded (the others); cache: keys and values that later calls reuse.
    """

    prompts: PromptBatch
    states: torch.Tensor
    cache: Any = None


class LanguageModel(nn.Module, ABC):
    """A frozen (perhaps 4-bit) transformer that reads prompts with P in place, scores titles and shows attention.

    model: the transformers model; d: width of its embeddings; format: how it wants its text; identity: what a soft
    prompt trained with it depends on; lists: whether its prompts list the candidates that it ranks; ranks_all:
    whether it compares a prompt with all titles at once, so that training ranks the whole catalogue.
    """

    task_type: ClassVar[str]  # peft's name for the family
    lists: bool = True
    ranks_all: ClassVar[bool] = False

    def __init__(self, model: Any, tokenizer: Any, identity: dict[str, str], format: TextFormat):
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.identity = identity
        self.format = format
        self.model.requires_grad_(False)
        self.model.eval()
        self._instead: torch.Tensor | None = None

    @property
    def embeddings(self) -> nn.Embedding:
        return self.model.get_input_embeddings()

    @property
    def d(self) -> int:
        return self.embeddings.weight.shape[1]

    @property
    def device(self) -> torch.device:
        return self.embeddings.weight.device

    @property
    def longest(self) -> int | None:
        """Tokens that the model's positions reach, None where they have no end."""
        return positions(self.model.config)

    def check_length(self, tokens: int) -> None:
        """Raise KitError where a prompt, with the title behind it, has more ``tokens`` than the positions reach."""
        if self.longest is not None and tokens > self.longest:
            raise KitError(
                f"a prompt has {tokens} tokens and {self.identity['llm']} reads {self.longest}: "
                "lower llm.history, data.candidates or distill.k"
            )

    def recompute(self) -> bool:
        """Compute activations anew in every backward pass from now on; False where that was so before."""
        before = self.model.is_activation_checkpointing
        self.model.activation_checkpointing_enable({"use_reentrant": False})
        return not before

    def embed(self, prompts: PromptBatch, soft: torch.Tensor | None) -> torch.Tensor:
        """(B, L, d) input embeddings, with row j of ``soft`` (k, d) or (B, k, d) where a prompt holds soft token j."""
        self.check_length(prompts.ids.shape[1])
        if self._instead is not None:
            return self._instead.to(self.embeddings.weight.dtype)
        embedded = self.embeddings(prompts.ids.clamp(min=0))
        if soft is None:
            return embedded
        place = (-prompts.ids - 1).clamp(min=0)
        prompt = torch.arange(len(place), device=place.device)[:, None]
        rows = (soft[place] if soft.ndim == 2 else soft[prompt, place]).to(embedded.dtype)
        return torch.where((prompts.ids < 0)[..., None], rows, embedded)

    @torch.no_grad()
    def words(self, ids: torch.Tensor | None = None) -> torch.Tensor:
        """(n, d) float32 what the embedding layer makes of the words ``ids`` (n,), by default of the whole vocabulary:
        some scale the rows of their matrix (Gemma 3: by sqrt(d))."""
        ids = torch.arange(len(self.embeddings.weight)) if ids is None else ids
        return self.embeddings(ids.to(self.device)).float()

    @contextmanager
    def reading_instead(self, embedded: torch.Tensor):
        """Within it, every prompt is read as ``embedded`` (B, L, d), whatever it says: to take gradients of what is
        read."""
        self._instead = embedded
        try:
            yield
        finally:
            self._instead = None

    @torch.no_grad()
    def title_vectors(self, table: TitleTable) -> torch.Tensor:
        """(N+1, d) float32: the mean embedding of each title's words, about the catalogue's mean, as long on average as
        the embedding of a word; zeros for padding."""
        words = self.words()
        vectors = torch.stack(
            [words[torch.from_numpy(table[i]).to(self.device)].mean(0) for i in range(1, len(table.lengths))]
        )
        vectors = vectors - vectors.mean(0)
        vectors = vectors * (words.norm(dim=1).mean() / vectors.norm(dim=1).mean().clamp(min=1e-9))
        return F.pad(vectors, (0, 0, 1, 0))

    def answer_vectors(self, table: TitleTable) -> torch.Tensor:
        """(N+1, d) float32: where in its own space the model's answer lies when it means a title."""
        return self.title_vectors(table)

    def encode_titles(self, table: TitleTable) -> None:
        """Prepare for a catalogue; a model that compares vectors makes them here, once, with its frozen weights."""

    @abstractmethod
    def read(self, prompts: PromptBatch, soft: torch.Tensor | None, reuse: bool = False) -> Reading:
        """Read the prompts. reuse: keep what later calls of ``score`` can share; for scoring only, not for training."""

    @abstractmethod
    def token_log_likelihoods(self, reading: Reading, titles: PackedTitles) -> torch.Tensor:
        """(T,) float32 log-likelihood of each title token given the prompt and the tokens before it in its title."""

    @abstractmethod
    def attentions(self, prompts: PromptBatch, titles: PackedTitles, soft: torch.Tensor | None) -> dict:
        """Attention weights by kind: "encoder" (layers, B, heads, L, L), how the prompt reads itself, and where there
        is such a thing "cross" (layers, B, heads, S, L), from title tokens to the prompt. Never empty."""

    def read_out(self, prompts: PromptBatch) -> torch.Tensor:
        """(B, L) true on the tokens of the prompt whose states make the answer: here all, through what titles see."""
        return prompts.mask.bool()

    def score(self, reading: Reading, titles: PackedTitles) -> torch.Tensor:
        """(B, m) float32 log-likelihood of each whole title, its end included; equal titles score equal."""
        tokens = self.token_log_likelihoods(reading, titles)
        sums = tokens.new_zeros(titles.lengths.numel()).index_add(0, titles.owner, tokens).view(titles.lengths.shape)
        return sums.gather(1, titles.first)

    def score_titles(
        self, prompts: PromptBatch, titles: PackedTitles, soft: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(B, m) float32 scores of ``titles`` behind ``prompts``, each of which is read once."""
        return self.score(self.read(prompts, soft), titles)

    def _likelihoods(self, hidden: torch.Tensor, titles: PackedTitles) -> torch.Tensor:
        """(T,) from the last hidden states (B, S, d): only real title tokens are projected to the vocabulary."""
        head, finish = self.model.get_output_embeddings(), Finish.of(self.model.config)
        return token_log_likelihoods(hidden.flatten(0, 1)[titles.place], head, titles.labels, finish)

    def _checked(self, weights: dict[str, Any]) -> dict[str, torch.Tensor]:
        if not all(kind and all(w is not None for w in kind) for kind in weights.values()):
            raise KitError(f"{self.identity['llm']} returned no attention weights; load it with eager attention")
        return {kind: torch.stack([w.float() for w in layers]) for kind, layers in weights.items()}

    @contextmanager
    def _eager(self):
        """Default attention returns no weights; switch to the one that does for as long as needed."""
        before = self.model.config._attn_implementation
        self.model.set_attn_implementation("eager")
        try:
            yield
        finally:
            self.model.set_attn_implementation(before)
