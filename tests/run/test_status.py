"""A run seen from another process: before, while, and after it works, and after it died."""

import json
import subprocess
import sys
import time

import pytest

from delrec_kit.__main__ import main
from delrec_kit.run import heartbeat, locking
from delrec_kit.run.directory import RunDirectory
from delrec_kit.run.heartbeat import NOW, TRAINING, beat, signs_of_life
from delrec_kit.run.progress import progress
from delrec_kit.run.status import status_text
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve

WRITER = """
import sys, time
from delrec_kit.run import heartbeat, locking
from delrec_kit.run.directory import RunDirectory
heartbeat.SECONDS = 0
run = RunDirectory.open(sys.argv[1])
with run.writing("data"):
    folder = run.checkpoints("data") / "main" / "checkpoint-4"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text('{"global_step": 4, "max_steps": 12}')
    for step in range(3, 7):
        time.sleep(0.05)
        heartbeat.beat("training", "stage 1", step, 12, "loss 2.500, valid HR@1 0.125")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def run(tmp_path):
    return RunDirectory.create(tmp_path / "run", resolve("demo"))


@pytest.fixture
def working(run):
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(run.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()


def test_a_run_is_followed_from_another_process_and_after_its_death(run, working, capsys):
    shown = status_text(run)
    assert f"01   data            running: process {working.pid} on" in shown
    assert "stage 1: 6 of 12, " in shown and "s left; loss 2.500, valid HR@1 0.125" in shown
    assert f"in use by process {working.pid}" in shown and "prompt          not run yet" in shown
    working.kill()
    working.wait()
    shown = status_text(run)
    assert "01   data            stopped, at 20" in shown and "the same command takes it up" in shown
    assert "stage 1: 6 of 12" in shown and "left" not in shown and "in use" not in shown
    assert "a checkpoint after step 4 of 12 is kept" in shown
    assert main(["status", str(run.path)]) == 0
    assert capsys.readouterr().out.endswith(shown + "\n")


def test_a_later_process_with_the_same_number_is_not_the_one_that_died(run, working):
    working.kill()
    working.wait()
    file = run.path / heartbeat.FILE
    sign = json.loads(file.read_text())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as later:
        file.write_text(json.dumps(sign | {"pid": later.pid, "since": sign["since"] - 3600}))
        assert "stopped" in status_text(run)
        file.write_text(json.dumps(sign | {"host": "elsewhere"}))
        assert "cannot be seen from here; its last sign of life came" in status_text(run)
        later.communicate(b"\n")


def test_what_ended_a_stage_is_told_and_a_finished_one_leaves_no_sign(run):
    with pytest.raises(ValueError, match="no luck"), run.writing("data"):
        raise ValueError("no luck\nat all")
    assert "stopped by ValueError: no luck at all, at 20" in status_text(run)
    with run.writing("data"):
        pass
    assert not (run.path / heartbeat.FILE).exists()
    assert "01   data            done in 0 s, 20" in status_text(run)


def test_rate_and_time_left_count_from_where_a_training_was_taken_up(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: now[0])
    with signs_of_life(tmp_path, "prompt"):
        for step in (8, 9, 10):
            beat(TRAINING, "stage 1", step, 12)
            now[0] += 4
        found = json.loads((tmp_path / heartbeat.FILE).read_text())[TRAINING]
        assert (found["done"], found["rate"]) == (10, 0.25)


def test_loops_and_trainings_are_told_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "SECONDS", 0)
    monkeypatch.setenv("DELREC_KIT_PROGRESS", "lines")
    with signs_of_life(tmp_path, "prompt"):
        beat(TRAINING, "stage 1", 1, 12)
        assert list(progress(range(3), "scoring")) == [0, 1, 2]
        found = json.loads((tmp_path / heartbeat.FILE).read_text())
        assert (found[NOW]["what"], found[NOW]["done"], found[TRAINING]["done"]) == ("scoring", 3, 1)
    beat(TRAINING, "nobody listens", 1, 2)
    assert not (tmp_path / heartbeat.FILE).exists()


def test_a_sign_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(heartbeat, "write_json", full)
    with signs_of_life(tmp_path, "data"):
        beat(NOW, "x", 1, 1)
    assert list(tmp_path.iterdir()) == []


def test_damaged_signs_are_no_signs(run):
    for text in ("", "[]", '{"stage": "data"}', '{"stage": "data", "host": 3, "pid": "x", "at": 1, "training": 5}'):
        (run.path / heartbeat.FILE).write_text(text)
        (run.path / ".lock.json").write_text(text)
        assert "01   data" in status_text(run)


@pytest.mark.parametrize("jump", [-1e8, 1e8], ids=["back", "on"])
def test_a_clock_that_jumps_loses_nothing(run, monkeypatch, jump):
    """A laptop that slept, a server that was set right: durations are counted by another clock."""
    monkeypatch.setattr(heartbeat, "SECONDS", 0)
    now = time.time
    with run.writing("data") as folder:
        (folder / "content.txt").write_text("whole")
        beat(TRAINING, "stage 1", 1, 9)
        monkeypatch.setattr(time, "time", lambda: now() + jump)
        beat(TRAINING, "stage 1", 2, 9)
        assert "stage 1: 2 of 9" in status_text(run)
    assert run.require("data") and 0 <= json.loads((folder.parent / "data" / "done.json").read_text())["seconds"] < 60
    assert "01   data            done in 0 s" in status_text(run)
    with run.writing("teacher"), pytest.raises(KitError, match="in use by process"):
        monkeypatch.setattr(locking, "_held", set())
        with run.locked():
            pass
