"""Pictures of a teacher: how it learned, what it beats, and where. Each gives the figure and the plotted numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from delrec_kit.data import PreparedData, answer_index
from delrec_kit.evaluation import expected_ranks, means
from delrec_kit.settings.style import PALETTE, headline, label, look

VALID = "valid_NDCG@10"
SHOWN = [("full", "HR@10"), ("full", "NDCG@10"), ("candidates", "HR@1")]
AMONG = {"full": "whole catalogue", "candidates": "candidate set"}


def plot_learning(curve: pd.DataFrame, name: str = "teacher") -> tuple[Figure, pd.DataFrame]:
    """Training loss and validation NDCG@10 over epochs, the kept epoch starred. ``curve`` is ``curve.csv``."""
    best = curve.loc[curve[VALID].idxmax()]
    figure, axes = plt.subplots(1, 2, figsize=(8.0, 3.2))
    axes[0].plot(curve["epoch"], curve["loss"], color=PALETTE[0], marker="o", markersize=3)
    axes[0].set(xlabel="epoch", ylabel="cross-entropy (nats)", title="Training loss")
    axes[1].plot(curve["epoch"], curve[VALID], color=PALETTE[1], linestyle="--", marker="s", markersize=3)
    axes[1].plot(best["epoch"], best[VALID], marker="*", markersize=14, color="black", linestyle="none")
    axes[1].set(
        xlabel="epoch",
        ylabel="validation NDCG@10",
        ylim=(0, 1.15 * max(best[VALID], 1e-6)),
        title="Validation, whole catalogue",
    )
    headline(figure, f"{name}: best after epoch {best['epoch']:.0f} (NDCG@10 {best[VALID]:.3f})")
    return figure, curve.assign(kept=curve["epoch"] == best["epoch"])


def plot_teachers(metrics: Mapping[str, Any]) -> tuple[Figure, pd.DataFrame]:
    """The teacher beside its baselines and its cross-fitted twin on the test cases. ``metrics`` is ``metrics.json``.

    Returns the figure and its numbers: protocol, metric, method, value.
    """
    rows = {**metrics["baselines"], "teacher": metrics}
    if "cross_fitted" in metrics:
        rows["teacher, user unseen"] = metrics["cross_fitted"]
    table = pd.DataFrame(
        [(protocol, metric, name, row[protocol][metric]) for protocol, metric in SHOWN for name, row in rows.items()],
        columns=["protocol", "metric", "method", "value"],
    )
    figure, axes = plt.subplots(1, len(SHOWN), figsize=(9.0, 2.6), sharey=True)
    for axis, (protocol, metric) in zip(axes, SHOWN):
        shown = table[(table["protocol"] == protocol) & (table["metric"] == metric)]
        for place, row in enumerate(shown.itertuples()):
            axis.plot(row.value, place, linestyle="none", markersize=8, **look(row.method))
            axis.annotate(f"{row.value:.3f}", (row.value, place), (0, 7), textcoords="offset points", ha="center")
        axis.set_yticks(range(len(shown)), [label(method) for method in shown["method"]])
        axis.set(
            xlabel=f"{metric}, {AMONG[protocol]}", xlim=(0, shown["value"].max() * 1.2), ylim=(len(rows) - 0.5, -0.7)
        )
    headline(figure, _gain(metrics))
    return figure, table


def plot_beyond_popularity(prepared: PreparedData, folder: str | Path, groups: int = 4) -> tuple[Figure, pd.DataFrame]:
    """HR@1 among the candidates by how popular the right answer is: what a model knows beyond popularity.

    ``folder`` is the teacher stage's. Test users are sorted by their target's count in training and cut into
    ``groups`` of equal size. Returns the figure and its numbers: group, least, most (count), users, method, HR@1.
    """
    folder, cases = Path(folder), prepared.split.test
    baselines = pd.read_parquet(folder / "baselines.parquet")
    scores = {name: np.stack(baselines[name]) for name in ("popularity", "markov")}
    scores["teacher"] = np.stack(pd.read_parquet(folder / "test.parquet")["candidate_scores"])
    answer = answer_index(prepared.test_candidates, cases.target)
    counts = np.bincount(prepared.split.train.values, minlength=prepared.split.n_items + 1)[cases.target]
    table = pd.DataFrame(
        [
            (group + 1, counts[rows].min(), counts[rows].max(), len(rows), method, _hits(values[rows], answer[rows]))
            for group, rows in enumerate(np.array_split(np.argsort(counts, kind="stable"), groups))
            for method, values in scores.items()
        ],
        columns=["group", "least", "most", "users", "method", "HR@1"],
    )
    return _popularity_figure(table, prepared.test_candidates.shape[1]), table


def _popularity_figure(table: pd.DataFrame, m: int) -> Figure:
    figure, axis = plt.subplots(figsize=(6.5, 3.6))
    for (method, rows), dash in zip(table.groupby("method", sort=False), (":", "--", "-")):
        axis.plot(rows["group"], rows["HR@1"], label=label(method), linestyle=dash, markersize=7, **look(method))
    axis.axhline(1 / m, color="black", linewidth=0.8, linestyle=":", marker="", label=f"chance, 1/{m}")
    bounds = table.drop_duplicates("group")
    axis.set_xticks(bounds["group"], [f"{low}–{high}" for low, high in zip(bounds["least"], bounds["most"])])
    axis.set(xlabel="training interactions of the right answer (equal groups of users)", ylabel=f"HR@1 among {m}")
    axis.set_ylim(0, None)
    axis.legend()
    rare = table[table["group"] == 1].set_index("method")["HR@1"]
    axis.set_title(f"Rarest answers: teacher {rare['teacher']:.2f}, popularity {rare['popularity']:.2f}")
    return figure


def _hits(scores: np.ndarray, answer: np.ndarray) -> float:
    return means(expected_ranks(scores, answer))["HR@1"] if len(answer) else float("nan")


def _gain(metrics: Mapping[str, Any]) -> str:
    best = max(metrics["baselines"], key=lambda name: metrics["baselines"][name]["full"]["NDCG@10"])
    theirs = metrics["baselines"][best]["full"]["NDCG@10"]
    ours = metrics["full"]["NDCG@10"]
    side = "above" if ours > theirs else "below" if ours < theirs else "equal to"
    return f"The teacher's NDCG@10 is {ours:.3f}, {side} that of {label(best)} ({theirs:.3f})"
