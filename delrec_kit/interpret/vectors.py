"""P among the words and titles that the language model knows: what lies near, and whether that is nearer than chance.

A word that lies near a soft token is no translation of it: prompts of like effect can lie near quite different words,
and words of no sense at all (Khashabi et al., arXiv 2112.08348). Hence what chance gives stands beside: as P begins as
words, random directions would be too easy to beat, so each soft token is set beside random steps from where it began,
as long as the one that training took.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from delrec_kit.llm import LanguageModel, PromptWriter, SoftPrompt

DRAWS = 200


@torch.no_grad()
def nearest_words(
    llm: LanguageModel, soft: SoftPrompt, untrained: SoftPrompt, top: int = 3, seed: int = 0
) -> pd.DataFrame:
    """The words of the vocabulary nearest to each soft token.

    Returns:
        token, rank, word, cosine, began (whether the token began as that word), chance (95th percentile of the best
        cosine after random steps from where it began: what is not above it did not move towards any word).
    """
    words = F.normalize(llm.embeddings.weight.float(), dim=1)
    special = [i for i in llm.tokenizer.all_special_ids if i < len(words)]

    def near(vectors: torch.Tensor) -> torch.Tensor:
        cosines = F.normalize(vectors.float(), dim=1) @ words.T
        cosines[:, special] = -1
        cosines[:, len(llm.tokenizer) :] = -1
        return cosines

    chance = [float(near(steps).amax(1).quantile(0.95)) for steps in _random_steps(soft, untrained, seed)]
    values, ids = near(soft.vectors).topk(top, dim=1)
    first = near(untrained.vectors).argmax(1).tolist()
    rows = [
        (token, rank, llm.tokenizer.convert_ids_to_tokens(int(word)), float(value), int(word) == first[token], limit)
        for token, limit in enumerate(chance)
        for rank, (word, value) in enumerate(zip(ids[token], values[token], strict=True))
    ]
    return pd.DataFrame(rows, columns=["token", "rank", "word", "cosine", "began", "chance"])


@torch.no_grad()
def title_cosines(
    llm: LanguageModel,
    writer: PromptWriter,
    titles: Sequence[str],
    soft: SoftPrompt,
    untrained: SoftPrompt,
    top: int = 2,
    seed: int = 0,
) -> pd.DataFrame:
    """Cosine of each soft token with the ``top`` titles nearest to it and to each other token, all taken about the mean
    of the titles' vectors (mean word embeddings).

    Returns:
        title, token, cosine, chance (95th percentile of the best cosine with any title after random steps from where
        the token began).
    """
    words = llm.embeddings.weight.float()
    means = torch.stack([words[torch.from_numpy(ids).to(words.device)].mean(0) for ids in _titles(writer)])
    centre = means.mean(0)
    known = F.normalize(means - centre, dim=1)

    def near(vectors: torch.Tensor) -> torch.Tensor:
        return F.normalize(vectors.float() - centre, dim=1) @ known.T

    cosines = near(soft.vectors)
    chance = [float(near(steps).amax(1).quantile(0.95)) for steps in _random_steps(soft, untrained, seed)]
    shown = dict.fromkeys(cosines.topk(min(top, len(known)), dim=1).indices.flatten().tolist())
    rows = [
        (titles[item + 1], token, float(cosines[token, item]), limit)
        for item in shown
        for token, limit in enumerate(chance)
    ]
    return pd.DataFrame(rows, columns=["title", "token", "cosine", "chance"]).drop_duplicates(["title", "token"])


def _random_steps(soft: SoftPrompt, untrained: SoftPrompt, seed: int) -> Iterator[torch.Tensor]:
    """For each soft token (DRAWS, d): where random steps as long as its own lead from where it began."""
    rng = torch.Generator().manual_seed(seed)
    for start, stop in zip(untrained.vectors, soft.vectors, strict=True):
        random = F.normalize(torch.randn(DRAWS, len(start), generator=rng).to(start), dim=1)
        yield start + (stop - start).norm() * random


def _titles(writer: PromptWriter) -> list[np.ndarray]:
    """Tokens of each title of the catalogue."""
    return [writer.table[item] for item in range(1, len(writer.table.lengths))]


@torch.no_grad()
def projection(
    llm: LanguageModel, writer: PromptWriter, soft: SoftPrompt, untrained: SoftPrompt
) -> tuple[pd.DataFrame, float]:
    """Titles' mean word vectors, P before training and P after, on the two directions in which the titles differ most.

    Returns:
        what ("title", "untrained P", "distilled P"), name, x, y; and the share of the titles' variance in the two.
    """
    words = llm.embeddings.weight.float().cpu().numpy()
    means = np.stack([words[ids].mean(0) for ids in _titles(writer)])
    centre = means.mean(0)
    titles = means - centre
    _, spread, axes = np.linalg.svd(titles, full_matrices=False)
    parts = {"untrained P": untrained, "distilled P": soft}
    rows = [("title", str(n + 1), *place) for n, place in enumerate(titles @ axes[:2].T)]
    for what, prompt in parts.items():
        places = (prompt.vectors.float().cpu().numpy() - centre) @ axes[:2].T
        rows += [(what, f"P{n + 1}", *place) for n, place in enumerate(places)]
    share = float((spread[:2] ** 2).sum() / (spread**2).sum())
    return pd.DataFrame(rows, columns=["what", "name", "x", "y"]), share
