"""Finished work is replaced on purpose only, and stays until the new is whole, whenever the process dies."""

import os
import shutil
from pathlib import Path

import pytest

from delrec_kit.__main__ import main
from delrec_kit.run import drafts, redo
from delrec_kit.run.directory import DEPENDS, RunDirectory
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve

STAGES = list(DEPENDS)


def make(path, *overrides, anew=None):
    return RunDirectory.create(path, resolve("demo", overrides), anew)


def complete(run, stage, text="first"):
    with run.writing(stage) as folder:
        (folder / "content.txt").write_text(text)


def text(run, stage):
    return (run.folder(stage) / "content.txt").read_text()


@pytest.fixture
def run(tmp_path):
    run = make(tmp_path / "run")
    for stage in STAGES:
        complete(run, stage)
    return run


def test_a_stage_and_what_follows_are_replaced_and_the_old_stay_until_then(run):
    again = make(run.path, anew="adapter")
    assert [again.is_done(stage) for stage in STAGES] == [True, True, True, False, False, False]
    assert all(text(again, stage) == "first" for stage in STAGES), "nothing is gone yet"
    with pytest.raises(KitError, match=r"stage 04 \(adapter\) is being made anew \(--redo\)"):
        again.require("evaluation")
    with pytest.raises(ZeroDivisionError), again.writing("adapter"):
        raise ZeroDivisionError
    assert text(again, "adapter") == "first" and not again.is_done("adapter")
    for stage in STAGES[3:]:
        complete(again, stage, "second")
    assert [text(again, stage) for stage in STAGES] == ["first"] * 3 + ["second"] * 3
    assert all(again.require(stage) for stage in STAGES)
    assert not (run.path / redo.FILE).exists() and not list(run.path.glob(".*.old"))


def test_the_same_command_goes_on_and_does_not_begin_anew(run):
    again = make(run.path, anew="adapter")
    complete(again, "adapter", "second")
    kept = again.checkpoints("evaluation")
    kept.mkdir(parents=True)
    assert make(run.path, anew="adapter").is_done("adapter") and kept.is_dir()
    assert make(run.path).is_done("adapter") and not make(run.path).is_done("evaluation")
    assert not make(run.path, anew="prompt").is_done("prompt")


def test_what_is_replaced_may_get_other_settings_and_nothing_else_may(run):
    with pytest.raises(KitError, match=r"--redo prompt to replace prompt/"):
        make(run.path, "distill.k=3", anew="adapter")
    assert run.is_done("adapter") and not (run.path / redo.FILE).exists(), "what is refused changes nothing"
    again = make(run.path, "distill.k=3", anew="prompt")
    assert RunDirectory.open(run.path).config.distill.k == 3
    assert again.is_done("teacher") and not again.is_done("prompt") and text(again, "prompt") == "first"


def test_what_was_never_made_is_not_waited_for(tmp_path):
    run = make(tmp_path / "run")
    complete(run, "data")
    assert not (make(run.path, anew="teacher").path / redo.FILE).exists()
    again = make(run.path, anew="data")
    assert redo.left(run.path) == ["data"]
    complete(again, "data", "second")
    assert not (run.path / redo.FILE).exists() and again.is_done("data")


def test_nothing_resumes_from_the_training_that_is_replaced(run):
    folder = run.checkpoints("adapter")
    folder.mkdir(parents=True)
    make(run.path, anew="prompt")
    assert not folder.exists()


class Killed(BaseException):
    """Stands for a SIGKILL: what comes behind it in the block is not run either."""


@pytest.mark.parametrize("step", ["before", "between", "after"])
def test_a_kill_while_a_stage_is_put_in_its_place_loses_neither(run, monkeypatch, step):
    again, place, remove = make(run.path, anew="interpretation"), drafts.put_in_place, shutil.rmtree

    def killed(path, stage):
        draft, old, folder = drafts.draft_of(path, stage), drafts.old_of(path, stage), path / stage
        if step != "before":
            folder.rename(old)
        if step == "after":
            draft.rename(folder)
        monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
        raise Killed

    monkeypatch.setattr(drafts, "put_in_place", killed)
    with pytest.raises(Killed):
        complete(again, "interpretation", "second")
    monkeypatch.setattr(drafts, "put_in_place", place)
    monkeypatch.setattr(shutil, "rmtree", remove)
    back = make(run.path)
    assert text(back, "interpretation") == "second"
    assert not list(run.path.glob(".*.old")) + list(run.path.glob(".*.draft"))
    if step != "after":  # there the stage is made once more, which is idle but loses nothing
        assert back.require("interpretation")


def test_a_stage_is_on_the_disk_before_it_gets_its_name(run, monkeypatch):
    """What a loss of power would else take: the content of files that already bear their names."""
    again, done = make(run.path, anew="interpretation"), []
    sync, rename = os.fsync, Path.rename

    def synced(number):
        done.append(Path(f"/proc/self/fd/{number}").readlink().name)
        sync(number)

    def renamed(self, target):
        done.append(f"{self.name} -> {target.name}")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    complete(again, "interpretation", "second")
    place = done.index(".interpretation.draft -> interpretation")
    written = done[:place]
    assert {"content.txt", "done.json", "surroundings.json", ".interpretation.draft"} <= set(written)
    assert written.index(".done.json.draft") < len(written) - 1 - written[::-1].index(".interpretation.draft")
    assert done[place + 1] == run.path.name, "the names in the run's folder, before the old stage is deleted"


def test_a_torn_draft_is_not_taken_and_the_old_stage_comes_back(run):
    folder = run.folder("teacher")
    folder.rename(drafts.old_of(run.path, "teacher"))
    draft = drafts.draft_of(run.path, "teacher")
    shutil.copytree(drafts.old_of(run.path, "teacher"), draft)
    (draft / "content.txt").write_text("half")
    assert text(make(run.path), "teacher") == "first" and run.require("teacher")
    assert not draft.exists()


@pytest.mark.parametrize(("name", "stage"), [("4", "adapter"), ("05a", "evaluation"), ("prompt", "prompt")])
def test_a_stage_has_a_name_and_a_number(name, stage):
    assert redo.stage_named(name) == stage


def test_an_unknown_stage_is_refused_before_anything_runs(run, capsys):
    assert main(["run", "--run-dir", str(run.path), "--redo", "adaptor"]) == 2
    assert "did you mean 'adapter'?" in capsys.readouterr().err
    assert all(run.is_done(stage) for stage in STAGES)
