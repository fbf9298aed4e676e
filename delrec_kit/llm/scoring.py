"""Scores of many users' candidates, or of the whole catalogue, in batches of prompts of like length."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from delrec_kit.llm.families.model import LanguageModel
from delrec_kit.llm.prompts import Prompt, PromptWriter
from delrec_kit.llm.soft_prompt import SoftPrompt
from delrec_kit.run.processes import is_main, share, together
from delrec_kit.run.progress import progress

CHUNK_TOKENS = 512  # title tokens that the whole-catalogue scorer puts behind a prompt at a time


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
    Several processes share the users and all get all scores.
    """
    was_training = llm.model.training
    llm.model.eval()
    scores = np.empty(candidates.shape, dtype=np.float32)
    mine = share(len(prompts))
    for part in _batches([prompts[row] for row in mine], batch, what):
        rows = mine[part]
        chosen = [prompts[row] for row in rows]
        titles = writer.pack(chosen, candidates[rows]).to(llm.device)
        asked = writer.batch(chosen).to(llm.device)
        P = None if soft is None else soft(asked)
        scores[rows] = llm.score_titles(asked, titles, P, length_normalised).cpu().numpy()
    llm.model.train(was_training)
    return together(len(prompts), mine, scores[mine])


@torch.no_grad()
def score_catalogue(
    llm: LanguageModel,
    writer: PromptWriter,
    prompts: Sequence[Prompt],
    soft: SoftPrompt | None = None,
    batch: int = 4,
    length_normalised: bool = False,
    what: str | None = None,
) -> np.ndarray:
    """(U, N+1) float32: the score of every title of the catalogue under each of the U prompts; column 0 is -inf.

    A prompt is read once; the titles follow in chunks of about 512 tokens that share what was read, so that memory
    does not grow with the catalogue. Equal titles are scored once.
    """
    if writer.labels is not None:
        raise ValueError("the index verbalizer scores the candidates that a prompt lists, not a catalogue")
    was_training = llm.model.training
    llm.model.eval()
    canonical = writer.answers.canonical
    scores = np.full((len(prompts), len(canonical)), -np.inf, dtype=np.float32)
    chunks = list(_chunks(writer))
    for rows in _batches(prompts, batch, what):
        chosen = [prompts[row] for row in rows]
        asked = writer.batch(chosen).to(llm.device)
        reading = llm.read(asked, None if soft is None else soft(asked), reuse=True)
        for items in chunks:
            titles = writer.pack(chosen, np.tile(items, (len(rows), 1))).to(llm.device)
            scores[rows[:, None], items] = llm.score(reading, titles, length_normalised).cpu().numpy()
    llm.model.train(was_training)
    return scores[:, canonical]


def _batches(prompts: Sequence[Prompt], batch: int, what: str | None) -> Iterator[np.ndarray]:
    order = np.argsort([len(prompt.ids) for prompt in prompts], kind="stable")
    batches = [order[i : i + batch] for i in range(0, len(order), batch)]
    yield from progress(batches, what) if what and is_main() else batches


def _chunks(writer: PromptWriter) -> Iterator[np.ndarray]:
    """Items by length of title, about ``CHUNK_TOKENS`` title tokens at a time."""
    table = writer.answers
    items = np.flatnonzero(table.canonical == np.arange(len(table.canonical)))[1:]
    items = items[np.argsort(table.lengths[items], kind="stable")]
    ends = np.cumsum(table.lengths[items] + 1)
    yield from np.split(items, np.flatnonzero(np.diff(ends // CHUNK_TOKENS)) + 1)
