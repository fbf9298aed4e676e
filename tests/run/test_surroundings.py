import importlib.metadata
import json
import sys

from delrec_kit.run import surroundings as module
from delrec_kit.run.directory import RunDirectory
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
