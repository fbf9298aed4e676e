"""What the language-model stages of a run work with: its data, model, prompts, examples and validation."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd

from delrec_kit.config import TrainConfig
from delrec_kit.data import Cases, PreparedData
from delrec_kit.llm import LanguageModel, Prompt, PromptWriter, SoftPrompt, load_llm, score_candidates
from delrec_kit.methods import METHODS, Method
from delrec_kit.processes import device
from delrec_kit.runs import RunDirectory
from delrec_kit.training import Ask, ExampleWriter, Lessons, Validation

FOLDERS = {"untrained": "untrained.safetensors", "distilled": "soft_prompt.safetensors"}


@dataclass(frozen=True)
class Workbench:
    run: RunDirectory
    data: PreparedData

    def open_llm(self) -> tuple[LanguageModel, PromptWriter]:
        """The run's frozen language model, and what writes its prompts."""
        settings = self.run.config.llm
        llm = load_llm(settings, device())
        titles = self.data.split.titles
        writer = PromptWriter(
            llm.tokenizer, self.data.domain, titles, format=llm.format, verbalizer=settings.verbalizer
        )
        llm.study(writer.table)
        return llm, writer

    def soft_prompt(self, method: Method, llm: LanguageModel) -> SoftPrompt | None:
        """The P that ``method`` has in its prompt, frozen; None where it has none."""
        if method.prompt not in FOLDERS:
            return None
        path = self.run.require("prompt") / FOLDERS[method.prompt]
        return SoftPrompt.load(path, llm).requires_grad_(False)

    def ask(self, method: Method) -> Ask:
        return Ask(method, self.run.config.llm.history, self.run.config.distill.k)

    def example_writer(self, writer: PromptWriter) -> ExampleWriter:
        split, config = self.data.split, self.run.config
        return ExampleWriter(writer, split.train, split.consumed(), config.data.candidates, config.llm.history)

    def lessons(self, writer: PromptWriter) -> Lessons:
        return Lessons(self.example_writer(writer), self.lists, self.run.config.distill, self.run.config.seed)

    @cached_property
    def lists(self) -> pd.DataFrame:
        """The teacher's lists on training prefixes, from teachers that have not seen the user."""
        return pd.read_parquet(self.run.folder("teacher") / "distillation.parquet")

    def teacher_table(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """(U, m) the teacher's scores of the ``valid`` or ``test`` candidates, and (U, h) its first items."""
        table = pd.read_parquet(self.run.folder("teacher") / f"{part}.parquet")
        return np.stack(table["candidate_scores"]), np.stack(table["top_items"])[:, : self.run.config.distill.h]

    def cases(self, part: str) -> tuple[Cases, np.ndarray]:
        """The ``valid`` or ``test`` cases and their candidates (U, m)."""
        return getattr(self.data.split, part), getattr(self.data, f"{part}_candidates")

    def measure(
        self, llm: LanguageModel, writer: PromptWriter, soft: SoftPrompt | None, method: Method, config: TrainConfig
    ) -> Callable[[], dict[str, float]]:
        """How good ``method`` is on ``valid_users`` validation cases, asked whenever a training wants to know."""
        cases, candidates = self.cases("valid")
        validation = Validation.sample(
            cases, candidates, *self.teacher_table("valid"), config.valid_users, self.run.config.seed
        )
        return partial(validation.measure, llm, writer, soft, self.ask(method), self.run.config.llm.length_normalised)

    def prompts(self, writer: PromptWriter, method: Method, part: str, rows: slice = slice(None)) -> list[Prompt]:
        cases, candidates = self.cases(part)
        histories = [cases.history[u] for u in range(len(cases))[rows]]
        return self.ask(method).prompts(writer, histories, candidates[rows], self.teacher_table(part)[1][rows])

    def score(
        self, llm: LanguageModel, writer: PromptWriter, soft: SoftPrompt | None, name: str, part: str
    ) -> np.ndarray:
        """(U, m) scores of the ``valid`` or ``test`` candidates by the method ``name``, whose adapter ``llm`` holds."""
        prompts, config = self.prompts(writer, METHODS[name], part), self.run.config
        return score_candidates(
            llm,
            writer,
            prompts,
            self.cases(part)[1],
            soft,
            config.evaluation.batch,
            config.llm.length_normalised,
            what=f"scoring {name}" + (" on validation" if part == "valid" else ""),
        )
