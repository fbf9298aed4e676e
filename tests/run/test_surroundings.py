import importlib.metadata
import json
import sys

import pytest

from delrec_kit.run import surroundings as module
from delrec_kit.run.directory import DEPENDS, RunDirectory
from delrec_kit.run.mixture import mixture
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve


def test_every_stage_says_what_surrounded_it_in_a_file_of_its_own(tmp_path):
    run = RunDirectory.create(tmp_path / "run", resolve("demo"))
    with run.writing("data"):
        pass
    said = json.loads((run.require("data") / module.FILE).read_text())
    assert said["packages"]["numpy"] == importlib.metadata.version("numpy")
    assert said["python"] == ".".join(map(str, sys.version_info[:3])) and said["started"] <= said["ended"]
    assert said["hardware"]["cores"] >= 1 and said["hardware"]["memory_gib"] > 0.1
    assert set(said["kit"]) >= {"version"} and said["system"]


def test_the_state_of_a_checkout_is_told_and_of_an_installed_kit_not(tmp_path, monkeypatch):
    module._git.cache_clear()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    assert module._git() == {}
    module._git.cache_clear()


def made(path, said, *overrides):
    run = RunDirectory.create(path, resolve("demo", overrides))
    for stage in DEPENDS:
        with run.writing(stage):
            pass
        kept = run.folder(stage) / module.FILE
        kept.write_text(json.dumps(said(stage, json.loads(kept.read_text()))))
    return run.path


def test_runs_that_were_not_made_alike_are_told_in_one_line(tmp_path):
    def other(stage, said):
        packages = said["packages"] | ({"torch": "1.0"} if stage == "prompt" else {})
        gpu = "a GPU" if stage in ("prompt", "adapter") else None
        return said | {"packages": packages, "hardware": said["hardware"] | {"gpu": gpu}}

    one, two = made(tmp_path / "1", lambda _, said: said), made(tmp_path / "2", lambda _, said: said, "seed=1")
    assert mixture([one, two]) is None and mixture([one]) is None
    three = made(tmp_path / "3", other)
    text = mixture([one, two, three])
    assert f"torch ({importlib.metadata.version('torch')}, 1.0)" in text and "gpu (None, a GPU)" in text
    assert "numpy" not in text and "cores" not in text and "\n" not in text
    assert "torch" in mixture([three]) and "gpu" not in mixture([three]), "a run may be a mixture by itself"


def test_runs_of_other_raw_data_are_told(tmp_path):
    runs = []
    for text in ("One", "Two"):
        raw = tmp_path / text
        raw.mkdir()
        (raw / "interactions.csv").write_text("user,item,timestamp\n1,1,1\n")
        (raw / "items.csv").write_text(f"item,title\n1,{text}\n")
        runs.append(made(tmp_path / f"run{text}", lambda _, s: s, "data.dataset=custom", f"data.data_dir={raw}"))
    text = mixture(runs)
    assert "the file items.csv (" in text and "interactions" not in text
    (tmp_path / "One" / "items.csv").write_text("item,title\n1,Three\n")
    with pytest.raises(KitError, match=r"stage 01 \(data\) was made before the file items.csv changed"):
        RunDirectory.open(runs[0]).require("evaluation")


def test_runs_of_an_older_kit_say_nothing(tmp_path):
    run = made(tmp_path / "1", lambda _, said: said)
    for stage in DEPENDS:
        (run / stage / module.FILE).unlink()
    assert mixture([run, run]) is None
