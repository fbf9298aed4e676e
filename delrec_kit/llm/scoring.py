"""Scores of many users' candidates, in batches of prompts of like length."""

from collections.abc import Sequence

import numpy as np
import torch

from delrec_kit.llm.model import LanguageModel
from delrec_kit.llm.prompts import Prompt, PromptWriter
from delrec_kit.llm.soft_prompt import SoftPrompt
from delrec_kit.llm.titles import PackedTitles
from delrec_kit.progress import progress


@torch.no_grad()
def score_candidates(
    llm: LanguageModel,
    writer: PromptWriter,
    prompts: Sequence[Prompt],
    candidates: np.ndarray,
    soft: SoftPrompt | None = None,
    batch: int = 32,
    length_normalised: bool = False,
    what: str | None = None,
) -> np.ndarray:
    """(U, m) float32: the score of each title of ``candidates`` (U, m) under each of the U prompts.

    what: a name for the progress line; None shows none. No dropout: the model is put in eval mode for the while.
    """
    was_training = llm.model.training
    llm.model.eval()
    scores = np.empty(candidates.shape, dtype=np.float32)
    order = np.argsort([len(prompt.ids) for prompt in prompts], kind="stable")
    batches = [order[i : i + batch] for i in range(0, len(order), batch)]
    vectors = None if soft is None else soft.vectors
    for rows in progress(batches, what) if what else batches:
        titles = PackedTitles.build(writer.table, candidates[rows], llm.start).to(llm.device)
        asked = writer.batch([prompts[row] for row in rows]).to(llm.device)
        scores[rows] = llm.score_titles(asked, titles, vectors, length_normalised).cpu().numpy()
    llm.model.train(was_training)
    return scores
