"""A grid of runs: what it expands to, what is copied, and that a failing run does not stop the others."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from delrec_kit.__main__ import main
from delrec_kit.batch import sweep
from delrec_kit.batch.ending import TIED
from delrec_kit.batch.sweep import read_grid, run_sweep
from delrec_kit.run.directory import RunDirectory, read_json
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve

GRID = "profile: smoke\nset: {data.candidates: 9}\ngrid: {seed: [0, 1], distill.k: [3, 5]}\n"


@pytest.fixture
def grid(tmp_path):
    def write(text=GRID):
        (tmp_path / "grid.yaml").write_text(text)
        return tmp_path / "grid.yaml"

    return write


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml")), ids=lambda p: p.stem
)
def test_the_experiments_of_the_kit_can_be_read(path):
    assert len(read_grid(path, ["data.data_dir=null"])) >= 2 and path.read_text(encoding="utf-8").startswith("# ")


def test_every_combination_is_a_run_of_its_own(grid):
    cells = read_grid(grid())
    assert [cell.name for cell in cells] == ["seed=0_k=3", "seed=0_k=5", "seed=1_k=3", "seed=1_k=5"]
    assert [(c.config.seed, c.config.distill.k, c.config.data.candidates) for c in cells] == [
        (0, 3, 9), (0, 5, 9), (1, 3, 9), (1, 5, 9),
    ]  # fmt: skip
    methods = read_grid(grid("grid: {finetune.methods: [[delrec], [llm_finetuned, delrec]]}"))
    assert [cell.config.finetune.methods for cell in methods] == [("delrec",), ("llm_finetuned", "delrec")]
    assert len(read_grid(grid("profile: smoke"))) == 1
    ablation = read_grid(grid("grid: {seed: [0, 1]}\none_of: [{}, {distill.k: 7, distill.h: 3}]"))
    assert [(c.config.seed, c.config.distill.k) for c in ablation] == [(0, 10), (1, 10), (0, 7), (1, 7)]
    assert ablation[-1].name == "seed=1_k=7_h=3"
    assert [c.config.data.candidates for c in read_grid(grid(), ["data.candidates=8"])] == [8] * 4
    assert {cell.stages for cell in cells} == {"01-05"}
    assert {cell.stages for cell in read_grid(grid(f"{GRID}stages: 01-05a"))} == {"01-05a"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("grid: [", "is not YAML"),
        ("- 1", "it needs the parts profile, set, grid, one_of, stages"),
        ("stages: 7-9", "unknown stage '07'"),
        ("gird: {seed: [1]}", "unknown part 'gird'; did you mean 'grid'?"),
        ("grid: {seed: 1}", "grid.seed must list the values"),
        ("grid: {seed: []}", "grid.seed must list the values"),
        ("grid: [seed]", "grid must be a table"),
        ("one_of: {distill.k: 5}", "one_of must list tables"),
        ("grid: {distil.k: [1]}", "did you mean 'distill.k'?"),
        ("grid: {distill.k: [0]}", "greater than or equal to 1"),
        ("grid: {seed: [1, 1]}", "the same"),
        ("profile: 3", "unknown profile '3'"),
        ("grid: {finetune.methods: [[]]}", "at least 1 item"),
        ("profile: smok", "did you mean 'smoke'?"),
        ("set: {data.dataset: custom}", "needs --data-dir"),
    ],
)
def test_a_faulty_grid_is_one_line_before_anything_runs(grid, text, says, capsys):
    with pytest.raises(KitError) as caught:
        read_grid(grid(text))
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert main(["sweep", str(grid(text))]) == 2


def test_long_names_are_cut_and_stay_apart(grid):
    sets = ", ".join(f"uniform-{m}" for m in range(2, 40))
    text = f"profile: smoke\ngrid: {{evaluation.protocols: [[{sets}]], finetune.methods: [[delrec], [delrec_kept]]}}"
    names = [cell.name for cell in read_grid(grid(text))]
    assert len(set(names)) == 2 and max(map(len, names)) < 120


def test_a_folder_that_cannot_be_written_fails_one_cell(grid, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "_run", lambda cell, path, runner: None)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "seed=0_k=5").write_text("in the way")
    assert run_sweep(read_grid(grid()), tmp_path / "out") == ["seed=0_k=5"]
    assert "seed=0_k=5: failed" in capsys.readouterr().out


def test_no_such_grid(tmp_path):
    with pytest.raises(KitError, match="cannot be read"):
        read_grid(tmp_path / "none.yaml")


def test_what_is_the_same_is_made_once_and_a_failure_stops_nobody(grid, tmp_path, capsys):
    made = []

    def pretend(command, log):
        """A run that makes data and teacher, and fails for one of the cells."""
        run = RunDirectory.open(command[command.index("--run-dir") + 1])
        for stage in ("data", "teacher"):
            if not run.is_done(stage):
                made.append((run.path.name, stage))
                with run.writing(stage) as folder:
                    (folder / "content.txt").write_text(run.path.name)
        log.write_text("error: no luck\n")
        return int(run.path.name == "seed=1_k=3")

    assert run_sweep(read_grid(grid()), tmp_path / "out", runner=pretend) == ["seed=1_k=3"]
    assert made == [(name, stage) for name in ("seed=0_k=3", "seed=1_k=3") for stage in ("data", "teacher")]
    copied = tmp_path / "out" / "seed=1_k=5" / "teacher"
    assert (copied / "content.txt").read_text() == "seed=1_k=3"
    assert RunDirectory.open(copied.parent).is_done("teacher")
    assert "seed=1_k=3: failed" in capsys.readouterr().out


def test_only_what_was_made_with_the_same_settings_is_copied(tmp_path):
    runs = [RunDirectory.create(tmp_path / str(n), resolve("smoke", [f"distill.k={n}"])) for n in (3, 5)]
    for stage in ("data", "teacher", "prompt"):
        with runs[0].writing(stage) as folder:
            (folder / "x").touch()
    assert runs[1].adopt(runs[0]) == ["data", "teacher"]
    assert runs[1].adopt(runs[0]) == [] and not runs[1].is_done("prompt")
    assert read_json(runs[1].folder("data") / "done.json") == read_json(runs[0].folder("data") / "done.json")


CHILD = "import sys, time; from delrec_kit.batch.ending import exit_code; print('ready', flush=True); "
CHILD += "from threading import Event; sys.exit(exit_code(lambda: Event().wait()))"  # as a run waits for a notebook
SWEEP = f"""
import sys
from pathlib import Path
from delrec_kit.batch.elsewhere import Here
from delrec_kit.batch.ending import exit_code
from delrec_kit.batch.sweep import read_grid, run_sweep
class Sleeping(Here):
    def __call__(self, command, log):
        return super().__call__([sys.executable, "-c", {CHILD!r}], log)
