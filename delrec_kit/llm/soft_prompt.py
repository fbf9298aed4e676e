"""The soft prompt P: k free vectors of the LLM's embedding width (DELRec section 4.1, arXiv 2406.11156).

A constant P says the same of every user. The last c vectors may be conditioned (ours, beyond the paper): each is a free
vector plus a linear map of what the teacher expects of this user, said in title vectors (``Prompt.expects``).
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from delrec_kit.llm.families.model import LanguageModel
from delrec_kit.llm.prompts import PromptBatch, PromptWriter
from delrec_kit.llm.templates import template_hash
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.streams import stream_seed

METADATA = "trained_with"


class SoftPrompt(nn.Module):
    """vectors: (k, d) float32, P of a prompt that knows nothing of its user; maps: (c, d, d) float32, c <= k, times
    sqrt(d), so that one learning rate moves what they say as fast as it moves the vectors."""

    def __init__(self, vectors: torch.Tensor, maps: torch.Tensor | None = None):
        super().__init__()
        self.vectors = nn.Parameter(vectors.float())
        if maps is not None:
            self.maps = nn.Parameter(maps.float())

    def forward(self, prompts: PromptBatch) -> torch.Tensor:
        """P for these prompts: (k, d) where it is constant, else (B, k, d). Raises ValueError for prompts that do not
        say what the teacher expects, where P depends on it."""
        if not self.c:
            return self.vectors
        if prompts.expects is None:
            raise ValueError("a conditioned soft prompt needs prompts that say what the teacher expects")
        return self.given(prompts.expects.to(self.vectors))

    def given(self, expects: torch.Tensor) -> torch.Tensor:
        """P (B, k, d) of users of whom the teacher expects ``expects`` (B, d): the last c vectors are
        v_j + expects @ maps_j / sqrt(d)."""
        mapped = torch.einsum("bd,cde->bce", expects, self.maps) / expects.shape[1] ** 0.5
        constant = self.vectors.expand(len(mapped), *self.vectors.shape)
        return torch.cat([constant[:, : -self.c], constant[:, -self.c :] + mapped], dim=1)

    @torch.no_grad()
    def constant(self, expects: torch.Tensor) -> "SoftPrompt":
        """P as one user has it, of whom the teacher expects ``expects`` (d,)."""
        return SoftPrompt(self.given(expects[None].to(self.vectors))[0]).requires_grad_(False) if self.c else self

    @classmethod
    def untrained(cls, llm: LanguageModel, k: int, seed: int, conditioned: int = 0) -> "SoftPrompt":
        """k embeddings of random words of the vocabulary: on the scale that the LLM is used to. The maps of the
        ``conditioned`` last start as the identity: what the teacher expects, as a blend of titles."""
        words = torch.tensor(sorted(set(range(len(llm.tokenizer))) - set(llm.tokenizer.all_special_ids)))
        chosen = words[
            torch.randint(
                len(words), (k,), generator=torch.Generator().manual_seed(stream_seed(seed, "words that P begins as"))
            )
        ]
        maps = torch.eye(llm.d, device=llm.device).expand(conditioned, -1, -1) * llm.d**0.5 if conditioned else None
        return cls(llm.words(chosen), maps)

    @property
    def k(self) -> int:
        return self.vectors.shape[0]

    @property
    def c(self) -> int:
        """How many of the k vectors depend on the user."""
        return len(self.maps) if hasattr(self, "maps") else 0

    @property
    def numbers(self) -> int:
        """How many there are to learn."""
        return sum(p.numel() for p in self.parameters())

    def shuffled(self, seed: int) -> "SoftPrompt":
        """The same vectors in another order, the conditioned ones among themselves: does their order matter?"""
        rng = torch.Generator().manual_seed(stream_seed(seed, "shuffled P"))
        constant, last = (torch.randperm(n, generator=rng) for n in (self.k - self.c, self.c))
        order = torch.cat([constant, self.k - self.c + last]).to(self.vectors.device)
        maps = self.maps.detach()[last.to(order.device)] if self.c else None
        return SoftPrompt(self.vectors.detach()[order], maps).requires_grad_(False)

    def save(self, path: Path, llm: LanguageModel, writer: PromptWriter) -> None:
        """As safetensors that also name the LLM, its revision, the tokenizer and the templates, as one entry of JSON:
        several entries would be written in random order."""
        tensors = {name: p.detach().cpu().contiguous() for name, p in self.named_parameters()}
        save_file(tensors, path, metadata={METADATA: json.dumps(_identity(llm, writer), sort_keys=True)})

    @classmethod
    def load(cls, path: Path, llm: LanguageModel, writer: PromptWriter) -> "SoftPrompt":
        """Raises KitError if P was trained with another LLM, revision, tokenizer or template, or is damaged."""
        if not path.is_file():
            raise KitError(f"no soft prompt at {path}; run notebook 03 first")
        try:
            with safe_open(path, framework="pt") as file:
                _check(path, json.loads((file.metadata() or {}).get(METADATA, "{}")), _identity(llm, writer))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            raise KitError(f"{path} is damaged or no safetensors file; run notebook 03 again") from error
        _check_tensors(path, tensors, llm.d)
        return cls(tensors["vectors"], tensors.get("maps")).to(llm.device)


def _check_tensors(path: Path, tensors: Mapping[str, torch.Tensor], d: int) -> None:
    vectors, maps = tensors.get("vectors"), tensors.get("maps", torch.empty(0, d, d))
    fit = vectors is not None and vectors.ndim == 2 and vectors.shape[1] == d and maps.shape[1:] == (d, d)
    if not fit or len(maps) > len(vectors):
        raise KitError(f"{path} holds no soft prompt of width {d}; run notebook 03 again")
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise KitError(
            f"{path} holds numbers that are none (NaN or infinity): its training diverged; lower "
            "distill.learning_rate and run notebook 03 again"
        )


def _identity(llm: LanguageModel, writer: PromptWriter) -> dict[str, str]:
    return {**llm.identity, "template": template_hash(writer.templates)}


def _check(path: Path, saved: Mapping[str, str], now: Mapping[str, str]) -> None:
    for key, value in now.items():
        if saved.get(key) != value:
            raise KitError(
                f"{path} was trained with {key} '{saved.get(key)}', but this is '{value}'; "
                "a soft prompt only works with what it was trained with: run notebook 03 again"
            )
