"""P among the words and titles that the language model knows: what lies near, and whether that is nearer than chance.

A word that lies near a soft token is no translation of it: prompts of like effect can lie near quite different words,
and words of no sense at all (Khashabi et al., arXiv 2112.08348). Hence the random vectors beside.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from delrec_kit.llm import LanguageModel, PromptWriter, SoftPrompt

DRAWS = 200


@torch.no_grad()
def nearest_words(llm: LanguageModel, soft: SoftPrompt, top: int = 3, seed: int = 0) -> pd.DataFrame:
    """The words of the vocabulary nearest to each soft token.

    Returns:
        token, rank, word, cosine, chance (95th percentile of the best cosine of random directions: what is not above it
        lies near nothing).
    """
    words = F.normalize(llm.embeddings.weight.float(), dim=1)
    special = [i for i in llm.tokenizer.all_special_ids if i < len(words)]
    cosines = F.normalize(soft.vectors.float(), dim=1) @ words.T
    random = torch.randn(DRAWS, words.shape[1], generator=torch.Generator().manual_seed(seed)).to(words)
    best = F.normalize(random, dim=1) @ words.T
    for table in (cosines, best):
        table[:, special] = -1
        table[:, len(llm.tokenizer) :] = -1
    chance = float(best.amax(1).quantile(0.95))
    values, ids = cosines.topk(top, dim=1)
    rows = [
        (token, rank, llm.tokenizer.convert_ids_to_tokens(int(ids[token, rank])), float(values[token, rank]), chance)
        for token in range(soft.k)
        for rank in range(top)
    ]
    return pd.DataFrame(rows, columns=["token", "rank", "word", "cosine", "chance"])


@torch.no_grad()
def title_cosines(
    llm: LanguageModel, writer: PromptWriter, titles: Sequence[str], soft: SoftPrompt, top: int = 2, seed: int = 0
) -> pd.DataFrame:
    """Cosine of each soft token with the ``top`` titles nearest to it and to each other token, all taken about the mean
    of the titles' vectors (mean word embeddings).

    Returns:
        title, token, cosine, chance (95th percentile of the best cosine of random directions with any title).
    """
    words = llm.embeddings.weight.float()
    means = torch.stack([words[torch.from_numpy(ids).to(words.device)].mean(0) for ids in _titles(writer)])
    centre = means.mean(0)
    known = F.normalize(means - centre, dim=1)
    cosines = F.normalize(soft.vectors.float() - centre, dim=1) @ known.T
    random = torch.randn(DRAWS, words.shape[1], generator=torch.Generator().manual_seed(seed)).to(words)
    chance = float((F.normalize(random, dim=1) @ known.T).amax(1).quantile(0.95))
    near = dict.fromkeys(cosines.topk(top, dim=1).indices.flatten().tolist())
    rows = [(titles[item + 1], token, float(cosines[token, item]), chance) for item in near for token in range(soft.k)]
    return pd.DataFrame(rows, columns=["title", "token", "cosine", "chance"]).drop_duplicates(["title", "token"])


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
