"""A sweep's runs as tables: every method over seeds and draws, under every protocol, and against one setting."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.evaluation.comparison import OWN, load_comparison, protocol_folder, ranks_of
from delrec_kit.evaluation.merged import merged_differences
from delrec_kit.evaluation.metrics import per_user
from delrec_kit.evaluation.statistics import bootstrap_intervals
from delrec_kit.evaluation.tables import by_settings, group_labels
from delrec_kit.run.directory import STAGES, RunDirectory, read_json
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.style import side_by_side

SHOWN = ("HR@1", "HR@5", "NDCG@5")
PAID = ("seconds", "peak_mib")
BEGINS = {
    "llm_finetuned": "llm_zero_shot",
    "llm_finetuned_untrained_prompt": "llm_untrained_prompt",
    "delrec": "llm_distilled_prompt",
}


def finished_runs(folder: str | Path) -> list[Path]:
    """The run directories in a sweep's folder that have a comparison of their settings. Those whose comparison was made
    with other settings are named and left out. Raises KitError where there is none."""
    folder = Path(folder)
    found = sorted(path.parent.parent for path in folder.glob("*/evaluation/comparison.json"))
    runs = [run for run in found if _is_current(run)]
    if len(runs) < len(found):
        stale = ", ".join(run.name for run in found if run not in runs)
        print(f"left out, since their comparison was made with other settings than they have now: {stale}")
    if not runs:
        raise KitError(f"no finished run in {folder}; make some with 'python -m delrec_kit sweep GRID.yaml'")
    return runs


def _is_current(run: Path) -> bool:
    try:
        return RunDirectory.open(run).is_done("evaluation")
    except KitError:  # settings of another version
        return False


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
    rows = []
    for settings, members in by_settings(runs).items():
        tables = [ranks_of(run, protocol) for run in members]
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


def protocols_table(runs: Sequence[Path], metric: str = "HR@1") -> pd.DataFrame:
    """``metric`` of every method under each protocol that all the runs have: settings and method by protocol."""
    parts = {name: results_table(runs, name, [metric]) for name in protocols_of(runs)}
    wide = {name: part.set_index(["settings", "method"])["value"] for name, part in parts.items()}
    table = side_by_side(wide)
    return table.set_index(pd.MultiIndex.from_tuples(table.index, names=["settings", "method"]))


def curve_table(runs: Sequence[Path], setting: str, metric: str = "HR@1") -> pd.DataFrame:
    """``metric`` of every method against a setting that the runs differ in, such as ``finetune.examples``.

    Along ``finetune.examples`` a fine-tuned method begins, at 0, as the frozen one that it starts from.

    Returns:
        the columns of ``results_table``, settings being all others that differ, and ``at``, the setting's value. Raises
        KitError where a run lacks the setting.
    """
    stage, _, field = setting.partition(".")
    groups: dict[tuple[str, float], list[Path]] = {}
    for others, run in zip(group_labels(runs, setting), runs):
        try:
            value = read_json(run / "config.json")[stage][field]
        except KeyError:
            raise KitError(f"the run {run.name} has no setting {setting}") from None
        groups.setdefault((others, value), []).append(run)
    parts = [
        results_table(members, metrics=[metric]).assign(settings=others, at=value)
        for (others, value), members in sorted(groups.items(), key=lambda group: group[0][1])
    ]
    table = pd.concat(parts, ignore_index=True)
    if setting == "finetune.examples":
        least = table[table["at"] == table.groupby("settings")["at"].transform("min")]
        begins = [least[least["method"] == frozen].assign(method=name, at=0) for name, frozen in BEGINS.items()]
        table = pd.concat([*(part[part["method"].isin(table["method"])] for part in begins), table], ignore_index=True)
    return table


def varied_setting(runs: Sequence[Path]) -> str | None:
    """The first setting with more than one number among the runs, the seed apart; None where there is none."""
    configs = [read_json(run / "config.json") for run in runs]
    for stage in (name for name, value in configs[0].items() if isinstance(value, dict)):
        for field, value in configs[0][stage].items():
            values = {str(config[stage].get(field)) for config in configs}
            if len(values) > 1 and isinstance(value, int | float) and not isinstance(value, bool):
                return f"{stage}.{field}"
    return None


def differences_table(runs: Sequence[Path]) -> pd.DataFrame:
    """``merged_differences`` under every protocol that all the runs have, named in the first column; p is corrected
    within a protocol and group."""
    parts = [
        merged_differences(runs, protocol=protocol).assign(protocol=protocol)
        for protocol in protocols_of(runs)
        if all(load_comparison(protocol_folder(run, protocol))["differences"] for run in runs)
    ]
    if not parts:
        return pd.DataFrame()
    table = pd.concat(parts, ignore_index=True)
    return table[["protocol", *(column for column in table if column != "protocol")]]


def spread_of_draws(runs: Sequence[Path], metric: str = "HR@1") -> pd.DataFrame:
    """How much the choice of distractors alone moves each method: settings, method, mean, least, most, where least and
    most are the mean and the furthest that a draw lies from the mean of its own run. Empty where no run drew twice.
    """
    rows = []
    for settings, run in zip(group_labels(runs), runs):
        file = run / "evaluation" / "draws.csv"
        if file.is_file():
            table = pd.read_csv(file)
            rows.append(table[table["metric"] == metric].assign(settings=settings, run=run.name))
    if not rows:
        return pd.DataFrame(columns=["settings", "method", "mean", "least", "most"])
    table = pd.concat(rows)
    table["off"] = table["value"] - table.groupby(["run", "method"])["value"].transform("mean")
    groups = table.groupby(["settings", "method"], sort=False)
    spread = groups.agg(mean=("value", "mean"), least=("off", "min"), most=("off", "max")).reset_index()
    return spread.assign(least=spread["mean"] + spread["least"], most=spread["mean"] + spread["most"])


def slices_table(runs: Sequence[Path], slice: str | None = None) -> pd.DataFrame:
    """HR@1 of every method by group of users, the mean over runs of the same settings: settings, slice, group, method,
    value, users (the mean number), runs."""
    parts = [
        pd.read_csv(run / "evaluation" / "slices.csv").assign(settings=settings)
        for settings, run in zip(group_labels(runs), runs)
    ]
    groups = pd.concat(parts).groupby(["settings", "slice", "group", "method"], sort=False)
    table = groups.agg(value=("value", "mean"), users=("users", "mean"), runs=("value", "size")).reset_index()
    return table if slice is None else table[table["slice"] == slice]


def costs_table(runs: Sequence[Path]) -> pd.DataFrame:
    """What each method of the runs learned from, once where it is the same in all: the columns of ``costs.csv``, with
    seconds as their mean over runs and peak_mib as the most, and runs. Runs that tell nothing are left out."""
    files = [run / "evaluation" / "costs.csv" for run in runs]
    tables = [pd.read_csv(file) for file in files if file.is_file()]
    if not tables:
        return pd.DataFrame()
    table = pd.concat([part.reindex(columns=[*part.columns.difference(PAID, sort=False), *PAID]) for part in tables])
    groups = table.groupby([c for c in table if c not in PAID], sort=False)
    return groups.agg(seconds=("seconds", "mean"), peak_mib=("peak_mib", "max"), runs=("method", "size")).reset_index()


def times_table(runs: Sequence[Path]) -> pd.DataFrame:
    """Seconds that each stage of each run took, by run and stage, and their sum; what a sweep copied from another run
    counts as what it took there."""
    rows = {}
    for run in runs:
        markers = {stage: run / stage / "done.json" for stage in STAGES.values()}
        rows[run.name] = {stage: read_json(file).get("seconds") for stage, file in markers.items() if file.is_file()}
    table = pd.DataFrame.from_dict(rows, orient="index", dtype=float).rename_axis("run")
    return table.assign(total=table.sum(axis=1))
