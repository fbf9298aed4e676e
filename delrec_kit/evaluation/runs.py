"""Many runs as tables: every method over seeds and draws, under every protocol, and against settings."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.evaluation.comparison import OWN, load_comparison, protocol_folder, ranks_of
from delrec_kit.evaluation.grouping import by_settings, group_labels, protocols_of
from delrec_kit.evaluation.paired import TESTED, bootstrap_intervals, judged, paired_test
from delrec_kit.evaluation.ranks import METRICS, per_user
from delrec_kit.run.config_file import read_config
from delrec_kit.run.directory import STAGES, read_json
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.methods import alike, base_of

LAST = 1e9  # the rank of an answer that was not ranked at all, so that two of them tie
PAID = ("seconds", "peak_mib")
BEGINS = alike(
    [
        ("llm_finetuned", "llm_zero_shot"),
        ("llm_finetuned_untrained_prompt", "llm_untrained_prompt"),
        ("delrec", "llm_distilled_prompt"),
    ]
)
DIFFERENCES = ["protocol", "settings", "a", "b", "metric", "value", "low", "high", "p", "p_holm", "sure", "effect"]
DIFFERENCES += ["win", "tie", "loss", "users", "sd", "agree", "runs"]


def results_table(runs: Iterable[str | Path], protocol: str = OWN, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Every method of each group of runs; a user's value is its mean over draws and over the runs that have the user.

    Returns:
        settings (the group), method, metric, value, low, high (95 % bootstrap interval over users), sd (of the runs'
        means, empty for one run), runs. Raises KitError as ``by_settings`` and ``load_comparison`` do.
    """
    rows = []
    for settings, members in by_settings(runs).items():
        seed = load_comparison(protocol_folder(members[0], protocol))["seed"]
        tables = [ranks_of(run, protocol) for run in members]
        for method in _in_all(tables):
            values = [_values(table, method) for table in tables]
            for metric in metrics:
                each = [one[metric] for one in values]
                users = _over_runs(each).to_numpy()
                low, high = bootstrap_intervals(users[None], seed=seed)
                sd = np.std([one.mean() for one in each], ddof=1) if len(each) > 1 else np.nan
                rows.append((settings, method, metric, users.mean(), low[0], high[0], sd, len(members)))
    return pd.DataFrame(rows, columns=["settings", "method", "metric", "value", "low", "high", "sd", "runs"])


def protocols_table(runs: Sequence[Path], metric: str = "HR@1") -> pd.DataFrame:
    """``metric`` of every method under each protocol that all the runs have: settings and method by protocol."""
    parts = [results_table(runs, name, [metric]).assign(protocol=name) for name in protocols_of(runs)]
    return pd.concat(parts).pivot_table(index=["settings", "method"], columns="protocol", values="value", sort=False)


def curve_table(runs: Sequence[Path], setting: str, metric: str = "HR@1") -> pd.DataFrame:
    """``metric`` of every method against a setting that the runs differ in: the columns of ``results_table``, settings
    being all others that differ, and ``at``, the setting's value. Along ``finetune.examples`` a fine-tuned method
    begins, at 0, as the frozen one that it starts from. Raises KitError where a run lacks the setting."""
    stage, _, field = setting.partition(".")
    groups: dict[tuple[str, float], list[Path]] = {}
    for others, run in zip(group_labels(runs, setting), runs):
        try:
            value = read_config(run)[stage][field]
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
        begins = [least[least["method"] == frozen].assign(method=name, at=0) for name, frozen in BEGINS]
        table = pd.concat([*(part[part["method"].isin(table["method"])] for part in begins), table], ignore_index=True)
    return table


def differences_table(runs: Iterable[str | Path], metrics: Sequence[str] = TESTED) -> pd.DataFrame:
    """The paired differences a − b under every protocol that the runs share, runs of a group taken together: a user's
    difference is its mean over the runs that have the user.

    Returns:
        protocol, settings, a, b, metric; value, low, high, p, p_holm and sure (a group under a protocol is a family);
        effect (the mean difference over its standard deviation, Cohen's d); win, tie, loss (users where a's rank is
        better, equal, worse); users; and what seeds do: sd (of the runs' mean differences, empty for one run), agree
        (runs whose mean difference has the sign of ``value``), runs. Without rows where no two methods are compared.
    """
    runs = [Path(run) for run in runs]
    parts = [
        _group_differences(members, protocol, metrics).assign(protocol=protocol, settings=label)
        for protocol in protocols_of(runs)
        for label, members in by_settings(runs).items()
    ]
    found = [part for part in parts if len(part)]
    return pd.concat(found, ignore_index=True)[DIFFERENCES] if found else pd.DataFrame(columns=DIFFERENCES)


