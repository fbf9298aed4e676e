"""What a choice hangs on: the change in its log-probability when a piece of the prompt is left out."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from delrec_kit.interpret.pieces import leave_out, pieces_of
from delrec_kit.llm import Prompt

Score = Callable[[Sequence[Prompt], np.ndarray], np.ndarray]  # n prompts, (n,) whose they are -> (n, m) scores
COLUMNS = ["user", "name", "index"]


def choices(score: Score, prompts: Sequence[Prompt]) -> tuple[np.ndarray, np.ndarray]:
    """(U,) the candidate that each prompt puts first, and (U,) its log-probability among the candidates, in nats."""
    log_p = log_softmax(score(prompts, np.arange(len(prompts))).astype(float), axis=1)
    first = log_p.argmax(axis=1)
    return first, log_p[np.arange(len(first)), first]


def fall(score: Score, first: np.ndarray, whole: np.ndarray, cut: Sequence[Prompt], users: np.ndarray) -> np.ndarray:
    """(n,) by how many nats the log-probability of the choice falls in prompts ``cut`` from those of ``users`` (n,);
    first and whole: what ``choices`` gave for the uncut ones."""
    log_p = log_softmax(score(cut, users).astype(float), axis=1)
    return whole[users] - log_p[np.arange(len(users)), first[users]]


def leave_one_out(score: Score, prompts: Sequence[Prompt]) -> pd.DataFrame:
    """Of each piece of each prompt by how many nats the log-probability of the first choice falls without it.

    Returns:
        user (row of ``prompts``), name, index, effect; above 0 the piece speaks for the choice.
    """
    first, whole = choices(score, prompts)
    each = [(user, piece) for user, prompt in enumerate(prompts) for piece in pieces_of(prompt)]
    users = np.array([user for user, _ in each], dtype=np.int64)
    effect = fall(score, first, whole, [leave_out(prompts[u], [piece]) for u, piece in each], users)
    rows = [(user, piece.name, piece.index) for user, piece in each]
    return pd.DataFrame(rows, columns=COLUMNS).assign(effect=effect)
