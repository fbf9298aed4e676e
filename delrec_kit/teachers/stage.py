"""The whole teacher stage: baselines, teacher, cross-fitting, and the files that later stages read."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from delrec_kit.data import Cases, PreparedData, answer_index
from delrec_kit.evaluation import expected_ranks, means
from delrec_kit.run.directory import write_json
from delrec_kit.settings.config import PROPOSED, TeacherConfig
from delrec_kit.teachers.baselines import Markov, Popularity
from delrec_kit.teachers.crossfit import distillation_table, fold_teachers
from delrec_kit.teachers.scorer import Scorer, catalogue_scores, top_items
from delrec_kit.teachers.training import catalogue_ranks, train_teacher


def train_stage(
    prepared: PreparedData, config: TeacherConfig, seed: int, folder: Path, checkpoints: Path
) -> dict[str, Any]:
    """Train everything and write the teacher folder of a run.

    Files: ``model.safetensors`` and ``model.json`` (the teacher), ``folds/`` (those that have not seen a fold of the
    users, and who is in it), ``curve.csv``, ``metrics.json``, ``distillation.parquet`` (``distillation_table``),
    ``valid.parquet`` and ``test.parquet`` (``case_table``), and ``baselines.parquet`` (user, popularity, markov:
    scores of the test candidates).

    Returns:
        What ``metrics.json`` holds, on the test cases: ``full`` (whole catalogue, history excluded) and ``candidates``
        (among m) of the teacher, the same two of each baseline under ``baselines`` and of the teachers that have not
        seen the user under ``cross_fitted``; name, epochs, and ``seconds`` of the main training and of the folds.
    """
    split, test, candidates = prepared.split, prepared.split.test, prepared.test_candidates
    folder.mkdir(parents=True, exist_ok=True)
    teacher, curve = train_teacher(split, config, seed, checkpoints / "main")
    cross_fitted = fold_teachers(split, config, teacher.epochs, seed, checkpoints)
    baselines = {"popularity": Popularity(split), "markov": Markov(split)}

    teacher.save(folder)
    cross_fitted.save(folder)
    curve.to_csv(folder / "curve.csv", index=False)
    counted = {name: list(scorer.scores(test, candidates)) for name, scorer in baselines.items()}
    tables = {
        "distillation": distillation_table(split, cross_fitted, config.prefixes, seed),
        "valid": case_table(teacher, split.valid, prepared.valid_candidates),
        "test": case_table(teacher, test, candidates),
        "baselines": pd.DataFrame({"user": test.user, **counted}),
    }
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    metrics = {
        **measure(teacher, test, candidates),
        "name": config.name,
        "epochs": teacher.epochs,
        "seconds": teacher.seconds,
        "seconds_cross_fitting": round(sum(each.seconds for each in cross_fitted.teachers), 1),
        "cross_fitted": measure(cross_fitted, test, candidates),
        "baselines": {name: measure(scorer, test, candidates) for name, scorer in baselines.items()},
    }
    write_json(folder / "metrics.json", metrics)
    return metrics


def measure(scorer: Scorer, cases: Cases, candidates: np.ndarray) -> dict[str, dict[str, float]]:
    """Every metric over the whole catalogue (``full``, histories excluded) and among ``candidates`` (U, m)."""
    ranks = expected_ranks(scorer.scores(cases, candidates), answer_index(candidates, cases.target))
    return {"full": means(catalogue_ranks(scorer, cases)), "candidates": means(ranks)}


def case_table(scorer: Scorer, cases: Cases, candidates: np.ndarray) -> pd.DataFrame:
    """One row a case: user, candidate_scores (m), top_items (history excluded, best first) and top_scores, all of them
    as long: ``PROPOSED``, or what a small catalogue allows."""
    had, table = cases.history.most_different, {"top_items": [], "top_scores": []}
    for rows, scores in catalogue_scores(scorer, cases):
        best = top_items(scores, cases.history.take(rows), min(PROPOSED, scores.shape[1] - 1 - had))
        table["top_items"] += list(best)
        table["top_scores"] += list(np.take_along_axis(scores, best, axis=1))
    return pd.DataFrame({"user": cases.user, "candidate_scores": list(scorer.scores(cases, candidates)), **table})
