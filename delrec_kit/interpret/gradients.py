"""Integrated gradients (arXiv 1703.01365, by captum): a choice's log-probability shared out among the prompt's pieces.

The baseline is the same prompt with one vector in the place of every token of a piece, the mean word of the vocabulary
or zeros; instruction text stays as it is. What the pieces get adds up to the difference between the two, up to the
convergence delta. Shares that change with the baseline say more about it than about the prompt.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from captum.attr import IntegratedGradients

from delrec_kit.interpret.attribution import COLUMNS
from delrec_kit.interpret.pieces import pieces_of
from delrec_kit.llm import LanguageModel, Prompt, PromptWriter, SoftPrompt
from delrec_kit.run.progress import progress

STEPS = 24
AT_ONCE = 8  # points of a path in one pass
MEAN_WORD, ZEROS = "mean word", "zeros"  # baselines


def integrated_gradients(
    llm: LanguageModel,
    writer: PromptWriter,
    prompts: Sequence[Prompt],
    candidates: np.ndarray,
    soft: SoftPrompt | None,
    steps: int = STEPS,
    baseline: str = MEAN_WORD,
    length_normalised: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each piece's share of the log-probability of the first choice among candidates (U, m), in nats.

    baseline: "mean word" or "zeros"; length_normalised: how titles are scored.

    Returns:
        user (row of ``prompts``), name, index, gradients; and user, total (prompt minus baseline) and delta (by how
        much the shares miss it), both in nats.
    """
    rows, sums = [], []
    for user in progress(range(len(prompts)), "integrated gradients"):
        prompt, items = prompts[user], candidates[user]
        asked = writer.batch([prompt]).to(llm.device)
        with torch.no_grad():
            whole = llm.embed(asked, None if soft is None else soft(asked)).float()
            pieces = pieces_of(prompt)
            base = whole.clone()
            instead = llm.embeddings.weight.float().mean(0) if baseline == MEAN_WORD else 0.0
            base[:, np.concatenate([piece.places for piece in pieces])] = instead
            first = int(_log_p(llm, writer, prompt, items, soft, whole, length_normalised)[0].argmax())

        def choice(embedded: torch.Tensor, prompt=prompt, items=items, first=first) -> torch.Tensor:
            return _log_p(llm, writer, prompt, items, soft, embedded, length_normalised)[:, first]

        shares, delta = IntegratedGradients(choice).attribute(
            whole, base, n_steps=steps, internal_batch_size=AT_ONCE, return_convergence_delta=True
        )
        each = shares[0].sum(-1).detach().cpu().numpy()
        rows += [(user, piece.name, piece.index, float(each[piece.places].sum())) for piece in pieces]
        sums.append((user, float(each.sum() - delta.item()), float(delta)))
    return pd.DataFrame(rows, columns=[*COLUMNS, "gradients"]), pd.DataFrame(sums, columns=["user", "total", "delta"])


def _log_p(
    llm, writer, prompt: Prompt, items: np.ndarray, soft, embedded: torch.Tensor, length_normalised: bool
) -> torch.Tensor:
    """(n, m) log-probabilities of the candidates where the prompt is read as ``embedded`` (n, L, d)."""
    several = [prompt] * len(embedded)
    asked = writer.batch(several).to(llm.device)
    titles = writer.pack(several, np.tile(items, (len(several), 1))).to(llm.device)
    with llm.reading_instead(embedded):
        scores = llm.score_titles(asked, titles, None if soft is None else soft(asked), length_normalised)
    return scores.log_softmax(-1)
