"""P among the words and titles that the language model knows: what lies near, and whether that is nearer than chance.

A word that lies near a soft token is no translation of it: prompts of like effect can lie near quite different words,
and words of no sense at all (Khashabi et al., arXiv 2112.08348). Hence what chance gives stands beside: as P begins as
words, random directions would be too easy to beat, so each soft token is set beside random steps from where it began,
as long as the one that training took.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from delrec_kit.llm import LanguageModel, PromptWriter, SoftPrompt
from delrec_kit.settings.streams import stream_seed

DRAWS, SEED = 200, 0  # random steps a soft token


@torch.no_grad()
def nearest_words(llm: LanguageModel, P: SoftPrompt, untrained: SoftPrompt, top: int = 3) -> pd.DataFrame:
    """The words of the vocabulary nearest to each soft token.

    Returns:
        token, rank, word, cosine, began (whether the token began as that word), chance (95th percentile of the best
        cosine after random steps from where it began: what is not above it did not move towards any word).
    """
    words = F.normalize(llm.words(), dim=1)
    special = [i for i in llm.tokenizer.all_special_ids if i < len(words)]

    def near(vectors: torch.Tensor) -> torch.Tensor:
        cosines = F.normalize(vectors.float(), dim=1) @ words.T
        cosines[:, special] = -1
        cosines[:, len(llm.tokenizer) :] = -1
        return cosines

    values, ids = near(P.vectors).topk(top, dim=1)
    first = near(untrained.vectors).argmax(1).tolist()
    rows = [
        (token, rank, llm.tokenizer.convert_ids_to_tokens(int(word)), float(value), int(word) == first[token], limit)
        for token, limit in enumerate(_chance(near, P, untrained))
        for rank, (word, value) in enumerate(zip(ids[token], values[token], strict=True))
    ]
    return pd.DataFrame(rows, columns=["token", "rank", "word", "cosine", "began", "chance"])


@torch.no_grad()
def title_cosines(
    llm: LanguageModel, writer: PromptWriter, titles: Sequence[str], P: SoftPrompt, untrained: SoftPrompt, top: int = 2
) -> pd.DataFrame:
    """Cosine of each soft token with the ``top`` titles nearest to it and to each other token, all taken about the mean
    of the titles' vectors (mean word embeddings). titles: of the catalogue, by item.

    Returns:
        title, token, cosine, chance (95th percentile of the best cosine with any title after random steps from where
        the token began).
    """
    means = _title_means(llm, writer)
    centre = means.mean(0)
    known = F.normalize(means - centre, dim=1)

    def near(vectors: torch.Tensor) -> torch.Tensor:
        return F.normalize(vectors.float() - centre, dim=1) @ known.T

    cosines, chance = near(P.vectors), _chance(near, P, untrained)
    shown = dict.fromkeys(cosines.topk(min(top, len(known)), dim=1).indices.flatten().tolist())
    rows = [
        (titles[n + 1], token, float(cosines[token, n]), limit) for n in shown for token, limit in enumerate(chance)
    ]
    return pd.DataFrame(rows, columns=["title", "token", "cosine", "chance"]).drop_duplicates(["title", "token"])


@torch.no_grad()
def projection(
    llm: LanguageModel, writer: PromptWriter, P: SoftPrompt, untrained: SoftPrompt
) -> tuple[pd.DataFrame, float]:
    """Titles' mean word vectors, P before training and P after, on the two directions in which the titles differ most.

    Returns:
        what ("title", "untrained P", "distilled P"), name, x, y; and the share of the titles' variance in the two.
    """
    means = _title_means(llm, writer).cpu().numpy()
    centre = means.mean(0)
    titles = means - centre
    _, spread, axes = np.linalg.svd(titles, full_matrices=False)
    rows = [("title", str(n + 1), *place) for n, place in enumerate(titles @ axes[:2].T)]
    for what, prompt in {"untrained P": untrained, "distilled P": P}.items():
        places = (prompt.vectors.float().cpu().numpy() - centre) @ axes[:2].T
        rows += [(what, f"P{n}", *place) for n, place in enumerate(places)]
    share = float((spread[:2] ** 2).sum() / (spread**2).sum())
    return pd.DataFrame(rows, columns=["what", "name", "x", "y"]), share


def _title_means(llm: LanguageModel, writer: PromptWriter) -> torch.Tensor:
    """(N, d) mean word embedding of each title of the catalogue."""
    words, table = llm.words(), writer.table
    titles = [torch.from_numpy(table[item]).to(words.device) for item in range(1, len(table.lengths))]
    return torch.stack([words[ids].mean(0) for ids in titles])


def _chance(near: Callable[[torch.Tensor], torch.Tensor], P: SoftPrompt, untrained: SoftPrompt) -> list[float]:
    """Of each soft token the 95th percentile of the best of ``near``, cosines (n, things) of vectors (n, d), after
    random steps from where the token began, as long as its own."""
    rng, found = torch.Generator().manual_seed(stream_seed(SEED, "random steps")), []
    for start, stop in zip(untrained.vectors, P.vectors, strict=True):
        random = F.normalize(torch.randn(DRAWS, len(start), generator=rng).to(start), dim=1)
        found.append(float(near(start + (stop - start).norm() * random).amax(1).quantile(0.95)))
    return found
