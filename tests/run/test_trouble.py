"""Disk full, read-only, out of memory: one line with what to do, and nothing of what was finished is lost."""

import errno
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from delrec_kit.__main__ import main
from delrec_kit.run import checkpoints, files
from delrec_kit.run.directory import DEPENDS, RunDirectory
from delrec_kit.run.trouble import LOWER, trouble
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve, settable_keys

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
DISK = [
    FULL,
    OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device"),  # pyarrow
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),  # torch.save
]


def too_much(make):
    with pytest.raises((RuntimeError, MemoryError)) as raised:
        make(10**15)
    return raised.value


@pytest.fixture
def run(tmp_path):
    run = RunDirectory.create(tmp_path / "run", resolve("demo"))
    with run.writing("data") as folder:
        (folder / "content.txt").write_text("whole")
    return run


@pytest.mark.parametrize("error", DISK, ids=lambda error: type(error).__name__)
def test_a_full_disk_is_one_line_and_loses_nothing(run, error):
    kept = run.checkpoints("teacher")
    kept.mkdir(parents=True)
    with pytest.raises(KitError, match=r"stage teacher found no space left on the disk of .*run; make room"):  # noqa: SIM117
        with run.writing("teacher"):
            raise error
    assert run.require("data") and kept.is_dir() and not run.folder("teacher").exists()
    assert not list(run.path.glob(".*.draft"))
    with run.writing("teacher"):
        pass
    assert run.require("teacher")


def test_a_record_that_cannot_be_written_leaves_the_old_one(run, monkeypatch):
    before = (run.path / "config.json").read_bytes()

    def half(self, text, **_):
        with self.open("w") as file:
            file.write(text[:10])
        raise FULL

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match="No space left"):
        files.write_json(run.path / "config.json", {"seed": 1})
    monkeypatch.undo()
    assert (run.path / "config.json").read_bytes() == before
    assert not list(run.path.glob(".*.draft"))


def test_a_checkpoint_that_was_cut_off_by_a_full_disk_is_not_resumed_from(tmp_path):
    for step, state in ((2, "{}"), (4, '{"global_step"')):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / checkpoints.LAST_WRITTEN).write_text(state)
    assert checkpoints.last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")


@pytest.mark.parametrize(
    "error",
    [
        too_much(torch.empty),
        too_much(np.empty),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of …"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("stage", DEPENDS)
def test_too_little_memory_names_the_settings_to_lower(run, error, stage):
    with pytest.raises(KitError) as raised, run.writing(stage):
        raise error
    line = str(raised.value)
    assert line.startswith(f"stage {stage} ran out of memory") and LOWER[stage] in line and "\n" not in line
    assert "enforce fail" not in line


def test_the_settings_to_lower_are_settings():
    assert set(LOWER) == set(DEPENDS)
    for text in LOWER.values():
        assert set(re.findall(r"[a-z]+\.[a-z_]+", text)) <= set(settable_keys()), text


def test_any_other_error_stays_what_it_is(run):
    for error in (ValueError("memory of a goldfish"), RuntimeError("shapes differ"), OSError(errno.EIO, "I/O error")):
        assert trouble(error, run.path, "data") is None
        with pytest.raises(type(error)), run.writing("teacher"):
            raise error


def test_a_folder_that_cannot_be_written_in_is_one_line(run, monkeypatch, capsys):
    def refused(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("delrec_kit.run.locking.FileLock.acquire", refused)
    with pytest.raises(KitError, match=r"nothing can be written in .*run: Read-only file system; name another"):
        RunDirectory.create(run.path, resolve("demo", ["distill.k=3"]))
    for command in ("check", "status"):
        assert main([command, str(run.path)]) == 0, "who only looks needs no permission"
    assert "whole, 2 files" in capsys.readouterr().out


def test_a_report_that_finds_the_disk_full_is_one_line(monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "table.csv")

    monkeypatch.setattr("delrec_kit.__main__.settled", full)
    assert main(["run"]) == 1
    assert capsys.readouterr().err.startswith("error: table.csv: No space left on device; make room")
