"""Integrated gradients (arXiv 1703.01365, by captum): a choice's log-probability shared out among the prompt's pieces.

The baseline is the same prompt with one vector in the place of every token of a piece, the mean word of the vocabulary
or zeros; instruction text stays as it is. What the pieces get adds up to the difference between the two, up to the
convergence delta. Shares that change with the baseline say more about it than about the prompt.
"""

from functools import partial

import numpy as np
import pandas as pd
import torch
from captum.attr import IntegratedGradients

from delrec_kit.interpret.question import COLUMNS, Question
from delrec_kit.run.progress import progress

STEPS = 24
AT_ONCE = 8  # points of a path in one pass
MEAN_WORD, ZEROS = "mean word", "zeros"  # baselines


def integrated_gradients(
    question: Question, steps: int = STEPS, baseline: str = MEAN_WORD
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each piece's share of the log-probability of the first choice, in nats. baseline: "mean word" or "zeros".

    Returns:
        user (row of the cases), name, index, gradients; and user, total (prompt minus baseline) and delta (by how much
        the shares miss it), both in nats.
    """
    recommender, llm = question.recommender, question.recommender.llm
    rows, sums = [], []
    instead = llm.words().mean(0) if baseline == MEAN_WORD else 0.0
    for user in progress(range(len(question.prompts)), "integrated gradients"):
        pieces, log_p = question.pieces[user], partial(_log_p, question, user)
        with torch.no_grad():
            prompt, _ = recommender.tensors([question.prompts[user]], question.items[[user]])
            whole = llm.embed(prompt, recommender.soft(prompt)).float()
            base = whole.clone()
            base[:, np.concatenate([piece.places for piece in pieces])] = instead
            first = int(log_p(whole)[0].argmax())
        choice = lambda embedded, log_p=log_p, first=first: log_p(embedded)[:, first]  # noqa: E731
        shares, delta = IntegratedGradients(choice).attribute(
            whole, base, n_steps=steps, internal_batch_size=AT_ONCE, return_convergence_delta=True
        )
        each = shares[0].sum(-1).detach().cpu().numpy()
        rows += [(user, piece.name, piece.index, float(each[piece.places].sum())) for piece in pieces]
        sums.append((user, float(each.sum() - delta.item()), float(delta)))
    return pd.DataFrame(rows, columns=[*COLUMNS, "gradients"]), pd.DataFrame(sums, columns=["user", "total", "delta"])


def _log_p(question: Question, user: int, embedded: torch.Tensor) -> torch.Tensor:
    """(n, m) log-probabilities of the user's candidates where the prompt is read as ``embedded`` (n, L, d)."""
    n, recommender = len(embedded), question.recommender
    asked = recommender.tensors([question.prompts[user]] * n, np.tile(question.items[user], (n, 1)))
    with recommender.llm.reading_instead(embedded):
        return recommender.logits(*asked).log_softmax(-1)
