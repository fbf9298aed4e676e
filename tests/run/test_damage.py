"""Every file of a run cut, emptied, changed in one byte, deleted or exchanged: whoever reads the stage is told."""

import json
import shutil

import pytest

from delrec_kit.__main__ import main
from delrec_kit.run.directory import DEPENDS, STAGES, RunDirectory
from delrec_kit.run.files import DONE
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve

FILES = ("metrics.json", "table.parquet", "folds/0/model.safetensors", "curve.csv", "adapter_config.json")


def write(path, stage, seed):
    path.write_text(json.dumps({"stage": stage, "name": path.name, "seed": seed, "more": [*range(50)]}))


def make(path, seed):
    run = RunDirectory.create(path, resolve("demo", [f"seed={seed}"]))
    for stage in DEPENDS:
        with run.writing(stage) as folder:
            (folder / "folds" / "0").mkdir(parents=True)
            for name in FILES:
                write(folder / name, stage, seed)
    return run


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return [make(tmp_path_factory.mktemp(f"seed{seed}"), seed) for seed in (0, 1)]


@pytest.fixture
def run(two, tmp_path):
    shutil.copytree(two[0].path, tmp_path / "run")
    return RunDirectory.open(tmp_path / "run")


def cut(path, other):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path, other):
    path.write_bytes(b"")


def flipped(path, other):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def deleted(path, other):
    path.unlink()


def exchanged(path, other):
    shutil.copy(other, path)


HARMS = [cut, emptied, flipped, deleted, exchanged]


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("stage", DEPENDS)
def test_no_damaged_file_is_read_in_silence(run, two, stage, harm, capsys):
    number = next(number for number, name in STAGES.items() if name == stage)
    for name in (*FILES, DONE):
        file = run.folder(stage) / name
        before = file.read_bytes()
        harm(file, two[1].folder(stage) / name)
        with pytest.raises(KitError) as raised:
            run.require(stage)
        text = str(raised.value)
        assert number in text and stage in text and "\n" not in text
        assert name in text or harm is exchanged, "what belongs to other settings says which"
        assert main(["check", str(run.path)]) == 1
        table = capsys.readouterr().out
        assert name in table or harm is exchanged
        file.write_bytes(before)
        assert run.require(stage) == run.folder(stage)


def test_the_settings_of_the_run_too(run, two, capsys):
    file = run.path / "config.json"
    before = file.read_bytes()
    for harm in HARMS:
        harm(file, two[1].path / "config.json")
        assert main(["check", str(run.path)]) != 0
        shown = capsys.readouterr()
        assert "config.json" in shown.out + shown.err and "Traceback" not in shown.err
        file.write_bytes(before)
    assert main(["check", str(run.path)]) == 0
    assert "whole, 6 files" in capsys.readouterr().out


@pytest.mark.parametrize("place", range(0, 5000, 97))
def test_no_changed_byte_of_a_record_or_of_the_settings_is_taken_for_truth(run, place):
    for file in (run.folder("prompt") / DONE, run.path / "config.json"):
        before = file.read_bytes()
        content = bytearray(before)
        content[place % len(content)] ^= 1
        file.write_bytes(content)
        try:
            told = RunDirectory.open(run.path)
            told.require("interpretation")
        except KitError:
            pass
        else:  # a profile's name is no setting, and how many prompts memory holds at a time changes no result
            train = told.config.train.model_copy(update={"at_once": 0})
            like = told.config.model_copy(update={"profile": "demo", "train": train})
            assert like == run.config and file.name == "config.json"
        file.write_bytes(before)


def test_a_file_that_the_stage_did_not_write_is_not_taken_for_its_own(run):
    (run.folder("data") / "notes.txt").write_text("mine")
    (run.folder("data") / ".hidden.json").write_text("{}")
    assert run.require("data")
    (run.folder("data") / "cold_items.parquet").write_bytes(b"")
    with pytest.raises(KitError, match=r"cold_items.parquet was not written by this stage"):
        run.require("data")


def test_a_run_of_an_older_kit_is_told_and_not_refused(run, capsys):
    for stage in DEPENDS:
        marker = json.loads((run.folder(stage) / DONE).read_text())
        kept = {key: marker[key] for key in ("fingerprint", "inputs", "content", "seconds")}
        (run.folder(stage) / DONE).write_text(json.dumps(kept))
    (run.path / "config.json").write_text((run.path / "config.json").read_text().replace('"schema": 1,', ""))
    for stage in DEPENDS:
        assert run.require(stage)
    assert capsys.readouterr().err.count("older kit, without checksums") == 1
    assert main(["check", str(run.path)]) == 0
    assert "no checksums: made by an older kit" in capsys.readouterr().out


def test_settings_of_a_newer_kit_are_refused(run):
    file = run.path / "config.json"
    file.write_text(file.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(KitError, match=r"config.json says schema '2', and this kit reads 1.*another version"):
        RunDirectory.open(run.path)


def test_a_damaged_stage_that_comes_out_the_same_keeps_what_follows(run):
    (run.folder("data") / "table.parquet").unlink()
    shutil.rmtree(run.folder("data"))
    with pytest.raises(KitError, match=r"stage 01 \(data\) has not been run"):
        run.require("adapter")
    with run.writing("data") as folder:
        (folder / "folds" / "0").mkdir(parents=True)
        for name in FILES:
            write(folder / name, "data", 0)
    assert all(run.require(stage) for stage in DEPENDS)


def test_what_made_a_stage_stale_is_named(run):
    changed = RunDirectory(run.path, resolve("demo", ["distill.k=3"]))
    with pytest.raises(KitError, match=r"stage 03 \(prompt\) was made with other settings: distill.k was 10, and"):
        changed.require("adapter")
    assert changed.require("teacher")


def test_a_copied_stage_is_whole_or_not_copied(run, tmp_path):
    new = RunDirectory.create(tmp_path / "new", run.config)
    emptied(run.folder("teacher") / "curve.csv", None)
    assert new.adopt(run) == ["data"]
