"""A language model that ranks items for people: one more ``Scorer``, whatever stands inside."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from delrec_kit.data import Cases
from delrec_kit.llm.families.model import LanguageModel
from delrec_kit.llm.prompts import Prompt, PromptBatch, PromptWriter
from delrec_kit.llm.soft_prompt import SoftPrompt
from delrec_kit.llm.titles import PackedTitles
from delrec_kit.run.processes import is_main, share, together
from delrec_kit.run.progress import progress
from delrec_kit.run.trouble import Halving

BATCH = 32  # prompts read at once
CATALOGUE_BATCH = 4  # prompts read at once before the titles of a whole catalogue follow
CHUNK_TOKENS = 512  # title tokens that follow a prompt at a time


@dataclass(frozen=True, eq=False)
class LlmRecommender:
    """A language model, what writes its prompts, P, and how it asks for the next item (DELRec, arXiv 2406.11156).

    P: the soft prompt, None where the prompt has none; history: titles that a prompt lists at most, 0 for none;
    pattern: words in the place of P; suggests: cases -> (U, h) items that the prompt names as a recommender's
    suggestions; expects: cases -> (U, d) what the teacher expects, for a conditioned P; prior (N+1,): added to the
    items' scores; weights: of what the model says of a title, and what the prior was made with, see ``calibration``;
    name: for progress lines, none without it.
    """

    llm: LanguageModel
    writer: PromptWriter
    P: SoftPrompt | None = None
    history: int = 10
    pattern: str | None = None
    suggests: Callable[[Cases], np.ndarray] | None = None
    expects: Callable[[Cases], np.ndarray] | None = None
    prior: torch.Tensor | None = None
    weights: tuple[float, float, float] | None = None
    name: str = ""

    def prompts(self, cases: Cases, items: np.ndarray) -> list[Prompt]:
        """The U prompts that ask to rank items (U, m) for the cases; ``items`` are listed where the model's kind is
        asked with a list."""
        suggested = self.suggests(cases) if self.suggests else np.empty((len(cases), 0), dtype=np.int64)
        expected = self.expects(cases) if self.expects and self.P is not None else [None] * len(cases)
        rows = zip(cases.history, items, suggested, expected, strict=True)
        return [self.ask(history, row, first, vector) for history, row, first, vector in rows]

    def ask(
        self,
        history: Sequence[int],
        items: Sequence[int],
        suggested: Sequence[int] = (),
        expected: np.ndarray | None = None,
    ) -> Prompt:
        """The prompt of one person; expected (d,): what the teacher expects next."""
        slots = {
            "history": history[-self.history :] if self.history else (),
            "candidates": self.listed(items),
            "teacher": suggested,
        }
        return self.writer.write("final", slots, self.k, self.pattern, expected)

    def listed(self, items: Sequence[int]) -> Sequence[int]:
        """Those of ``items``, which are to be ranked, that a prompt names: all or none."""
        return items if self.llm.lists else ()

    @property
    def scale(self) -> float:
        """Of what the model says of a title."""
        return 1.0 if self.weights is None else self.weights[0]

    @property
    def k(self) -> int:
        """Soft tokens in a prompt."""
        return 0 if self.P is None else self.P.k

    def scores(self, cases: Cases, items: np.ndarray | None = None) -> np.ndarray:
        """(U, m) float32 scores of items (U, m); without items, (U, N+1) of the whole catalogue, which no prompt
        lists, column 0 minus infinity. Higher is better."""
        what = f"scoring {self.name}" if self.name else None
        if items is None:
            return self._catalogue(self.prompts(cases, np.empty((len(cases), 0), dtype=np.int64)), what)
        return self.score_prompts(self.prompts(cases, items), items, what)

    @torch.no_grad()
    def score_prompts(self, prompts: Sequence[Prompt], items: np.ndarray, what: str | None = None) -> np.ndarray:
        """(U, m) float32: the score of each of items (U, m) under each of the U prompts, without dropout.

        Several processes share the prompts and all get all scores.
        """
        scores, mine = np.empty(items.shape, dtype=np.float32), share(len(prompts))
        halving = Halving(what or "scoring")

        def work(rows: np.ndarray) -> None:
            scores[rows] = self.logits(*self.tensors([prompts[row] for row in rows], items[rows])).cpu().numpy()

        with self._answering():
            for part in _batches([prompts[row] for row in mine], BATCH, what):
                halving(work, mine[part])
        return together(len(prompts), mine, scores[mine])

    def tensors(self, prompts: Sequence[Prompt], items: np.ndarray) -> tuple[PromptBatch, PackedTitles]:
        """B prompts and the titles of items (B, m) behind them, on the model's device."""
        device = self.llm.device
        self.llm.check_length(max(len(prompt.ids) for prompt in prompts) + self.writer.longest_answer(items))
        return self.writer.batch(prompts).to(device), self.writer.pack(prompts, items).to(device)

    def logits(self, prompts: PromptBatch, titles: PackedTitles) -> torch.Tensor:
        """(B, m) float32 scores with gradients: what the loss and every ranking are taken from."""
        return self._with_prior(self.llm.score_titles(prompts, titles, self.soft(prompts)), titles)

    def soft(self, prompts: PromptBatch) -> torch.Tensor | None:
        """P for these prompts, (k, d) or (B, k, d)."""
        return None if self.P is None else self.P(prompts)

    def attention(self, prompts: PromptBatch, titles: PackedTitles) -> dict[str, torch.Tensor]:
        """Attention weights by kind, see ``LanguageModel.attentions``."""
        return self.llm.attentions(prompts, titles, self.soft(prompts))

    @torch.no_grad()
    def _catalogue(self, prompts: Sequence[Prompt], what: str | None) -> np.ndarray:
        """A prompt is read once; the titles follow in chunks that share what was read, so that memory does not grow
        with the catalogue. Equal titles are scored once."""
        if self.writer.labels is not None:
            raise ValueError("the index verbalizer scores the candidates that a prompt lists, not a catalogue")
        canonical, chunks = self.writer.answers.canonical, list(_chunks(self.writer))
        scores = np.full((len(prompts), len(canonical)), -np.inf, dtype=np.float32)
        halving = Halving(what or "scoring")

        def work(rows: np.ndarray) -> None:
            chosen = [prompts[row] for row in rows]
            self.llm.check_length(len(chosen[-1].ids) + self.writer.longest_answer())
            asked = self.writer.batch(chosen).to(self.llm.device)
            reading = self.llm.read(asked, self.soft(asked), reuse=True)
            for items in chunks:
                titles = self.writer.pack(chosen, np.tile(items, (len(rows), 1))).to(self.llm.device)
                scores[rows[:, None], items] = self._with_prior(self.llm.score(reading, titles), titles).cpu().numpy()

        with self._answering():
            for rows in _batches(prompts, CATALOGUE_BATCH, what):
                halving(work, rows)
        return scores[:, canonical]

    def _with_prior(self, scores: torch.Tensor, titles: PackedTitles) -> torch.Tensor:
        scores = scores if self.scale == 1.0 else self.scale * scores
        return scores if self.prior is None else scores + self.prior[titles.items]

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Without dropout."""
        was_training = self.llm.model.training
        self.llm.model.eval()
        try:
            yield
        finally:
            self.llm.model.train(was_training)


def _batches(prompts: Sequence[Prompt], batch: int, what: str | None) -> Iterator[np.ndarray]:
    """Rows of ``prompts`` of like length."""
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
