"""The README's lines run, word for word, where ``runs/demo`` is the run that ``DELREC_KIT_RUN_DIR`` names."""

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from delrec_kit import __main__ as cli

if not os.environ.get("DELREC_KIT_RUN_DIR"):
    pytest.skip("no run to look at; DELREC_KIT_RUN_DIR=runs/smoke lifts this", allow_module_level=True)

ROOT = Path(__file__).parents[2]
RUN = Path(os.environ["DELREC_KIT_RUN_DIR"]).resolve()
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = re.findall(r"^(python -m delrec_kit [^#\n]*)", README, flags=re.M)
WRITES = {"explain": ["u7.html", "u7.png"], "recommend": ["recommendations.parquet"], "export": ["models/demo"]}


def words(line):
    return shlex.split(line)[3:]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a finished ``runs/demo``, the files that the lines name, and nothing else."""
    place = tmp_path_factory.mktemp("stranger")
    shutil.copytree(RUN, place / "runs" / "demo")
    shutil.copytree(ROOT / "experiments", place / "experiments")
    return place


@pytest.mark.parametrize("line", [line for line in LINES if words(line)[0] not in ("run", "sweep")])
def test_a_line_runs_word_for_word(line, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert cli.main(words(line)) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    files = WRITES.get(words(line)[0], []) if "--history" not in line else []
    assert said.strip() and all((place / name).exists() and name in said for name in files)


@pytest.mark.parametrize("line", [line for line in LINES if words(line)[0] in ("run", "sweep")])
def test_a_line_that_takes_long_begins_word_for_word(line, tmp_path, monkeypatch):
    """The notebooks themselves are run elsewhere in CI; the folders that a line names are there."""
    started = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "run_notebooks", lambda run, *rest: started.append(run.config))
    monkeypatch.setattr("delrec_kit.batch.sweep.run_sweep", lambda cells, *rest: [cell.name for cell in cells])
    (tmp_path / "path/to/ml-100k").mkdir(parents=True)
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    assert cli.main(words(line)) == (1 if words(line)[0] == "sweep" else 0)  # a sweep none of whose runs ended well
    assert started or words(line)[0] == "sweep"
