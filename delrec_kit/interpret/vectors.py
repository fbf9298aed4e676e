"""P among the words and titles that the language model knows: what lies near, and whether that is nearer than chance.

A word that lies near a soft token is no translation of it: prompts of like effect can lie near quite different words,
and words of no sense at all (Khashabi et al., arXiv 2112.08348). Hence the random vectors beside.
"""

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
def projection(
    llm: LanguageModel, writer: PromptWriter, soft: SoftPrompt, untrained: SoftPrompt
) -> tuple[pd.DataFrame, float]:
    """Titles' mean word vectors, P before training and P after, on the two directions in which the titles differ most.

    Returns:
        what ("title", "untrained P", "distilled P"), name, x, y; and the share of the titles' variance in the two.
    """
    words = llm.embeddings.weight.float().cpu().numpy()
    means = np.stack([words[writer.table[item]].mean(0) for item in range(1, len(writer.table.lengths))])
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
