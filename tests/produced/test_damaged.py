"""Every file of a finished run harmed in every way: what reads it says so. ``DELREC_KIT_RUN_DIR`` names the run."""

import os
import random
import shutil
from pathlib import Path

import pytest

from delrec_kit.__main__ import main
from delrec_kit.data import PreparedData
from delrec_kit.run.directory import DEPENDS, RunDirectory
from delrec_kit.run.files import DONE
from delrec_kit.run.stages import number_of
from delrec_kit.settings.errors import KitError

if not os.environ.get("DELREC_KIT_RUN_DIR"):
    pytest.skip(
        "no run to harm a copy of; python -m delrec_kit run --profile smoke --run-dir runs/smoke, "
        "then DELREC_KIT_RUN_DIR=runs/smoke lifts this",
        allow_module_level=True,
    )


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


HARMS = {
    "cut": lambda content, place: content[:place],
    "emptied": lambda content, place: b"",
    "flipped": flipped,
    "deleted": lambda content, place: None,
    "exchanged": lambda content, place: content[::-1] + b"\n",  # as many files of another run have as many bytes
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    copy = tmp_path_factory.mktemp("damaged") / "run"
    shutil.copytree(os.environ["DELREC_KIT_RUN_DIR"], copy, ignore=shutil.ignore_patterns("notebooks", "figures"))
    return RunDirectory.open(copy)


@pytest.fixture
def harmed(run):
    """Harms a file of the run until the test is over."""
    before = {}

    def harm(file: Path, how: str, seed: int = 0):
        before[file] = content = file.read_bytes()
        new = HARMS[how](content, random.Random(seed).randrange(len(content)))
        file.unlink() if new is None else file.write_bytes(new)

    yield harm
    for file, content in before.items():
        file.write_bytes(content)


def files(run, stage):
    return sorted(path for path in run.folder(stage).rglob("*") if path.is_file())


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("stage", DEPENDS)
def test_every_file_of_every_stage(run, stage, how, capsys):
    for seed, file in enumerate(files(run, stage)):
        content = file.read_bytes()
        new = HARMS[how](content, random.Random(seed).randrange(len(content)))
        file.unlink() if new is None else file.write_bytes(new)
        try:
            with pytest.raises(KitError, match=file.name):
                run.require(stage)
            assert main(["check", str(run.path)]) == 1
            assert file.name in capsys.readouterr().out
        finally:
            file.write_bytes(content)
    assert run.require(stage)


@pytest.fixture(scope="module")
def commands(run, tmp_path_factory):
    """The commands that read a run, and what they say of it while it is whole."""
    split = PreparedData.load(run.require("data")).split
    page = str(tmp_path_factory.mktemp("page") / "page.html")
    return {
        "recommend": ["recommend", str(run.path), "--history", split.titles[split.train[0][0]], "--top", "3"],
        "report": ["report", str(run.path)],
        "explain": ["explain", str(run.path), "--user", split.user_keys[split.test.user[0]], "--out", page],
    }


READS = {
    "recommend": ("data", "teacher", "prompt", "adapter"),
    "report": ("evaluation",),
    "explain": ("data", "teacher", "prompt", "adapter", "interpretation"),
}
SAMPLE = [
    (command, stage, [*HARMS][(n + m) % len(HARMS)])
    for n, (command, stages) in enumerate(READS.items())
    for m, stage in enumerate(stages)
]


@pytest.mark.parametrize(("command", "stage", "how"), SAMPLE)
def test_real_commands_name_the_file_and_the_stage(run, harmed, commands, command, stage, how, capsys):
    among = [file for file in files(run, stage) if file.name != DONE]
    file = random.Random(f"{command} {stage}").choice(among)
    harmed(file, how)
    assert main(commands[command]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and file.name in error and f"run stage {number_of(stage)} again" in error


def test_whole_again_they_answer(commands, capsys):
    for words in commands.values():
        assert main(words) == 0
    assert "Traceback" not in capsys.readouterr().err
