"""Rows that need no language model to read a prompt: whatever a row with P claims, these do without it.

``content``: the cosine of title vectors. ``teacher_vectors``: what the teacher expects, as a mean of title vectors,
compared with all of them. ``map``: the same through the linear map that a conditioned P begins at, fitted to the
teacher's lists and to nothing else. With ``_popularity``, the log of the item's share of the training choices is added.
"""

from dataclasses import dataclass

import numpy as np
import torch

from delrec_kit.data import Cases, answer_index
from delrec_kit.evaluation import Fusion
from delrec_kit.llm import Expectation, LlmRecommender, SoftPrompt, load_llm, popularity_prior
from delrec_kit.llm.minilm import is_installed
from delrec_kit.settings.config import LlmConfig
from delrec_kit.study.stages import LABELS
from delrec_kit.study.study import Study
from delrec_kit.teachers import CatalogueScorer, Content, Scorer
from delrec_kit.training import fit_map
from delrec_kit.training.warm_start import SCALE


@dataclass(frozen=True)
class ByVectors(CatalogueScorer):
    """SCALE x cos(what is expected of the user, through ``linear`` (d, d), the vector of a title) + prior (N+1,)."""

    expects: Expectation
    linear: np.ndarray
    titles: np.ndarray
    prior: np.ndarray

    def catalogue(self, cases: Cases) -> np.ndarray:
        scores = SCALE * _unit(self.expects(cases) @ self.linear) @ _unit(self.titles).T + self.prior
        scores[:, 0] = -np.inf
        return scores.astype(np.float32)


@dataclass(frozen=True)
class Added(CatalogueScorer):
    """weight x a scorer's scores + prior (N+1,)."""

    scorer: CatalogueScorer
    weight: float
    prior: np.ndarray

    def catalogue(self, cases: Cases) -> np.ndarray:
        return (self.weight * self.scorer.catalogue(cases) + self.prior).astype(np.float32)


def sentence_vectors(study: Study, recommender: LlmRecommender) -> np.ndarray:
    """(N+M+1, d) float32 vectors of all titles, cold ones too, for rows that compare titles: a sentence encoder's own;
    for a model that is none all-MiniLM-L6-v2's where it is installed, else the model's mean word embeddings. The tiny
    model's made titles keep its own, so that the demo gives the same numbers everywhere."""
    llm, writer = recommender.llm, study.writer(recommender.llm, recommender.writer.templates, unseen=True)
    if not llm.ranks_all and study.run.config.llm.name != "tiny" and is_installed():
        llm = load_llm(LlmConfig(name="minilm", quantization="fp32"), str(llm.device))
        writer = study.writer(llm, writer.templates, unseen=True)
        llm.encode_titles(writer.table)
    return llm.answer_vectors(writer.table).cpu().numpy().astype(np.float32)


def controls(study: Study, recommender: LlmRecommender, sentences: np.ndarray) -> dict[str, Scorer]:
    """The rows by name; the map and what it is compared with are in the vectors that the recommender's language model
    gives titles, ``content`` in ``sentences`` (see ``sentence_vectors``). Fitted to training lists;
    what is weighed with popularity, and how many titles ``content`` reads, on the validation cases that stop
    trainings."""
    llm, writer = recommender.llm, recommender.writer
    titles = llm.answer_vectors(writer.table).cpu().numpy().astype(np.float32)
    cases, items, _ = study.ranked("valid")
    cases, items = cases.take(study.stopping), items[study.stopping]
    answer = answer_index(items, cases.target)
    nothing = np.zeros(len(titles), np.float32)
    popularity = popularity_prior(study.data.split.train, writer.table.canonical)
    content = Content.chosen(sentences[: len(titles)], cases, items, answer)
    both = Fusion.fit(np.stack([content.scores(cases, items), popularity[items]], axis=2), answer)
    weights = both.weights / both.spread
    identity = np.eye(titles.shape[1], dtype=np.float32)
    return {
        "content": content,
        "content_popularity": Added(content, float(weights[0]), float(weights[1]) * popularity),
        "teacher_vectors": ByVectors(Expectation(study.teacher, titles), identity, titles, nothing),
        "map": _mapped(study, recommender, titles, nothing),
        "map_popularity": _mapped(study, recommender, titles, popularity),
    }


def _mapped(study: Study, recommender: LlmRecommender, titles: np.ndarray, prior: np.ndarray) -> ByVectors:
    llm, writer, config = recommender.llm, recommender.writer, study.run.config
    expects = Expectation(study.teacher, llm.title_vectors(writer.table).cpu().numpy())
    P, added = SoftPrompt.untrained(llm, 1, config.seed, conditioned=1), torch.from_numpy(prior).to(llm.device)
    hearing = LlmRecommender(llm, writer, P, history=1, expects=expects, prior=added)  # its prompts are not read
    most = max(1, LABELS // len(titles)) if llm.ranks_all else len(study.lists)
    examples = study.tasks(hearing).pattern_simulating(most, config.distill.h)
    linear, _ = fit_map(hearing, examples, config.seed)
    return ByVectors(expects, linear.cpu().numpy(), titles, prior)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)
