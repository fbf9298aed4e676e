"""Where the language model looks: attention mass by prompt segment."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch

from delrec_kit.llm import LanguageModel, Prompt, PromptWriter, SoftPrompt
from delrec_kit.progress import progress


def attention_mass(
    llm: LanguageModel,
    writer: PromptWriter,
    prompts: Sequence[Prompt],
    candidates: np.ndarray,
    soft: SoftPrompt | None,
    batch: int = 16,
) -> pd.DataFrame:
    """Mean attention that reaches each segment of the prompt, for each kind, layer and head.

    "cross" is looked at from the title tokens that are being scored, "encoder" from all prompt tokens. Columns: kind,
    layer, head, segment, mass (sums to 1 over segments), tokens (mean length of the segment), lift: mass per token
    over the mean mass per token of the prompt, so that 1 is what even attention would give.
    """
    names = list(dict.fromkeys(s.name for prompt in prompts for s in prompt.segments))
    sums: dict[str, torch.Tensor] = {}
    tokens = np.zeros(len(names))
    for _, chosen, kinds in attended(llm, writer, prompts, candidates, soft, batch):
        length = next(iter(kinds.values()))[0].shape[-1]
        member = torch.from_numpy(_membership(chosen, names, length)).to(llm.device)
        tokens += member.sum(dim=(0, 1)).cpu().numpy()
        for kind, (weights, asks) in kinds.items():
            mass = torch.einsum("nbhqk,bq,bks->nbhs", weights, asks, member)
            mass = (mass / mass.sum(-1, keepdim=True)).sum(1)  # what titles look at in themselves does not count
            sums[kind] = sums.get(kind, 0) + mass.cpu()
    tokens /= len(prompts)
    tables = [_table(kind, total / len(prompts), names, tokens) for kind, total in sums.items()]
    return pd.concat(tables, ignore_index=True)


def attended(
    llm: LanguageModel,
    writer: PromptWriter,
    prompts: Sequence[Prompt],
    candidates: np.ndarray,
    soft: SoftPrompt | None,
    batch: int,
) -> Iterator[tuple[int, Sequence[Prompt], dict[str, tuple[torch.Tensor, torch.Tensor]]]]:
    """Batch by batch: the row of its first prompt, the prompts, and by kind the attention weights (layers, B, heads, Q,
    L) and the share (B, Q) of each token that looks: all prompt tokens alike, or all title tokens."""
    for start in progress(range(0, len(prompts), batch), "attention"):
        chosen = prompts[start : start + batch]
        titles = writer.pack(chosen, candidates[start : start + batch]).to(llm.device)
        asked = writer.batch(chosen).to(llm.device)
        looks = {"encoder": asked.mask.bool(), "cross": titles.block >= 0}
        weights = llm.attentions(asked, titles, None if soft is None else soft(asked))
        yield (
            start,
            chosen,
            {kind: (weights[kind], looks[kind].float() / looks[kind].sum(1, keepdim=True)) for kind in weights},
        )


def _membership(prompts: Sequence[Prompt], names: list[str], length: int) -> np.ndarray:
    """(B, L, segments) 1 where a token belongs to a segment."""
    member = np.zeros((len(prompts), length, len(names)), dtype=np.float32)
    for row, prompt in enumerate(prompts):
        for segment in prompt.segments:
            member[row, segment.start : segment.stop, names.index(segment.name)] = 1
    return member


def _table(kind: str, mass: torch.Tensor, names: list[str], tokens: np.ndarray) -> pd.DataFrame:
    layers, heads, _ = mass.shape
    index = pd.MultiIndex.from_product([range(layers), range(heads), names], names=["layer", "head", "segment"])
    table = pd.DataFrame({"mass": mass.numpy().ravel()}, index=index).reset_index()
    length = table["segment"].map(dict(zip(names, tokens, strict=True)))
    return table.assign(kind=kind, tokens=length, lift=table["mass"] / length * tokens.sum())
