"""Comparisons as tables: of one run, and of many runs over seeds."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from delrec_kit.evaluation.comparison import load_comparison
from delrec_kit.evaluation.metrics import METRICS
from delrec_kit.evaluation.statistics import holm
from delrec_kit.run.directory import read_json
from delrec_kit.settings.errors import KitError

USUAL, ABSENT = "nothing changed", object()
LONGEST = 60  # letters of a setting's value in a label


def comparison_table(comparison: Mapping[str, Any], *, numeric: bool = False) -> pd.DataFrame:
    """Methods by metrics.

    As text each cell is ``0.512 [0.480, 0.544]`` (95 % interval over users); with ``numeric`` the columns are pairs
    (metric, value | low | high).
    """
    methods = comparison["methods"]
    if numeric:
        rows = {
            name: {(metric, part): cell[part] for metric, cell in cells.items() for part in ("value", "low", "high")}
            for name, cells in methods.items()
        }
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.columns = pd.MultiIndex.from_tuples(table.columns, names=["metric", ""])
    else:
        rows = {name: {metric: _cell(cell) for metric, cell in cells.items()} for name, cells in methods.items()}
        table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename_axis("method")


def difference_table(comparison: Mapping[str, Any], metrics: Sequence[str] = ("HR@1", "NDCG@10")) -> pd.DataFrame:
    """Paired differences a − b with interval, p and ``p_adjusted``.

    The adjustment is Holm's, over the rows shown. ``sure`` says that p_adjusted is below 0.05.
    """
    table = pd.DataFrame(comparison["differences"], columns=["a", "b", "metric", "value", "low", "high", "p"])
    table = table[table["metric"].isin(metrics)].reset_index(drop=True)
    table["p_adjusted"] = holm(table["p"].to_numpy())
    return table.assign(sure=table["p_adjusted"] < 0.05)


def report_table(folders: Iterable[str | Path]) -> pd.DataFrame:
    """Mean and standard deviation over seeds, from the comparisons of many run directories.

    Runs that differ in the seed alone make one group. The ``settings`` column names what tells a group from the
    others, such as ``teacher.name=caser`` (empty for a single group).

    Returns:
        settings, method, metric, mean, sd (sample standard deviation; empty for one run), runs.

    Raises:
        KitError: no folders, a run without a comparison, or runs of one group that repeat a seed.
    """
    folders = [Path(folder) for folder in folders]
    if not folders:
        raise KitError("name at least one run directory to report on")
    labels = group_labels(folders)
    runs = [(folder.name, load_comparison(folder / "evaluation")) for folder in folders]
    _refuse_repeats([(label, comparison["seed"], name) for label, (name, comparison) in zip(labels, runs)])
    long = pd.DataFrame(
        [
            (label, method, metric, cell["value"])
            for label, (_, comparison) in zip(labels, runs)
            for method, cells in comparison["methods"].items()
            for metric, cell in cells.items()
        ],
        columns=["settings", "method", "metric", "value"],
    )
    groups = long.groupby(["settings", "method", "metric"], sort=False)["value"]
    return groups.agg(mean="mean", sd="std", runs="count").reset_index()


def group_labels(folders: Sequence[Path], besides: str = "") -> list[str]:
    """What tells each run's settings from the others', the seed and ``besides`` apart; runs with one label make one
    group."""
    settings = [_settings(folder) for folder in folders]
    return _labels([{key: value for key, value in one.items() if key != besides} for one in settings])


def by_settings(folders: Iterable[str | Path]) -> dict[str, list[Path]]:
    """The runs of each group, by its label."""
    folders, groups = [Path(folder) for folder in folders], {}
    for label, folder in zip(group_labels(folders), folders):
        groups.setdefault(label, []).append(folder)
    return groups


def report_text(table: pd.DataFrame) -> pd.DataFrame:
    """``report_table`` to read: one row a method, cells such as ``0.512 ± 0.010`` (no ± for a single run)."""
    spread = table["sd"].map(lambda sd: "" if pd.isna(sd) else f" ± {sd:.3f}")
    cells = table.assign(text=table["mean"].map("{:.3f}".format) + spread)
    methods = cells[["settings", "method", "runs"]].drop_duplicates()
    wide = cells.pivot(index=["settings", "method", "runs"], columns="metric", values="text")
    wide = wide.reindex(pd.MultiIndex.from_frame(methods))[[c for c in METRICS if c in wide]].reset_index()
    wide.columns.name = None
    return wide.drop(columns="settings") if (wide["settings"] == "").all() else wide


def write_report(
    table: pd.DataFrame,
    csv: str | Path | None = None,
    markdown: str | Path | None = None,
    **others: pd.DataFrame,
) -> None:
    """Write a ``report_table`` and ``others`` that belong to it, such as its differences: numbers as CSV (each of the
    others into a file of its own beside it), all in readable form as Markdown."""
    if csv is not None:
        csv = Path(csv)
        table.to_csv(csv, index=False)
        for name, other in others.items():
            other.to_csv(csv.with_name(f"{csv.stem}_{name}{csv.suffix}"), index=False)
    if markdown is not None:
        shown = [report_text(table), *(other.round(3) for other in others.values())]
        Path(markdown).write_text("\n".join(map(to_markdown, shown)), encoding="utf-8")


def to_markdown(table: pd.DataFrame) -> str:
    """A Markdown table of the columns (not of the index)."""
    cells = table.astype(object).map(lambda value: "" if value is None or value != value else str(value))
    rows = [list(map(str, table.columns)), ["---"] * table.shape[1], *cells.values.tolist()]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


def _cell(cell: Mapping[str, float]) -> str:
    return f"{cell['value']:.3f} [{cell['low']:.3f}, {cell['high']:.3f}]"


def _settings(run: Path) -> dict[str, str]:
    if not (run / "config.json").is_file():
        raise KitError(f"no run in {run}: config.json is missing; make one with 'python -m delrec_kit run'")
    config = {key: value for key, value in read_json(run / "config.json").items() if key != "seed"}
    flat = pd.json_normalize(config).iloc[0].to_dict()
    return {key: value if isinstance(value, str) else json.dumps(value, default=str) for key, value in flat.items()}


def _labels(settings: Sequence[dict[str, str]]) -> list[str]:
    keys = list(dict.fromkeys(key for one in settings for key in one))
    differing = [key for key in keys if len({one.get(key) for one in settings}) > 1]
    if "profile" in differing and len(differing) > 1:  # the profile's name says nothing beyond what it set
        rest = [key for key in differing if key != "profile"]
        same = len({tuple(one.get(k) for k in rest) for one in settings})
        differing = rest if same == len({tuple(one.get(k) for k in differing) for one in settings}) else differing
    usual = _usual(settings, differing)
    told = [[key for key in differing if one.get(key) != usual.get(key, ABSENT)] for one in settings]
    whole = [", ".join(f"{key}={one.get(key)}" for key in keys) for keys, one in zip(told, settings)]
    short = [", ".join(f"{key}={_short(one.get(key) or 'None')}" for key in keys) for keys, one in zip(told, settings)]
    labels = short if len(set(short)) == len(set(whole)) else whole
    return [label or USUAL for label in labels] if usual else labels


def _usual(settings: Sequence[dict[str, str]], keys: Sequence[str]) -> dict[str, str | None]:
    """The value that most of the variants have, of each setting, where one thing is changed at a time; else none."""
    variants = [dict(zip(keys, values)) for values in {tuple(one.get(key) for key in keys) for one in settings}]
    most = {key: Counter(one[key] for one in variants).most_common(1)[0][0] for key in keys}
    changes = [sum(one[key] != most[key] for key in keys) for one in variants]
    # one change may bring another with it, such as a teacher its number of layers
    return most if len(keys) > 2 and max(changes) <= 2 and 0 in changes and changes.count(1) > changes.count(2) else {}


def _short(text: str) -> str:
    """As much of a value as a label can hold."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _refuse_repeats(runs: Sequence[tuple[str, int, str]]) -> None:
    seen: dict[tuple[str, int], str] = {}
    for label, seed, name in runs:
        if (label, seed) in seen:
            raise KitError(f"runs {seen[label, seed]} and {name} have the same settings and seed {seed}; drop one")
        seen[label, seed] = name
