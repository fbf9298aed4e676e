"""The whole teacher stage: baselines, teacher, cross-fitting, and the files that later stages read."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from delrec_kit.data import Cases, PreparedData, answer_index
from delrec_kit.evaluation import expected_ranks, full_ranks, means
from delrec_kit.run.directory import write_json
from delrec_kit.settings.config import TeacherConfig
from delrec_kit.teachers.baselines import Markov, Popularity
from delrec_kit.teachers.crossfit import CrossFitted, distillation_table, fold_teachers
from delrec_kit.teachers.scorer import Scorer, scored, scores_of, top_items
from delrec_kit.teachers.training import train_teacher


def train_stage(
    prepared: PreparedData, config: TeacherConfig, seed: int, folder: Path, checkpoints: Path
) -> dict[str, Any]:
    """Train everything and write the teacher folder of a run.

    Files: ``model.safetensors`` and ``model.json`` (the teacher), ``folds/`` (those that have not seen a fold of the
    users, and who is in it), ``curve.csv``, ``metrics.json``,
    ``distillation.parquet`` (``distillation_table``), ``valid.parquet`` and ``test.parquet`` (``case_table``), and
    ``baselines.parquet`` (user, popularity, markov: scores of the test candidates).

    Returns:
        What ``metrics.json`` holds, on the test cases: ``full`` (whole catalogue, history excluded) and ``candidates``
        (among m) of the teacher, the same two of each baseline under ``baselines`` and of the teachers that have not
        seen the user under ``cross_fitted``; name, epochs, and ``seconds`` of the main training and of the folds.
    """
    split = prepared.split
    folder.mkdir(parents=True, exist_ok=True)
    teacher, curve = train_teacher(split, config, seed, checkpoints / "main")
    fold, teachers = fold_teachers(split, config, teacher.epochs, seed, checkpoints)
    cross_fitted = CrossFitted(fold, teachers)
    baselines = {"popularity": Popularity(split), "markov": Markov(split)}

    teacher.save(folder)
    cross_fitted.save(folder)
    curve.to_csv(folder / "curve.csv", index=False)
    lists = distillation_table(split, cross_fitted, config, seed)
    lists.to_parquet(folder / "distillation.parquet", index=False)
    for name, cases, candidates in _case_sets(prepared):
        table = case_table(teacher, cases, candidates, config.top, split.n_items)
        table.to_parquet(folder / f"{name}.parquet", index=False)
    _baseline_table(baselines, split.test, prepared.test_candidates).to_parquet(
        folder / "baselines.parquet", index=False
    )
    metrics = {
        **measure(teacher, split.test, prepared.test_candidates),
        "name": config.name,
        "epochs": teacher.epochs,
        "seconds": teacher.seconds,
        "seconds_cross_fitting": round(sum(t.seconds for t in teachers), 1),
        "cross_fitted": measure(cross_fitted, split.test, prepared.test_candidates),
        "baselines": {
            name: measure(scorer, split.test, prepared.test_candidates) for name, scorer in baselines.items()
        },
    }
    write_json(folder / "metrics.json", metrics)
    return metrics


def measure(scorer: Scorer, cases: Cases, candidates: np.ndarray) -> dict[str, dict[str, float]]:
    """Every metric over the whole catalogue (``full``, histories excluded) and among ``candidates`` (U, m)."""
    full, among = [], []
    for rows, part, scores in scored(scorer, cases):
        full.append(full_ranks(scores, part.target, part.history))
        among.append(np.take_along_axis(scores, candidates[rows], axis=1))
    ranks = expected_ranks(np.concatenate(among), answer_index(candidates, cases.target))
    return {"full": means(np.concatenate(full)), "candidates": means(ranks)}


def case_table(scorer: Scorer, cases: Cases, candidates: np.ndarray, top: int, n_items: int) -> pd.DataFrame:
    """One row an evaluation case: user, candidate_scores (m), top_items (history excluded, best first), top_scores."""
    top = min(top, n_items - cases.history.most_different)
    among, best, how_good = [], [], []
    for rows, part, scores in scored(scorer, cases):
        among += list(np.take_along_axis(scores, candidates[rows], axis=1))
        first = top_items(scores, part.history, top)
        best += list(first)
        how_good += list(np.take_along_axis(scores, first, axis=1))
    return pd.DataFrame({"user": cases.user, "candidate_scores": among, "top_items": best, "top_scores": how_good})


def _case_sets(prepared: PreparedData) -> list[tuple[str, Cases, np.ndarray]]:
    return [
        ("valid", prepared.split.valid, prepared.valid_candidates),
        ("test", prepared.split.test, prepared.test_candidates),
    ]


def _baseline_table(baselines: dict[str, Scorer], cases: Cases, candidates: np.ndarray) -> pd.DataFrame:
    columns = {name: list(scores_of(scorer, cases, candidates)) for name, scorer in baselines.items()}
    return pd.DataFrame({"user": cases.user, **columns})