grid, out = map(Path, sys.argv[1:])
sys.exit(exit_code(lambda: run_sweep(read_grid(grid), out, jobs=2, runner=Sleeping(2))))
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_a_sweep_that_is_ended_ends_its_runs_and_begins_no_other(grid, tmp_path, how):
    out = tmp_path / "out"
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # a background job's child ignores it
    command = [sys.executable, "-c", SWEEP, str(grid("profile: smoke\ngrid: {seed: [0, 1, 2, 3]}")), str(out)]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True, **heard) as process:
        began = time.monotonic()
        while sum(log.read_text().startswith("ready") for log in out.glob("*.log")) < 2:
            assert time.monotonic() - began < 60
            time.sleep(0.1)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(how)
        said = process.communicate(timeout=30)[1]
    assert not psutil.wait_procs(family, 10)[1] and len(family) == 2
    assert len(list(out.glob("*.log"))) == 2, "the others were not begun"
    assert all("interrupted; the same command" in log.read_text() for log in out.glob("*.log"))
    if how != signal.SIGKILL:
        assert process.returncode == 130 and said == "error: interrupted; the same command takes it up again\n"


def test_a_run_whose_sweep_was_gone_before_it_began_says_so_in_one_line():
    environment = {**os.environ, TIED: "1"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 130 and done.stderr == "error: interrupted; the same command takes it up again\n"
