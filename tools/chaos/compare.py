"""Two runs of the same settings, file by file: all but times, memory and surroundings is equal, byte by byte."""

import csv
import json
from pathlib import Path
from typing import Any

from delrec_kit.run.files import DONE
from delrec_kit.run.stages import DEPENDS
from delrec_kit.run.surroundings import FILE as SURROUNDINGS

UNLIKE = {DONE, SURROUNDINGS}  # checksums of files with times in them; versions, hardware and moments
COST = ("seconds", "peak_mib")  # columns of tables, and beginnings of keys


def differences(one: Path, other: Path) -> list[str]:
    """The files of the stages that differ, or that only one of the runs has, by their names below the runs, or below
    the folders of two sweeps."""
    names = sorted({*_files(one), *_files(other)})
    return [name for name in names if Path(name).name not in UNLIKE and not _alike(one / name, other / name)]


def leftovers(run: Path) -> list[str]:
    """What a finished run, or each of a sweep, has no more: drafts, old stages, checkpoints, signs of life."""
    patterns = (".*.draft", ".*.old", ".checkpoints/*", ".working.json", ".redo.json", ".lock.json")
    patterns += (".*.ipynb", "notebooks/.*", "notebooks/*.failed.ipynb")
    found = {path for each in (run, *_runs(run)) for pattern in patterns for path in each.glob(pattern)}
    return sorted(str(path.relative_to(run)) for path in found)


def _runs(folder: Path) -> list[Path]:
    """Itself, or the runs of a sweep."""
    return [folder] if (folder / "config.json").is_file() else [path.parent for path in folder.glob("*/config.json")]


def _files(folder: Path) -> list[str]:
    found = (p for run in _runs(folder) for stage in DEPENDS for p in (run / stage).rglob("*") if p.is_file())
    return [str(path.relative_to(folder)) for path in found]


def _alike(one: Path, other: Path) -> bool:
    if not (one.is_file() and other.is_file()):
        return False
    if one.read_bytes() == other.read_bytes():
        return True
    if one.suffix == ".csv":
        return _table(one) == _table(other)
    if one.suffix == ".json":
        return _without_cost(json.loads(one.read_text())) == _without_cost(json.loads(other.read_text()))
    return False


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if key not in COST} for row in csv.DictReader(file)]


def _without_cost(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_cost(of) for key, of in value.items() if not key.startswith(COST)}
    return [_without_cost(each) for each in value] if isinstance(value, list) else value
