"""The soft prompt P: k free vectors of the LLM's embedding width (DELRec section 4.1, arXiv 2406.11156)."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from delrec_kit.errors import KitError
from delrec_kit.llm.model import LanguageModel
from delrec_kit.llm.templates import template_hash


class SoftPrompt(nn.Module):
    """vectors: (k, d) float32."""

    def __init__(self, vectors: torch.Tensor):
        super().__init__()
        self.vectors = nn.Parameter(vectors.float())

    @classmethod
    def untrained(cls, llm: LanguageModel, k: int, seed: int) -> "SoftPrompt":
        """k embeddings of random words of the vocabulary: on the scale that the LLM is used to."""
        words = torch.tensor(sorted(set(range(len(llm.tokenizer))) - set(llm.tokenizer.all_special_ids)))
        chosen = words[torch.randint(len(words), (k,), generator=torch.Generator().manual_seed(seed))]
        return cls(llm.embeddings.weight.detach()[chosen.to(llm.device)].clone())

    @property
    def k(self) -> int:
        return self.vectors.shape[0]

    def save(self, path: Path, llm: LanguageModel) -> None:
        """As safetensors that also name the LLM, its revision, the tokenizer and the templates."""
        save_file({"vectors": self.vectors.detach().cpu()}, path, metadata=_identity(llm))

    @classmethod
    def load(cls, path: Path, llm: LanguageModel) -> "SoftPrompt":
        """Raises KitError if P was trained with another LLM, revision, tokenizer or template."""
        if not path.is_file():
            raise KitError(f"no soft prompt at {path}; run notebook 03 first")
        with safe_open(path, framework="pt") as file:
            _check(path, file.metadata() or {}, _identity(llm))
            return cls(file.get_tensor("vectors")).to(llm.device)


def _identity(llm: LanguageModel) -> dict[str, str]:
    return {**llm.identity, "template": template_hash()[:16]}


def _check(path: Path, saved: Mapping[str, str], now: Mapping[str, str]) -> None:
    for key, value in now.items():
        if saved.get(key) != value:
            raise KitError(
                f"{path} was trained with {key} '{saved.get(key)}', but this is '{value}'; "
                "a soft prompt only works with what it was trained with: run notebook 03 again"
            )
