"""Which runs belong together: those that differ in the seed alone make a group, named by what tells it from others."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from delrec_kit.evaluation.comparison import OWN
from delrec_kit.run.config_file import read_config
from delrec_kit.run.directory import RunDirectory
from delrec_kit.settings.errors import KitError

USUAL = "nothing changed"
LONGEST = 40  # letters of a setting's value in a label
ASKED = ("evaluation.methods", "evaluation.protocols", "finetune.methods")  # which rows there are, not how one is made


def finished_runs(folder: str | Path) -> list[Path]:
    """The run directories in a sweep's folder that have a comparison of their settings. Those whose comparison was made
    with other settings, or is damaged, are named and left out. Raises KitError where there is none."""
    folder = Path(folder)
    found = sorted(path.parent.parent for path in folder.glob("*/evaluation/comparison.json"))
    runs = []
    for run in found:
        try:
            RunDirectory.open(run).require("evaluation")
            runs.append(run)
        except KitError as error:
            print(f"left out: {error}")
    if not runs:
        raise KitError(f"no finished run in {folder}; make some with 'python -m delrec_kit sweep GRID.yaml'")
    return runs


def protocols_of(runs: Iterable[Path]) -> list[str]:
    """The protocols that all the runs have compared under, ``candidates`` first."""
    each = [{path.parent.name for path in (Path(run) / "evaluation").glob("*/comparison.json")} for run in runs]
    return [OWN, *sorted(set.intersection(*each))] if each else []


def by_settings(runs: Iterable[str | Path]) -> dict[str, list[Path]]:
    """The runs of each group, by its label. Raises KitError for no runs, for a folder that is none, and where two runs
    of a group have the same seed."""
    runs, groups, first = [Path(run) for run in runs], {}, {}
    if not runs:
        raise KitError("name at least one run directory to report on")
    for label, run in zip(group_labels(runs), runs):
        seed = read_config(run)["seed"]
        if (label, seed) in first:
            both = f"{first[label, seed]} and {run.name}"
            raise KitError(f"runs {both} have the same settings and seed {seed}; drop one")
        first[label, seed] = run.name
        groups.setdefault(label, []).append(run)
    return groups


def group_labels(runs: Sequence[Path], besides: str = "") -> list[str]:
    """What tells each run's settings from the others', the seed and the setting ``besides`` apart, such as
    ``teacher.name=caser``, as short as keeps them apart; empty where nothing does. Those of one label make a group."""
    table = _settings(runs).drop(columns=besides, errors="ignore")
    table = table.loc[:, table.nunique() > 1]
    rest = table.drop(columns="profile", errors="ignore")
    if rest.shape[1] and len(rest.drop_duplicates()) == len(table.drop_duplicates()):
        table = rest  # the profile's name says nothing beyond what it set
    usual = _usual(table.drop_duplicates())
    told = table.to_dict("records")
    shown = [{key: value for key, value in row.items() if value != usual.get(key)} for row in told]
    common = {key: _in_every(table[key]) for key in table}
    short = [{key: _short(value, common[key]) for key, value in row.items()} for row in shown]
    made = [{key: value for key, value in row.items() if key not in ASKED} for row in short]
    tries = [
        [", ".join(f"{key}={value}" for key, value in row.items()) for row in rows] for rows in (made, short, shown)
    ]
    labels = next(labels for labels in tries if len(set(labels)) == len(set(tries[-1])))
    return [label or USUAL for label in labels] if usual else labels


def varied_setting(runs: Sequence[Path]) -> str | None:
    """The first setting with more than one number among the runs, the seed apart; None where there is none."""
    table = _settings(runs)
    numbers = table.apply(pd.to_numeric, errors="coerce").notna().all()
    return next((key for key in table if numbers[key] and table[key].nunique() > 1), None)


def _settings(runs: Sequence[Path]) -> pd.DataFrame:
    """A row a run, a column a setting but the seed; every value as text."""
    rows = []
    for run in runs:
        flat = pd.json_normalize(read_config(run)).drop(columns="seed").iloc[0].to_dict()
        rows.append({key: of if isinstance(of, str) else json.dumps(of, default=str) for key, of in flat.items()})
    return pd.DataFrame(rows).fillna("None")


def _usual(variants: pd.DataFrame) -> dict[str, str]:
    """The value that most of the variants have, of each setting, where one thing is changed at a time; else none."""
    if variants.shape[1] <= 2:
        return {}
    most = variants.mode().iloc[0]
    changes = (variants != most).sum(axis=1).tolist()
    # one change may bring another with it, such as a teacher its number of layers
    return most.to_dict() if max(changes) <= 2 and 0 in changes and changes.count(1) > changes.count(2) else {}


def _in_every(values: pd.Series) -> list:
    """What stands in every value of a setting that lists things."""
    lists = [json.loads(text) if text.startswith("[") else [] for text in values.unique()]
    return [each for each in lists[0] if all(each in other for other in lists)]


def _short(text: str, common: list) -> str:
    """As much of a value as a label can hold: of a long list what not every run has, behind an ellipsis."""
    if text.startswith("["):
        whole = json.loads(text)
        text = "+".join(map(str, whole))
        if len(text) > LONGEST:
            text = "+".join(["…", *(str(each) for each in whole if each not in common)])
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
