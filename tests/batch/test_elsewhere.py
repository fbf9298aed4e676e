"""Commands run here, as jobs by submitit and as tasks by Ray: the same logs and exit codes everywhere."""

import os
import sys
import threading

import pytest

from delrec_kit.batch.elsewhere import runner
from delrec_kit.settings.errors import KitError

SAYS = [sys.executable, "-c", "import os; print('threads', os.environ.get('OMP_NUM_THREADS'))"]
FAILS = [sys.executable, "-c", "import sys; print('no luck'); sys.exit(3)"]
DIES = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]


@pytest.fixture(scope="module", params=["here", "slurm", "ray"])
def where(request, tmp_path_factory):
    """Without SLURM submitit starts processes of this machine, and Ray a cluster of it alone."""
    if request.param != "here":
        pytest.importorskip({"slurm": "submitit"}.get(request.param, request.param))
    options = {"here": [], "slurm": ["timeout_min=2"], "ray": ["num_cpus=0.5"]}[request.param]
    yield runner(request.param, 1, tmp_path_factory.mktemp("jobs"), options)
    if request.param == "ray":
        import ray

        ray.shutdown()


@pytest.mark.slow
def test_an_exit_code_and_an_output_come_back(where, tmp_path):
    log = tmp_path / "run.log"
    assert where(SAYS, log) == 0 and where(FAILS, log) == 3
    assert log.read_text().startswith("threads ") and log.read_text().endswith("no luck\n")
    assert where(DIES, log) == -9, "a killed command is no success"


@pytest.mark.slow
def test_several_at_a_time(where, tmp_path):
    codes = {}

    def ask(number):
        codes[number] = where([sys.executable, "-c", f"print({number})"], tmp_path / f"{number}.log")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == {0: 0, 1: 0, 2: 0}
    assert [(tmp_path / f"{number}.log").read_text() for number in range(3)] == ["0\n", "1\n", "2\n"]


def test_runs_of_this_machine_share_its_cores(tmp_path):
    assert runner("here", 2, tmp_path)(SAYS, tmp_path / "log") == 0
    assert (tmp_path / "log").read_text() == f"threads {max(1, (os.cpu_count() or 1) // 2)}\n"


@pytest.mark.parametrize(
    ("on", "option", "says"),
    [
        ("here", "timeout_min=5", "runs on this machine take --jobs"),
        ("slurm", "timeout_min", "write NAME=VALUE"),
        ("slurm", "no_such_thing=1", "submitit does not take these options"),
        ("ray", "no_such_thing=1", "Ray does not take these options"),
    ],
)
def test_a_faulty_option_is_one_line(on, option, says, tmp_path):
    if on != "here":
        pytest.importorskip({"slurm": "submitit"}.get(on, on))
    with pytest.raises(KitError) as caught:
        runner(on, 1, tmp_path, [option])
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_an_engine_that_is_not_installed_is_one_line(monkeypatch, tmp_path):
    for on, module in (("slurm", "submitit"), ("ray", "ray")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(KitError, match="install it: pip install"):
            runner(on, 1, tmp_path)
