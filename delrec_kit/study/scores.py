"""What ``llm.prior`` adds to the scores of a run's language model: nothing, log popularity, or what was calibrated."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from delrec_kit.llm import LlmRecommender, fit, popularity_prior, weighed
from delrec_kit.llm import unprompted as unprompted_likelihoods
from delrec_kit.llm.templates import template_hash
from delrec_kit.run.directory import read_json

if TYPE_CHECKING:
    from delrec_kit.study.study import Study

UNPROMPTED, CALIBRATION = "unprompted.safetensors", "calibration.json"  # of calibrated scores


def scored(study: "Study", recommender: LlmRecommender) -> LlmRecommender:
    """With what ``llm.prior`` adds to its scores; calibrated: as the evaluation found, else fitted now, on the
    validation cases that stop trainings."""
    kind, split = study.run.config.llm.prior, study.data.split
    if kind == "none":
        return recommender
    popularity = popularity_prior(split.train, recommender.writer.table.canonical)
    if kind == "calibrated":
        recommender = replace(recommender, weights=_weights(study, recommender, popularity))
    return with_popularity(study, recommender, popularity)


def with_popularity(study: "Study", recommender: LlmRecommender, popularity: np.ndarray) -> LlmRecommender:
    """With the prior that the recommender's weights make of log ``popularity`` (n,), of the first n items."""
    if recommender.weights is None:
        return replace(recommender, prior=torch.from_numpy(popularity).to(recommender.llm.device))
    return weighed(recommender, recommender.weights, _terms(study, recommender, popularity))


def _weights(study: "Study", recommender: LlmRecommender, popularity: np.ndarray) -> tuple[float, float, float]:
    known = {}
    if study.run.is_done("evaluation") and (found := study.run.require("evaluation") / CALIBRATION).is_file():
        known = read_json(found)
    if recommender.name in known:
        return tuple(known[recommender.name])
    cases, items, _ = study.ranked("valid")
    chosen = study.stopping[: study.run.config.train.valid_users]
    return fit(recommender, cases.take(chosen), items[chosen], _terms(study, recommender, popularity))


def _terms(study: "Study", recommender: LlmRecommender, popularity: np.ndarray) -> np.ndarray:
    return np.stack([unprompted(study, recommender)[: len(popularity)], popularity])


def unprompted(study: "Study", recommender: LlmRecommender) -> np.ndarray:
    """(N+M+1,) what the frozen language model says of every title, cold ones too, where it is told of nobody."""
    if study.run.is_done("prompt") and (kept := study.run.require("prompt") / UNPROMPTED).is_file():
        return load_file(kept)["unprompted"].numpy()
    templates = recommender.writer.templates
    words = template_hash(templates)
    if words not in study.told:
        told = replace(recommender, writer=study.writer(recommender.llm, templates, unseen=True))
        study.told[words] = unprompted_likelihoods(told)
    return study.told[words]


def save_terms(study: "Study", folder: Path, recommender: LlmRecommender) -> None:
    """What a calibrated score needs of every title, where scores are calibrated."""
    if study.run.config.llm.prior == "calibrated":
        save_file({"unprompted": torch.from_numpy(unprompted(study, recommender))}, folder / UNPROMPTED)
