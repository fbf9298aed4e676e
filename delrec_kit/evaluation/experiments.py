"""A sweep's runs as tables: every method over seeds and draws, under every protocol, and against one setting."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.errors import KitError
from delrec_kit.evaluation.comparison import load_comparison
from delrec_kit.evaluation.metrics import per_user
from delrec_kit.evaluation.statistics import bootstrap_intervals
from delrec_kit.evaluation.tables import group_labels
from delrec_kit.runs import read_json

SHOWN = ("HR@1", "HR@5", "NDCG@5")
OWN = "candidates"


def finished_runs(folder: str | Path) -> list[Path]:
    """The run directories in a sweep's folder that have a comparison. Raises KitError where there is none."""
    folder = Path(folder)
    runs = sorted(path.parent.parent for path in folder.glob("*/evaluation/comparison.json"))
    if not runs:
        raise KitError(f"no finished run in {folder}; make some with 'python -m delrec_kit sweep GRID.yaml'")
    return runs


def protocols_of(runs: Iterable[Path]) -> list[str]:
    """The protocols that all the runs have compared under, ``candidates`` first."""
    each = [{path.parent.name for path in (run / "evaluation").glob("*/comparison.json")} for run in runs]
    return [OWN, *sorted(set.intersection(*each))] if each else []


def results_table(runs: Sequence[Path], protocol: str = OWN, metrics: Sequence[str] = SHOWN) -> pd.DataFrame:
    """Every method of runs that differ in the seed alone, by group of settings.

    A user's value is its mean over draws and over the runs that have the user; users are what is resampled.

    Returns:
        settings, method, metric, value, low, high (95 % bootstrap interval over users), sd (over runs, empty for one),
        runs.
    """
    groups: dict[str, list[Path]] = {}
    for settings, run in zip(group_labels(runs), runs):
        groups.setdefault(settings, []).append(run)
    rows = []
    for settings, members in groups.items():
        folders = [run / "evaluation" / ("" if protocol == OWN else protocol) for run in members]
        tables = [pd.read_parquet(folder / "per_user.parquet").set_index("user") for folder in folders]
        seed = load_comparison(members[0] / "evaluation")["seed"]
        for method in [name for name in tables[0] if all(name in table for table in tables)]:
            values = [per_user(np.stack(table[method])) for table in tables]
            for metric in metrics:
                each = [pd.Series(v[metric], index=table.index) for v, table in zip(values, tables)]
                users = pd.concat(each, axis=1).mean(axis=1).to_numpy()
                low, high = bootstrap_intervals(users[None], seed=seed, resamples=2000)
                sd = np.std([one.mean() for one in each], ddof=1) if len(each) > 1 else np.nan
                rows.append((settings, method, metric, users.mean(), low[0], high[0], sd, len(members)))
    return pd.DataFrame(rows, columns=["settings", "method", "metric", "value", "low", "high", "sd", "runs"])


def curve_table(runs: Sequence[Path], setting: str, metric: str = "HR@1") -> pd.DataFrame:
    """``metric`` of every method against a setting that the runs differ in, such as ``finetune.examples``.

    Returns:
        the columns of ``results_table``, with ``at``, the setting's value, in place of settings. Raises KitError where
        a run lacks the setting.
    """
    stage, _, field = setting.partition(".")
    by_value: dict[float, list[Path]] = {}
    for run in runs:
        try:
            value = read_json(run / "config.json")[stage][field]
        except KeyError:
            raise KitError(f"the run {run.name} has no setting {setting}") from None
        by_value.setdefault(value, []).append(run)
    parts = [results_table(members, metrics=[metric]).assign(at=value) for value, members in sorted(by_value.items())]
    return pd.concat(parts, ignore_index=True).drop(columns="settings")


def varied_setting(runs: Sequence[Path]) -> str | None:
    """The first setting with more than one number among the runs, the seed apart; None where there is none."""
    configs = [read_json(run / "config.json") for run in runs]
    for stage in (name for name, value in configs[0].items() if isinstance(value, dict)):
        for field, value in configs[0][stage].items():
            values = {str(config[stage].get(field)) for config in configs}
            if len(values) > 1 and isinstance(value, int | float) and not isinstance(value, bool):
                return f"{stage}.{field}"
    return None


def spread_of_draws(runs: Sequence[Path], metric: str = "HR@1") -> pd.DataFrame:
    """How much the choice of distractors alone moves each method: method, mean, least, most over draws and runs. Empty
    where nothing was drawn twice."""
    files = [run / "evaluation" / "draws.csv" for run in runs]
    tables = [pd.read_csv(file) for file in files if file.is_file()]
    if not tables:
        return pd.DataFrame(columns=["method", "mean", "least", "most"])
    table = pd.concat(tables)
    values = table[table["metric"] == metric].groupby("method", sort=False)["value"]
    return values.agg(mean="mean", least="min", most="max").reset_index()


def costs_table(runs: Sequence[Path]) -> pd.DataFrame:
    """What each method of the runs learned from, once where it is the same in all; columns as in ``costs.csv``."""
    tables = [pd.read_csv(run / "evaluation" / "costs.csv") for run in runs]
    return pd.concat(tables).drop_duplicates().reset_index(drop=True)