def settings_differences(runs: Iterable[str | Path], metric: str = "HR@1") -> pd.DataFrame:
    """What a setting does to each method: every group of runs against the first, the same people under both. Rows that
    differ in their P alone are one method here, named after the paper's; the settings say which P it is. Columns:
    method, settings, against, metric; value, low, high, p, p_holm, sure and users, all rows being one family. Empty
    where there is one group, or no two rank the same people."""
    groups = {
        label: [ranks_of(run).rename(columns=base_of) for run in members]
        for label, members in by_settings(runs).items()
    }
    (first, base), *others = groups.items()
    rows, values = [], []
    for label, tables in others:
        for method in _in_all([*tables, *base]):
            of, against = (_over_runs([_values(t, method)[metric] for t in each]) for each in (tables, base))
            difference = (of - against).dropna().to_numpy()
            if len(difference) > 1:
                rows.append({"method": method, "settings": label, "against": first, "metric": metric})
                values.append(difference)
    return pd.DataFrame(rows).join(judged(paired_test(values, seed=0))) if rows else pd.DataFrame()


def spread_of_draws(runs: Sequence[Path], metric: str = "HR@1") -> pd.DataFrame:
    """How much the choice of distractors alone moves each method: settings, method, mean, least, most, where least and
    most are the mean and the furthest that a draw lies from the mean of its own run. Empty where no run drew twice.
    """
    table = _written(runs, "draws.csv")
    if table.empty:
        return pd.DataFrame(columns=["settings", "method", "mean", "least", "most"])
    table = table[table["metric"] == metric]
    table = table.assign(off=table["value"] - table.groupby(["run", "method"])["value"].transform("mean"))
    groups = table.groupby(["settings", "method"], sort=False)
    spread = groups.agg(mean=("value", "mean"), least=("off", "min"), most=("off", "max")).reset_index()
    return spread.assign(least=spread["mean"] + spread["least"], most=spread["mean"] + spread["most"])


def slices_table(runs: Sequence[Path], slice: str | None = None) -> pd.DataFrame:
    """HR@1 of every method by group of users, the mean over runs of the same settings: settings, slice, group, method,
    value, users (the mean number), runs."""
    groups = _written(runs, "slices.csv").groupby(["settings", "slice", "group", "method"], sort=False)
    table = groups.agg(value=("value", "mean"), users=("users", "mean"), runs=("value", "size")).reset_index()
    return table if slice is None else table[table["slice"] == slice]


def costs_table(runs: Sequence[Path]) -> pd.DataFrame:
    """What each method of the runs learned from, once where it is the same in all: the columns of ``costs.csv``, with
    seconds as their mean over runs and peak_mib as the most, and runs. Runs that do not say are left out."""
    table = _written(runs, "costs.csv")
    if table.empty:
        return table
    learned = [column for column in table if column not in ("settings", "run", *PAID)]
    groups = table.reindex(columns=[*learned, *PAID]).groupby(learned, sort=False)
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


def _group_differences(runs: Sequence[Path], protocol: str, metrics: Sequence[str]) -> pd.DataFrame:
    comparisons = [load_comparison(protocol_folder(run, protocol)) for run in runs]
    tables = [ranks_of(run, protocol) for run in runs]
    known = set(_in_all(tables))
    pairs = dict.fromkeys((d["a"], d["b"]) for d in comparisons[0]["differences"] if {d["a"], d["b"]} <= known)
    rows, values = [], []
    for a, b in pairs:
        ahead = _over_runs([_mean_ranks(table, b) - _mean_ranks(table, a) for table in tables])
        counts = {"win": int((ahead > 0).sum()), "tie": int((ahead == 0).sum()), "loss": int((ahead < 0).sum())}
        of, against = ([_values(table, method) for table in tables] for method in (a, b))
        for metric in metrics:
            each = [one[metric] - other[metric] for one, other in zip(of, against)]
            difference = _over_runs(each).to_numpy()
            means, spread = np.array([one.mean() for one in each]), difference.std(ddof=1)
            seeds = {
                "effect": difference.mean() / spread if spread else 0.0,
                "sd": means.std(ddof=1) if len(means) > 1 else np.nan,
                "agree": int((np.sign(means) == np.sign(difference.mean())).sum()),
                "runs": len(runs),
            }
            rows.append({"a": a, "b": b, "metric": metric, **counts, **seeds})
            values.append(difference)
    return pd.DataFrame(rows).join(judged(paired_test(values, comparisons[0]["seed"]))) if rows else pd.DataFrame()


def _in_all(tables: Sequence[pd.DataFrame]) -> list[str]:
    """The methods that every one of the tables has, in the order of the first."""
    return [name for name in tables[0] if all(name in table for table in tables)]


def _values(table: pd.DataFrame, method: str) -> pd.DataFrame:
    """Every metric of a method, a row a person."""
    return pd.DataFrame(per_user(np.stack(table[method])), index=table.index)


def _mean_ranks(table: pd.DataFrame, method: str) -> pd.Series:
    """Each person's rank, on average over the draws."""
    ranks = np.minimum(np.stack(table[method]).reshape(len(table), -1), LAST)
    return pd.Series(ranks.mean(axis=1), index=table.index)


def _over_runs(each: Sequence[pd.Series]) -> pd.Series:
    """Each person's mean over the runs that have it."""
    return pd.concat(each, axis=1).mean(axis=1)


def _written(runs: Sequence[Path], name: str) -> pd.DataFrame:
    """A table that each run's evaluation may hold, those of all runs, with their settings and run."""
    files = [(run / "evaluation" / name, label) for run, label in zip(runs, group_labels(runs))]
    tables = [
        pd.read_csv(file).assign(settings=label, run=file.parent.parent.name) for file, label in files if file.is_file()
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
