"""What each row of the comparison learned, from what, and what that cost: without it no comparison is fair."""

from pathlib import Path

import pandas as pd

from delrec_kit.run.directory import RunDirectory, read_json
from delrec_kit.settings.methods import METHODS
from delrec_kit.settings.rows import all_rows


def costs_table(run: RunDirectory) -> pd.DataFrame:
    """One row a method with a language model.

    Returns:
        method, prompt, trainable (numbers that learned, P's included), teacher_examples (different ones, labelled by
        the teacher or masked; an adapter's are among those that P learned from), true_labels, seconds (of training,
        P's included), peak_mib (the most memory that the training process had used).
    """
    prompt, rows = read_json(run.require("prompt") / "metrics.json"), []
    adapted = run.require("adapter")
    read = dict(prompt["examples"])
    read["rps"] = max(read.get("rps", 0), read.pop("warm_start", 0))  # the warm start reads those of RPS, and more
    by_teacher = sum(read.values())
    stage_1 = _paid(run.folder("prompt"))
    for name in all_rows(run.config):
        method, folder = METHODS[name], adapted / name
        own = read_json(folder / "metrics.json") if method.learns_from else {}
        labels = own.get("true_labels", 0)
        paid = ([stage_1] if method.distilled else []) + ([_paid(folder)] if method.learns_from else [])
        rows.append(
            {
                "method": name,
                "prompt": method.prompt,
                "trainable": own.get("trainable", 0)
                + prompt["trainable"] * (method.distilled and not method.learns_prompt),
                "teacher_examples": max(own.get("examples", 0) - labels, by_teacher * method.distilled),
                "true_labels": labels,
                "seconds": sum(seconds for seconds, _ in paid),
                "peak_mib": max((mib for _, mib in paid), default=0.0),
            }
        )
    return pd.DataFrame(rows)


def _paid(folder: Path) -> tuple[float, float]:
    """Seconds of a training and MiB, from its curve; none where nothing was trained."""
    curve = pd.read_csv(folder / "curve.csv")
    return (curve["seconds"].max(), curve["peak_mib"].max()) if "seconds" in curve else (0.0, 0.0)
