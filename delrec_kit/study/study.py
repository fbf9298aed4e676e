"""A run, opened: its data, its teacher, its language model, and any row of its comparison as a recommender."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.data import Cases, PreparedData, Ragged, halves
from delrec_kit.llm import (
    Expectation,
    LanguageModel,
    LlmRecommender,
    OfAnother,
    PromptWriter,
    SoftPrompt,
    Suggestions,
    load_llm,
)
from delrec_kit.llm.templates import placed
from delrec_kit.run.directory import RunDirectory, read_json
from delrec_kit.run.processes import device
from delrec_kit.settings.methods import DELREC, DESCRIPTION, METHODS, base_of, method_of
from delrec_kit.settings.rows import adapted_rows, all_rows, called
from delrec_kit.study.scores import scored
from delrec_kit.teachers import CrossFitted, Markov, Popularity, Scorer, Teacher
from delrec_kit.training import TaskWriter, Validation, load_adapter

UNTRAINED, DISTILLED = "untrained.safetensors", "soft_prompt.safetensors"  # P before and after stage 1
WORDS = "templates.json"  # of the prompts that P was distilled in
FILES = {"untrained": UNTRAINED, "distilled": DISTILLED, "shuffled": DISTILLED}  # method.prompt -> where its P lies


@dataclass(frozen=True)
class Study:
    """run: a run whose data are prepared, and for all but ``data`` whose teacher is trained."""

    run: RunDirectory

    @classmethod
    def open(cls, run_dir: str | Path) -> "Study":
        """The run in ``run_dir``. Raises KitError where there is none."""
        return cls(RunDirectory.open(run_dir))

    @cached_property
    def data(self) -> PreparedData:
        return PreparedData.load(self.run.require("data"))

    @cached_property
    def consumed(self) -> Ragged:
        """What each user ever had, which is no distractor."""
        return self.data.split.consumed()

    @cached_property
    def baselines(self) -> dict[str, Scorer]:
        """What a teacher has to beat, and only counts."""
        return {"popularity": Popularity(self.data.split), "markov": Markov(self.data.split)}

    @cached_property
    def teacher(self) -> Teacher:
        return Teacher.load(self.run.require("teacher"))

    @cached_property
    def unseeing_teacher(self) -> CrossFitted:
        """Speaks of each training user by a teacher that has not seen that user."""
        return CrossFitted.load(self.run.require("teacher"))

    @cached_property
    def lists(self) -> pd.DataFrame:
        """What the unseeing teacher said of training prefixes."""
        return pd.read_parquet(self.run.require("teacher") / "distillation.parquet")

    def ranked(self, part: str) -> tuple[Cases, np.ndarray, np.ndarray]:
        """The ``valid`` or ``test`` cases, their candidate sets (U, m), and the teacher's scores of these."""
        table = self.proposed(part)
        items = getattr(self.data, f"{part}_candidates")
        return getattr(self.data.split, part), items, np.stack(table["candidate_scores"])

    def proposed(self, part: str) -> pd.DataFrame:
        """The teacher's table of the ``valid`` or ``test`` cases: candidate_scores, top_items, top_scores."""
        return pd.read_parquet(self.run.require("teacher") / f"{part}.parquet")

    @property
    def templates(self) -> dict[str, str]:
        """The words of every prompt before a notebook changes them, by task."""
        return placed(self.run.config.distill.place)

    def language_model(self, templates: Mapping[str, str] | None = None) -> tuple[LanguageModel, PromptWriter]:
        """The run's frozen language model, and what writes its prompts, in ``templates``: by default those that P was
        distilled in, where it was."""
        if templates is None:
            distilled = self.run.is_done("prompt")
            templates = read_json(self.run.require("prompt") / WORDS) if distilled else self.templates
        llm = load_llm(self.run.config.llm, device())
        llm.encode_titles(self.writer(llm, templates, unseen=True).table)
        return llm, self.writer(llm, templates)

    def writer(self, llm: LanguageModel, templates: Mapping[str, str], unseen: bool = False) -> PromptWriter:
        """What writes prompts for ``llm``; unseen: that knows the titles of the cold items too, behind the others."""
        data = self.data
        titles = [*data.split.titles, *(data.cold.titles if unseen and data.cold else ())]
        verbalizer = self.run.config.llm.verbalizer
        return PromptWriter(llm.tokenizer, data.domain, titles, templates, llm.format, verbalizer)

    def asking(
        self, name: str, llm: LanguageModel, writer: PromptWriter, P: SoftPrompt | None = None
    ) -> LlmRecommender:
        """A recommender that asks as the method ``name`` does, with ``P`` in its prompt."""
        return scored(self, self._asking(name, llm, writer, P))

    def _asking(self, name: str, llm: LanguageModel, writer: PromptWriter, P: SoftPrompt | None) -> LlmRecommender:
        config, method, expects = self.run.config, METHODS[name], None
        if P is not None and P.c:
            expects = Expectation(self.teacher, llm.title_vectors(writer.table).cpu().numpy())
            expects = OfAnother(expects) if method.of_another else expects
        return LlmRecommender(
            llm,
            writer,
            P,
            history=config.llm.history if method.history else 0,
            pattern=DESCRIPTION if method.prompt == "described" else None,
            suggests=Suggestions(self.teacher, config.distill.h) if method.prompt == "teacher" else None,
            expects=expects,
            name=name,
        )

    @cached_property
    def told(self) -> dict[str, np.ndarray]:
        """What ``scores.unprompted`` has found, by the templates that it was asked in: a pass over the catalogue."""
        return {}

    def recommender(self, name: str, like: LlmRecommender | None = None) -> LlmRecommender:
        """The method ``name`` as the run has trained it, frozen. like: one whose frozen language model it may share.
        Raises KitError for an unknown one."""
        name = called(self.run.config, name)
        method = method_of(name)
        shared = like is not None and not method.learns_from
        llm, writer = (like.llm, like.writer) if shared else self.language_model()
        recommender = self._asking(name, llm, writer, self.soft_prompt(name, llm, writer))
        if method.learns_from:
            load_adapter(llm, self.run.require("adapter") / name)
        return scored(self, recommender)

    def soft_prompt(
        self, name: str, llm: LanguageModel, writer: PromptWriter, finished: bool = True
    ) -> SoftPrompt | None:
        """The frozen P of the method ``name``, None where it has none; finished: as stage 2 left it, else stage 1."""
        method = METHODS[name]
        if method.prompt not in FILES:
            return None
        if method.learns_prompt and finished:
            return SoftPrompt.load(self.run.require("adapter") / name / DISTILLED, llm, writer).requires_grad_(False)
        P = SoftPrompt.load(self.run.require("prompt") / FILES[method.prompt], llm, writer).requires_grad_(False)
        return P.shuffled(self.run.config.seed) if method.prompt == "shuffled" else P

    def beginning(self, name: str) -> LlmRecommender:
        """The method ``name`` before stage 2: no adapter, P as stage 1 left it, and learning only where the method says
        so."""
        learns_prompt = method_of(name).learns_prompt
        llm, writer = self.language_model()
        P = self.soft_prompt(name, llm, writer, finished=False)
        if learns_prompt:
            P.requires_grad_(True)
        return self.asking(name, llm, writer, P)

    def tasks(self, recommender: LlmRecommender) -> TaskWriter:
        """What draws training examples in the prompts of ``recommender``."""
        config = self.run.config
        return TaskWriter(
            recommender,
            self.data.split.train,
            self.consumed,
            config.data.candidates,
            self.unseeing_teacher,
            self.lists,
            config.seed,
        )

    def validation(self, recommender: LlmRecommender) -> Validation:
        """How good ``recommender`` is on ``train.valid_users`` validation cases, asked whenever a training wants to
        know."""
        cases, items, teacher = self.ranked("valid")
        chosen = self.stopping[: self.run.config.train.valid_users]
        return Validation(recommender, cases.take(chosen), items[chosen], teacher[chosen])

    @property
    def stopping(self) -> np.ndarray:
        """Rows of the validation cases that stop trainings and choose their best step."""
        return halves(self.data.split.valid, self.run.config.seed)[0]

    @property
    def weighing(self) -> np.ndarray:
        """Rows of the validation cases on which weights of several rankers are fitted: on none was a step chosen."""
        return halves(self.data.split.valid, self.run.config.seed)[1]

    def rows(self) -> list[str]:
        """Every row of the comparison with a language model, the frozen ones first."""
        return all_rows(self.run.config)

    def answering(self, name: str | None = None) -> str:
        """A row that can be asked; None: DELRec, or the last that was fine-tuned."""
        adapted = adapted_rows(self.run.config)
        ours = [row for row in adapted if base_of(row) == DELREC]
        return called(self.run.config, name) if name else (ours or adapted)[-1]
