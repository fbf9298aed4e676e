"""The papermill driver, on small notebooks of its own: each test starts one or two real kernels."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from threading import Timer

import nbformat
import psutil
import pytest

from delrec_kit.batch import notebooks as notebook_runner
from delrec_kit.batch.ahead import DEMO, ahead
from delrec_kit.batch.kernel import Kernels
from delrec_kit.batch.notebooks import NotebookFailed, run_notebooks
from delrec_kit.run.directory import RunDirectory
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve

PARAMETERS = 'profile = "demo"\nrun_dir = "../runs/demo"\noverrides = []'
COMPLETE = """\
import os, sys
from delrec_kit.settings.resolve import resolve
from delrec_kit.run.directory import RunDirectory, write_json
run = RunDirectory.create(run_dir, resolve(profile, overrides))
print("interpreter", sys.executable)
with run.writing("data") as folder:
    seen = ("MPLBACKEND", "TOKENIZERS_PARALLELISM", "HF_HUB_OFFLINE", "DELREC_KIT_PROGRESS")
    seen = {name: os.environ.get(name) for name in seen}
    write_json(folder / "seen.json", {"k": run.config.distill.k, "cwd": os.getcwd(), **seen})
"""


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Makes ``01_data_prep.ipynb`` with given code cells, in the place of the kit's notebooks."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(notebook_runner, "shipped", lambda name: folder)

    def write(*cells):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (PARAMETERS, *cells)])
        notebook.cells[0].metadata["tags"] = ["parameters"]
        nbformat.write(notebook, folder / "01_data_prep.ipynb")
        return folder

    return write


def start(tmp_path, *overrides):
    run = RunDirectory.create(tmp_path / "run", resolve("demo", overrides))
    return run, lambda: run_notebooks(run, "demo", list(overrides), ["01"])


def executed(run):
    return json.loads((run.path / "notebooks" / "01_data_prep.ipynb").read_text(encoding="utf-8"))


def test_a_notebook_runs_with_its_parameters_in_this_interpreter(tmp_path, sources, capsys, monkeypatch):
    other = tmp_path / "jupyter" / "kernels" / "python3"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text(
        json.dumps({"argv": ["no-such-python"], "display_name": "x", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    folder = sources(COMPLETE)
    run, go = start(tmp_path, "distill.k=7")
    before = sorted(path.name for path in folder.iterdir())
    assert go() == [run.path / "notebooks" / "01_data_prep.ipynb"]

    seen = json.loads((run.require("data") / "seen.json").read_text())
    assert seen["k"] == 7
    assert seen["HF_HUB_OFFLINE"] == "1"
    assert seen["TOKENIZERS_PARALLELISM"] == "false"
    assert seen["DELREC_KIT_PROGRESS"] == "lines"
    assert "inline" in seen["MPLBACKEND"]
    assert seen["cwd"] == str(run.path / "notebooks")
    assert sorted(path.name for path in folder.iterdir()) == before

    shown = capsys.readouterr().out
    assert f"    interpreter {sys.executable}\n" in shown
    assert shown.startswith("01_data_prep …\n")

    go()
    assert capsys.readouterr().out == "01_data_prep: done before, skipped\n"


def test_between_notebooks_it_says_what_is_there_to_see_and_how_long_is_left(tmp_path):
    run = RunDirectory.create(tmp_path / "run", resolve("demo"))
    waiting = list(DEMO)
    assert ahead(run, {}, waiting) == f"about {sum(DEMO.values()) / 60:.0f} min left for {' '.join(DEMO)}"
    run.figures.mkdir(exist_ok=True)
    (run.figures / "01_split.png").touch()
    slow = ahead(run, {"01": 2 * DEMO["01"]}, waiting[1:])
    assert slow.startswith(f"pictures in {run.figures}: 01_split.png; ")
    assert f"about {2 * sum(DEMO[n] for n in waiting[1:]) / 60:.0f} min left" in slow, "at the pace so far"
    assert "01_split" not in ahead(run, {"01": 0.1}, waiting[1:]), "it was skipped"
    other = RunDirectory.create(tmp_path / "other", resolve("smoke"))
    assert ahead(other, {}, waiting) == "", "nobody knows"


def test_a_changed_source_is_executed_again_on_the_finished_stage(tmp_path, sources, capsys):
    sources(COMPLETE)
    run, go = start(tmp_path)
    go()
    made = (run.require("data") / "done.json").stat().st_mtime_ns
    sources("print('only pictures now')")
    go()
    assert "only pictures now" in capsys.readouterr().out
    assert (run.require("data") / "done.json").stat().st_mtime_ns == made


def test_a_stage_is_made_anew_on_purpose_and_a_damaged_one_is_not_skipped(tmp_path, sources, capsys):
    sources(COMPLETE)
    run, go = start(tmp_path)
    go()
    made = (run.require("data") / "done.json").stat().st_mtime_ns
    RunDirectory.create(run.path, run.config, anew="data")
    go()
    assert "01_data_prep: done before" not in capsys.readouterr().out
    assert (run.require("data") / "done.json").stat().st_mtime_ns > made
    (run.folder("data") / "seen.json").write_text("{}")
    with pytest.raises(KitError, match=r"data/seen.json has 2 bytes, .* delete data/ there and run stage 01 again"):
        go()


@pytest.mark.parametrize(
    ("cell", "kind", "says"),
    [
        (
            "from delrec_kit.settings.errors import KitError\nraise KitError('u.data, line 3: no item')",
            KitError,
            "u.data, line 3",
        ),
        ("1 / 0", NotebookFailed, "ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(0)", NotebookFailed, r"before stage 01 \(data\) was done"),
        ("import os\nos._exit(9)", NotebookFailed, "process died"),
    ],
    ids=["user error", "crash", "early exit", "dead kernel"],
)
def test_a_failure_is_one_line_and_its_notebook_is_kept(tmp_path, sources, capfd, cell, kind, says):
    sources("print('before')", cell)
    run, go = start(tmp_path)
    with pytest.raises(kind, match=says) as raised:
        go()
    assert "\n" not in str(raised.value)
    failed = run.path / "notebooks" / "01_data_prep.failed.ipynb"
    assert str(failed) in str(raised.value)
    shown = capfd.readouterr()
    assert "Traceback" not in shown.out + shown.err
    texts = [out.get("text") for c in json.loads(failed.read_text())["cells"] for out in c.get("outputs", [])]
    assert ["before\n"] in texts
    assert not run.is_done("data")
    assert not list(run.path.rglob(".*.draft")) + list(run.path.rglob(".*.running.ipynb"))

    sources(COMPLETE)
    go()
    assert not failed.exists()
    assert not [o for c in executed(run)["cells"] for o in c.get("outputs", []) if o["output_type"] == "error"]


def test_a_second_run_in_the_same_directory_is_refused(tmp_path, sources):
    sources("import time\nfrom delrec_kit.run.locking import HELD\nimport os\ndel os.environ[HELD]", COMPLETE)
    run, go = start(tmp_path)
    with pytest.raises(KitError, match="is in use by process"):
        go()
    assert not run.is_done("data")


def test_widget_state_is_not_kept(tmp_path, sources):
    sources("import ipywidgets\nipywidgets.IntSlider()", COMPLETE)
    run, go = start(tmp_path)
    go()
    assert "widgets" not in executed(run)["metadata"]


def test_a_missing_notebook_is_named(tmp_path, sources):
    sources(COMPLETE)
    with pytest.raises(KitError, match=r"unknown stage '02' \(known: 01"):
        notebook_runner.numbers_of("02")


def test_only_what_a_notebook_has_as_parameters_is_handed_over(tmp_path, sources):
    folder = sources(COMPLETE)
    assert notebook_runner.parameters_of(folder / "01_data_prep.ipynb") == ["profile", "run_dir", "overrides"]


@pytest.fixture
def started(tmp_path, sources):
    """``python -m delrec_kit run`` on a notebook that takes a minute, in a process of its own."""
    sources(
        COMPLETE.replace("    seen =", "    print('writing', flush=True)\n    __import__('time').sleep(60)\n    seen =")
    )
    run, _ = start(tmp_path)
    folder = notebook_runner.shipped("notebooks")
    code = (
        "import sys\nfrom pathlib import Path\nfrom delrec_kit import __main__\n"
        "from delrec_kit.batch import notebooks\n"
        f"notebooks.shipped = lambda name: Path({str(folder)!r})\n"
        f"sys.exit(__main__.main(['run', '--stages', '01', '--run-dir', {str(run.path)!r}]))"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # a background job's child ignores it
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(notebook_runner.__file__).parents[2], **heard, **pipes
    )
    yield run, process
    process.kill()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
@pytest.mark.parametrize("moment", ["01_data_prep …", "writing"], ids=["while the kernel starts", "in a stage"])
def test_a_signal_ends_the_kernel_and_leaves_no_drafts(started, how, moment):
    run, process = started
    assert any(moment in line for line in process.stdout)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    ours = said.splitlines()[-1]  # a kernel that is ended in the middle of something may log that before
    assert ours == "error: interrupted; the same command takes it up again"
    assert not list(run.path.rglob(".*.draft")) + list(run.path.rglob(".*.running.ipynb"))
    assert not run.is_done("data")
    assert not psutil.wait_procs(family, 10)[1]


def test_who_comes_after_a_kill_waits_for_the_kernel_that_is_left(started):
    run, process = started
    assert any("writing" in line for line in process.stdout)
    (kernel,) = psutil.Process(process.pid).children()
    kernel.suspend()  # else it would see that its parent is gone, and end
    process.kill()
    process.wait()
    Timer(1.0, kernel.kill).start()
    began = time.monotonic()
    with run.locked():
        assert time.monotonic() - began > 0.5, "both would write"


def test_a_notebooks_process_ends_with_it(tmp_path, sources):
    sources("import os\nfrom pathlib import Path\nPath('pid').write_text(str(os.getpid()))", COMPLETE)
    run, go = start(tmp_path)
    go()
    pid = int((run.path / "notebooks" / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_next_notebooks_process_imports_while_the_first_one_works(tmp_path, sources):
    folder = sources("import sys\nprint('delrec_kit.study.pictures' in sys.modules)")
    kernels, said = Kernels(tmp_path), []
    for another in (True, True, False):
        copy = tmp_path / "copy.ipynb"
        source = folder / "01_data_prep.ipynb"
        failure = notebook_runner._execute(source, copy, {}, partial(kernels.take, another=another))
        assert failure is None
        said.append(json.loads(copy.read_text())["cells"][-1]["outputs"][0]["text"])
    assert said == [["False\n"], ["True\n"], ["True\n"]]
    kernels.take(another=True)
    pid = kernels._next.provisioner.pid
    assert psutil.pid_exists(pid)
    kernels.close()
    assert not psutil.pid_exists(pid)
