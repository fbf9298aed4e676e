"""Many runs from one file: every combination of a grid's settings, each in a run directory of its own.

The file is YAML, such as::

    profile: minilm
    set: {data.dataset: ml-100k, data.data_dir: path/to/ml-100k}    # of every run
    grid: {seed: [0, 1, 2], distill.k: [5, 10]}                     # every combination
    one_of: [{}, {distill.tasks: [rps]}, {teacher.name: caser}]      # each with every combination: one change a time
    stages: 01-05a                                                  # the notebooks of each run; by default 01-05

A run whose stages are done is skipped, one that was killed resumes, and one that fails does not stop the others. What
is the same in two runs, such as data and teacher where only ``distill.k`` differs, is made once and copied.
"""

import hashlib
import itertools
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import yaml

from delrec_kit.batch import elsewhere
from delrec_kit.batch.elsewhere import Runner, each_through
from delrec_kit.batch.notebooks import numbers_of
from delrec_kit.run.directory import RunDirectory
from delrec_kit.run.inputs import check_folders
from delrec_kit.settings.config import KitConfig
from delrec_kit.settings.errors import KitError, nearest
from delrec_kit.settings.resolve import resolve

PARTS = ("profile", "set", "grid", "one_of", "stages")
LONGEST = 100  # letters of a folder's name that come from the settings


@dataclass(frozen=True)
class Cell:
    """One run of a sweep. name: of its folder; overrides: as ``--set`` takes them; stages: as ``--stages`` does."""

    name: str
    profile: str
    overrides: tuple[str, ...]
    stages: str = "01-05"

    @property
    def config(self) -> KitConfig:
        return resolve(self.profile, self.overrides)


def read_grid(path: Path, settings: Sequence[str] = ()) -> list[Cell]:
    """The cells of a grid file, each with ``settings`` (as ``--set`` takes them) on top.

    Raises KitError for a file that is missing or no grid, and for unknown settings.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise KitError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KitError(f"{path} is not YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(content, Mapping):
        raise KitError(f"{path} is no grid; it needs the parts {', '.join(PARTS)}")
    for part in content:
        if part not in PARTS:
            raise KitError(f"{path}: unknown part '{part}'{nearest(str(part), PARTS)}")
    common, grid = (_table(path, content, part) for part in ("set", "grid"))
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise KitError(f"{path}: grid.{key} must list the values to try, such as [1, 2]")
    variants = content.get("one_of") or [{}]
    if not isinstance(variants, list) or not all(isinstance(variant, Mapping) for variant in variants):
        raise KitError(f"{path}: one_of must list tables of settings, such as [{{}}, {{distill.k: 5}}]")
    cells, stages = [], str(content.get("stages", Cell.stages))
    numbers_of(stages)
    for variant, *values in itertools.product(variants, *grid.values()):
        chosen = {**dict(zip(grid, values, strict=True)), **variant}
        overrides = tuple(f"{key}={json.dumps(value)}" for key, value in {**common, **chosen}.items())
        profile, overrides = content.get("profile", "demo"), (*overrides, *settings)
        cells.append(Cell(_name(chosen) or "run", profile, overrides, stages))
    for cell in cells:
        check_folders(cell.config)
    if len({cell.name for cell in cells}) < len(cells):
        raise KitError(f"{path}: two cells of the grid are the same; name each value once")
    return cells


def run_sweep(cells: Sequence[Cell], folder: Path, jobs: int = 1, runner: Runner | None = None) -> list[str]:
    """Run every cell as ``python -m delrec_kit run`` into ``folder``, ``jobs`` at a time; returns those that failed.

    Each cell's output lies beside its run directory, as ``NAME.log``. runner: where they run, see ``elsewhere``; by
    default here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runner = runner or elsewhere.runner("here", jobs, folder)
    adopting, failed = Lock(), []

    def work(cell: Cell) -> None:
        started = time.monotonic()
        try:
            with adopting:
                directory = RunDirectory.create(folder / cell.name, cell.config)
                for other in cells:
                    if other is not cell and (folder / other.name / "config.json").is_file():
                        directory.adopt(RunDirectory.open(folder / other.name))
            trouble = _run(cell, directory.path, runner)
        except KitError as error:
            trouble = str(error)
        seconds = time.monotonic() - started
        if trouble is not None:
            failed.append(cell.name)
        outcome = "done in" if trouble is None else "failed after"
        print(f"{cell.name}: {outcome} {seconds:.0f} s{'' if trouble is None else f': {trouble}'}", flush=True)

    first, rest = _one_a_teacher(cells)
    for part in (first, rest):  # what others can copy is made first
        each_through(work, part, jobs, runner)
    return failed


def _run(cell: Cell, path: Path, runner: Runner) -> str | None:
    """Run a cell to its end, its output added to its log; None, or the last line of one that failed."""
    settings = [word for override in cell.overrides for word in ("--set", override)]
    command = [sys.executable, "-m", "delrec_kit", "run", "--profile", cell.profile, "--run-dir", str(path)]
    command += ["--stages", cell.stages, *settings]
    log = path.with_name(f"{path.name}.log")
    if not runner(command, log):
        return None
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""]
    return f"{lines[-1][:600]} [{log}]"


def run_grid(grid: str | Path | None, folder: str | Path) -> Path:
    """Make what is missing of a grid's runs in ``folder``, and return the folder for its figures.

    None makes nothing. Raises KitError where every run failed, or the grid is faulty.
    """
    folder = Path(folder)
    if grid is not None:
        cells = read_grid(Path(grid))
        failed = run_sweep(cells, folder)
        if len(failed) == len(cells):
            raise KitError(f"all {len(cells)} runs failed; their logs lie in {folder}")
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    return folder / "figures"


def _one_a_teacher(cells: Sequence[Cell]) -> tuple[list[Cell], list[Cell]]:
    """The first cell of each data and teacher, and the others."""
    seen, first = set(), []
    for cell in cells:
        settings = cell.config.model_dump_json(include={"seed", "data", "teacher"})
        if settings not in seen:
            seen.add(settings)
            first.append(cell)
    return first, [cell for cell in cells if cell not in first]


def _table(path: Path, content: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    table = content.get(part) or {}
    if not isinstance(table, Mapping):
        raise KitError(f"{path}: {part} must be a table of settings, such as {{seed: …}}")
    return table


def _name(chosen: Mapping[str, Any]) -> str:
    text = "_".join(f"{key.rpartition('.')[2]}={json.dumps(value)}" for key, value in chosen.items())
    name = re.sub(r"[^\w.=+-]+", "-", text.replace('"', "")).strip("-")
    if len(name) <= LONGEST:
        return name
    return f"{name[:LONGEST]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
