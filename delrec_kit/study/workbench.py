"""What the language-model stages of a run work with: its data, model, prompts, examples and validation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd
import torch

from delrec_kit.data import Cases, PreparedData, Ragged
from delrec_kit.llm import (
    LanguageModel,
    Prompt,
    PromptWriter,
    SoftPrompt,
    load_llm,
    popularity_prior,
    score_candidates,
    score_catalogue,
)
from delrec_kit.run.directory import RunDirectory
from delrec_kit.run.processes import device
from delrec_kit.settings.config import TrainConfig
from delrec_kit.settings.methods import METHODS, Method
from delrec_kit.teachers import CrossFitted, Markov, Popularity, Scorer, Teacher, load_teacher
from delrec_kit.training import Ask, ExampleWriter, Expectations, Lessons, Validation, load_adapter

OWN_PROMPT = "soft_prompt.safetensors"  # beside an adapter that learned together with its P
FOLDERS = {"untrained": "untrained.safetensors", "distilled": "soft_prompt.safetensors"}
FOLDERS["shuffled"] = FOLDERS["distilled"]


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
        if settings.prior == "popularity":
            llm.prior = torch.from_numpy(popularity_prior(self.data.split.train, writer.table.canonical)).to(llm.device)
        if self.run.config.distill.conditioned:
            writer.vectors = llm.title_vectors(writer.table).cpu().numpy()
        return llm, writer

    def soft_prompt(self, method: Method, llm: LanguageModel) -> SoftPrompt | None:
        """The P that ``method`` has in its prompt, frozen; None where it has none."""
        if method.prompt not in FOLDERS:
            return None
        path = self.run.require("prompt") / FOLDERS[method.prompt]
        soft = SoftPrompt.load(path, llm).requires_grad_(False)
        return soft.shuffled(self.run.config.seed) if method.prompt == "shuffled" else soft

    def open_method(self, name: str) -> tuple[LanguageModel, PromptWriter, SoftPrompt | None]:
        """The language model as the method ``name`` has it, with its adapter and its P."""
        method = METHODS[name]
        llm, writer = self.open_llm()
        soft = self.soft_prompt(method, llm)
        if method.lessons:
            folder = self.run.require("adapter") / name
            if method.learns_prompt:
                soft = SoftPrompt.load(folder / OWN_PROMPT, llm).requires_grad_(False)
            load_adapter(llm, folder)
        return llm, writer, soft

    def ask(self, method: Method) -> Ask:
        config = self.run.config
        return Ask(method, config.llm.history, config.distill.k, config.llm.among == "listed")

    def example_writer(self, writer: PromptWriter) -> ExampleWriter:
        split, config = self.data.split, self.run.config
        m, n, listed = config.data.candidates, config.llm.history, config.llm.among == "listed"
        unseeing = None if listed else self._unseeing
        return ExampleWriter(writer, split.train, self.consumed, m, n, self.expectations(writer), listed, unseeing)

    def expectations(self, writer: PromptWriter) -> Expectations | None:
        """What the teacher expects of whom, in the title vectors that ``writer`` holds; None where P is constant."""
        if writer.vectors is None:
            return None
        return Expectations(self.teacher, self._unseeing, self.data.split.train, writer.vectors)

    @cached_property
    def _unseeing(self) -> CrossFitted:
        """Speaks of training sequences, each by a teacher that has not seen the user."""
        return CrossFitted.load(self.run.folder("teacher"))

    def _states(self, writer: PromptWriter, method: Method, part: str) -> np.ndarray | None:
        """(U, d) for each case, kept for the next method that asks."""
        if writer.vectors is None or not method.soft:
            return None
        if part not in self._known:
            self._known[part] = self.expectations(writer).of_cases(getattr(self.data.split, part))
        return self._known[part]

    @cached_property
    def _known(self) -> dict[str, np.ndarray]:
        return {}

    def lessons(self, writer: PromptWriter) -> Lessons:
        return Lessons(self.example_writer(writer), self.lists, self.run.config.distill, self.run.config.seed)

    @cached_property
    def lists(self) -> pd.DataFrame:
        """The teacher's lists on training prefixes, from teachers that have not seen the user."""
        return pd.read_parquet(self.run.folder("teacher") / "distillation.parquet")

    def ranked(self, part: str, protocol: str = "candidates") -> tuple[Cases, np.ndarray, np.ndarray]:
        """The ``valid`` or ``test`` cases, the items (U, m) that are ranked for each, and the teacher's scores of them,
        as the run's folders hold them: the candidate sets, or for ``rerank`` the teacher's first ``evaluation.rerank``.
        """
        table, cases = self._teacher[part], getattr(self.data.split, part)
        if protocol == "candidates":
            return cases, getattr(self.data, f"{part}_candidates"), np.stack(table["candidate_scores"])
        N = self.run.config.evaluation.rerank
        return cases, np.stack(table["top_items"])[:, :N], np.stack(table["top_scores"])[:, :N]

    @cached_property
    def baselines(self) -> dict[str, Scorer]:
        """What a teacher has to beat, and only counts."""
        return {"popularity": Popularity(self.data.split), "markov": Markov(self.data.split)}

    @cached_property
    def teacher(self) -> Teacher:
        return load_teacher(self.run.folder("teacher"))

    def favourites(self, part: str) -> np.ndarray:
        """(U, h) the teacher's first items for each case."""
        return np.stack(self._teacher[part]["top_items"])[:, : self.run.config.distill.h]

    @cached_property
    def _teacher(self) -> dict[str, pd.DataFrame]:
        return {part: pd.read_parquet(self.run.folder("teacher") / f"{part}.parquet") for part in ("valid", "test")}

    @cached_property
    def consumed(self) -> Ragged:
        """What each user ever had, which is no distractor."""
        return self.data.split.consumed()

    def measure(
        self, llm: LanguageModel, writer: PromptWriter, soft: SoftPrompt | None, method: Method, config: TrainConfig
    ) -> Callable[[], dict[str, float]]:
        """How good ``method`` is on ``valid_users`` validation cases, asked whenever a training wants to know."""
        validation = Validation.sample(
            *self.ranked("valid"),
            self.favourites("valid"),
            config.valid_users,
            self.run.config.seed,
            self._states(writer, method, "valid"),
        )
        return partial(validation.measure, llm, writer, soft, self.ask(method), self.run.config.llm.length_normalised)

    def prompts(
        self, writer: PromptWriter, method: Method, part: str, items: np.ndarray, rows: slice = slice(None)
    ) -> list[Prompt]:
        """The prompts that ask ``method`` to rank items (U, m), for these rows of the cases of ``part``."""
        cases, states = getattr(self.data.split, part), self._states(writer, method, part)
        histories = [cases.history[u] for u in range(len(cases))[rows]]
        known = None if states is None else states[rows]
        return self.ask(method).prompts(writer, histories, items[rows], self.favourites(part)[rows], known)

    def score(
        self,
        llm: LanguageModel,
        writer: PromptWriter,
        soft: SoftPrompt | None,
        name: str,
        part: str,
        sets: Mapping[str, np.ndarray],
    ) -> dict[str, np.ndarray]:
        """(D, U, m) scores of each of the ``sets``, (D, U, m) items for the cases of ``part``, by the method ``name``,
        whose adapter ``llm`` holds."""
        config, method = self.run.config, METHODS[name]
        of = " of validation" if part == "valid" else ""

        def ask(items: np.ndarray, columns: np.ndarray, what: str) -> np.ndarray:
            prompts = self.prompts(writer, method, part, items)
            batch, normalised = config.evaluation.batch, config.llm.length_normalised
            return score_candidates(
                llm, writer, prompts, columns, soft, batch, normalised, f"scoring {name}, {what}{of}"
            )

        if config.llm.among == "listed":
            return {what: np.stack([ask(each, each, what) for each in items]) for what, items in sets.items()}
        flat = [items.swapaxes(0, 1).reshape(items.shape[1], -1) for items in sets.values()]
        scores = ask(flat[0], np.concatenate(flat, axis=1), "all sets")  # nothing is listed: each prompt is read once
        parts = np.split(scores, np.cumsum([table.shape[1] for table in flat])[:-1], axis=1)
        shapes = (items.shape for items in sets.values())
        return {
            what: part.reshape(U, D, m).swapaxes(0, 1)
            for what, part, (D, U, m) in zip(sets, parts, shapes, strict=True)
        }

    def score_cases(
        self,
        llm: LanguageModel,
        writer: PromptWriter,
        soft: SoftPrompt | None,
        name: str,
        cases: Cases,
        items: np.ndarray,
    ) -> np.ndarray:
        """(U, m) scores of items (U, m) for cases of any kind, such as histories with something taken out; for methods
        whose prompt shows no items of the teacher."""
        method, config = METHODS[name], self.run.config
        expects = self.expectations(writer) if method.soft else None
        states = None if expects is None else expects.of_cases(cases)
        nothing = np.empty((len(cases), 0), dtype=np.int64)
        prompts = self.ask(method).prompts(writer, list(cases.history), items, nothing, states)
        return score_candidates(
            llm, writer, prompts, items, soft, config.evaluation.batch, config.llm.length_normalised
        )

    def score_catalogue(
        self, llm: LanguageModel, writer: PromptWriter, soft: SoftPrompt | None, name: str
    ) -> np.ndarray:
        """(U, N+1) scores of the whole catalogue for the first ``evaluation.full_users`` test cases, by prompts that
        list no candidates."""
        config, cases = self.run.config, self.data.split.test
        rows = range(min(config.evaluation.full_users, len(cases)))
        nothing = np.empty((len(rows), 0), dtype=np.int64)
        states = self._states(writer, METHODS[name], "test")
        known = None if states is None else states[: len(rows)]
        histories = [cases.history[u] for u in rows]
        prompts = self.ask(METHODS[name]).prompts(
            writer, histories, nothing, self.favourites("test")[: len(rows)], known
        )
        normalised = config.llm.length_normalised
        return score_catalogue(
            llm, writer, prompts, soft, length_normalised=normalised, what=f"scoring {name}, whole catalogue"
        )
