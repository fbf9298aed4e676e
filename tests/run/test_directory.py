import json
import subprocess
import sys

import pytest
from filelock import FileLock

from delrec_kit.run.directory import DEPENDS, STAGES, RunDirectory, read_json
from delrec_kit.run.stages import counted_settings
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve

WRITER = """
import sys, time
from delrec_kit.settings.resolve import resolve
from delrec_kit.run.directory import RunDirectory
with RunDirectory.create(sys.argv[1], resolve("demo")).writing("data") as folder:
    (folder / "half.txt").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def make(path, *overrides, profile="demo"):
    return RunDirectory.create(path, resolve(profile, overrides))


def complete(run, stage, text="whole"):
    with run.writing(stage) as folder:
        (folder / "content.txt").write_text(text)


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "interactions.csv").write_text("user,item,timestamp\n1,1,1\n")
    (folder / "items.csv").write_text("item,title\n1,One\n")
    (folder / "notes.txt").write_text("read by nobody")
    return folder


@pytest.fixture
def other_writer(tmp_path):
    """Another process in the middle of writing the data stage of ``tmp_path/run``."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()


def test_a_finished_run_keeps_its_settings_whatever_it_is_opened_with(tmp_path):
    run = make(tmp_path / "run", "distill.k=7")
    for stage in DEPENDS:
        complete(run, stage)
    before = (run.path / "config.json").read_bytes()
    tried = {
        r"data\.dataset is 'demo' there, 'ml-100k' was asked for, .* and \d+ more": resolve("minilm"),
        r"distill\.k is 7 there, 9 was .* --redo prompt to replace prompt/, adapter/": resolve("demo", ["distill.k=9"]),
    }
    for says, asked in tried.items():
        with pytest.raises(KitError, match=says):
            RunDirectory.create(run.path, asked)
        assert (run.path / "config.json").read_bytes() == before
        assert all(RunDirectory.open(run.path).is_done(stage) for stage in DEPENDS)
    assert RunDirectory.create(run.path, run.config) == run


def test_a_stage_made_anew_with_another_result_makes_what_follows_stale(tmp_path):
    """As when a notebook's loss was changed, which is no setting."""
    run = make(tmp_path / "run")
    for stage in DEPENDS:
        complete(run, stage)
    done = lambda: [stage for stage in DEPENDS if run.is_done(stage)]  # noqa: E731
    for content, left in ((b"P", "prompt"), (b"P", "interpretation"), (b"another P", "prompt")):
        with run.writing("prompt") as folder:
            (folder / "soft_prompt.safetensors").write_bytes(content)
            (folder / "curve.csv").write_text(f"seconds\n{len(done())}\n")
        if left == "interpretation":
            for stage in ("adapter", "evaluation", "interpretation"):
                complete(run, stage)
        assert done()[-1] == left
    with pytest.raises(KitError, match=r"\(adapter\) was made before the results of stage 03 changed"):
        run.require("adapter")


def test_damaged_settings_of_a_finished_run_are_not_written_over(tmp_path):
    run = make(tmp_path / "run")
    complete(run, "data")
    (run.path / "config.json").write_text("{")
    with pytest.raises(KitError, match=r"config.json is damaged, and stages of that run are finished"):
        make(tmp_path / "run", "seed=4")
    assert (run.path / "config.json").read_text() == "{"


def test_what_is_not_done_yet_may_get_other_settings(tmp_path):
    run = make(tmp_path / "run")
    for stage in ("data", "teacher"):
        complete(run, stage)
    corrected = make(tmp_path / "run", "llm.history=5")  # after 03 had failed
    assert RunDirectory.open(run.path).config.llm.history == 5 and corrected.is_done("teacher")


def test_a_run_is_opened_with_the_settings_it_was_made_with(tmp_path):
    made = make(tmp_path / "run", "distill.k=7", "seed=3")
    opened = RunDirectory.open(tmp_path / "run")
    assert opened.config == made.config
    assert opened.path == made.path


def test_a_stage_is_done_once_it_was_written(tmp_path):
    run = make(tmp_path / "run")
    assert not run.is_done("data")
    complete(run, "data")
    assert run.is_done("data")
    assert (run.require("data") / "content.txt").read_text() == "whole"
    assert not run.is_done("teacher")


def test_a_failed_stage_leaves_what_was_there(tmp_path):
    run = make(tmp_path / "run")
    complete(run, "data")
    with pytest.raises(ZeroDivisionError), run.writing("data") as folder:
        (folder / "content.txt").write_text("half")
        raise ZeroDivisionError
    assert run.is_done("data")
    assert (run.folder("data") / "content.txt").read_text() == "whole"
    assert {path.name for path in run.path.iterdir()} <= {
        "config.json",
        "data",
        ".lock",
        ".lock.kernel",
        ".working.json",
    }


@pytest.mark.parametrize(
    ("override", "first_stale"),
    [
        ("seed=1", "data"),
        ("data.candidates=20", "data"),
        ("teacher.width=32", "teacher"),
        ("llm.history=5", "prompt"),
        ("distill.k=3", "prompt"),
        ("train.batch=3", "prompt"),
        ("finetune.rank=3", "adapter"),
        ("evaluation.draws=3", "evaluation"),
    ],
)
def test_a_changed_setting_makes_its_stage_and_those_after_it_stale(tmp_path, override, first_stale):
    run = make(tmp_path / "run")
    for stage in DEPENDS:
        complete(run, stage)
    changed = RunDirectory(run.path, resolve("demo", [override]))
    stages = list(DEPENDS)
    assert [changed.is_done(s) for s in stages] == [stages.index(s) < stages.index(first_stale) for s in stages]
    assert all(run.is_done(stage) for stage in stages)


def test_a_run_of_an_older_kit_stays_done_where_a_setting_came_later(tmp_path):
    run = RunDirectory.create(tmp_path / "run", resolve("smoke"))
    config = read_json(run.path / "config.json")
    config["finetune"].pop("epochs")
    (run.path / "config.json").write_text(json.dumps(config))
    assert RunDirectory.open(run.path).fingerprint("adapter") == run.fingerprint("adapter")
    assert "epochs" not in counted_settings(run.config)["finetune"], "as older kits wrote it down"
    other = RunDirectory.create(tmp_path / "other", resolve("smoke", ["finetune.epochs=3"]))
    assert other.fingerprint("prompt") == run.fingerprint("prompt")
    assert other.fingerprint("adapter") != run.fingerprint("adapter")


def test_every_stage_of_the_settings_counts_in_some_fingerprint():
    used = {name for names in DEPENDS.values() for name in names}
    assert used == set(resolve("demo").model_dump()) - {"profile"}
    assert list(DEPENDS) == list(STAGES.values())


def test_the_content_of_the_raw_files_counts_and_their_place_does_not(tmp_path, raw):
    settings = "data.dataset=custom", f"data.data_dir={raw}"
    run = make(tmp_path / "run", *settings)
    complete(run, "data")
    (raw / "notes.txt").write_text("still read by nobody")
    assert run.is_done("data")

    moved = raw.rename(tmp_path / "elsewhere")
    assert run.is_done("data"), "a finished stage does not need its raw files any more"
    here = make(tmp_path / "run", "data.dataset=custom", f"data.data_dir={moved}")
    assert here.is_done("data")

    (moved / "items.csv").write_text("item,title\n1,Two\n")
    assert not here.is_done("data")


def test_a_retrained_language_model_makes_the_prompt_stale(tmp_path):
    llm = tmp_path / "llm"
    llm.mkdir()
    (llm / "model.safetensors").write_bytes(b"weights")
    run = make(tmp_path / "run", f"llm.name={llm}")
    for stage in ("data", "teacher", "prompt"):
        complete(run, stage)
    (llm / "model.safetensors").write_bytes(b"other weights")
    assert [run.is_done(stage) for stage in ("data", "teacher", "prompt")] == [True, True, False]


def test_require_says_which_notebook_to_run(tmp_path):
    run = make(tmp_path / "run")
    with pytest.raises(KitError, match=r"stage 01 \(data\) has not been run; run notebook 01 first"):
        run.require("teacher")
    for stage in ("data", "teacher"):
        complete(run, stage)
    with pytest.raises(KitError, match=r"stage 03 \(prompt\) has not been run"):
        run.require("adapter")
    with pytest.raises(KitError, match=r"stage 02 \(teacher\) was made with other settings"):
        RunDirectory(run.path, resolve("demo", ["teacher.width=32"])).require("teacher")


def test_finished_stages_keep_no_checkpoints(tmp_path):
    run = make(tmp_path / "run")
    before = RunDirectory(run.path, resolve("demo", ["distill.k=3"]))
    for folder in (run.checkpoints("prompt"), before.checkpoints("prompt"), run.checkpoints("adapter")):
        folder.mkdir(parents=True)
    kept = run.checkpoints("adapter").name
    complete(run, "prompt")
    assert [path.name for path in (run.path / ".checkpoints").iterdir()] == [kept]


def test_another_writer_is_refused_and_named(tmp_path, other_writer):
    run = make(tmp_path / "run")  # same settings: looking in is allowed
    says = rf"in use by process {other_writer.pid} .* name another"
    with pytest.raises(KitError, match=says), run.writing("data"):
        pass
    with pytest.raises(KitError, match=says):
        make(tmp_path / "run", "seed=1")
    assert RunDirectory.open(tmp_path / "run").config.seed == 0


def test_a_killed_writer_leaves_nothing_half_written_and_no_lock(tmp_path, other_writer):
    other_writer.kill()
    other_writer.wait()
    run = make(tmp_path / "run")
    assert not run.is_done("data")
    assert not run.folder("data").exists()
    complete(run, "data")
    assert sorted(path.name for path in run.folder("data").iterdir()) == [
        "content.txt",
        "done.json",
        "surroundings.json",
    ]
    assert not list(run.path.glob(".*.draft"))


LOCKLESS = """
import errno, os
from filelock import FileLock
def refuse(self, *_, **__):
    raise {error}
FileLock.acquire = refuse
"""


@pytest.mark.parametrize(
    "error", ["OSError(errno.ENOLCK, 'No locks available')", "OSError(errno.EOPNOTSUPP, '')", "NotImplementedError"]
)
def test_a_network_folder_without_locks_has_one_writer_too(tmp_path, monkeypatch, capsys, error):
    monkeypatch.setattr("filelock.FileLock.acquire", FileLock.acquire)  # put back at the end
    exec(LOCKLESS.format(error=error), {})
    run = make(tmp_path / "run")
    with run.locked():
        assert (run.path / ".lock.soft").exists()
    said = capsys.readouterr().err
    assert said.count("cannot be locked; while a process writes there, .lock.soft says so") == 1
    command = [sys.executable, "-c", LOCKLESS.format(error=error) + WRITER, str(run.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as other:
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(KitError, match=rf"in use by process {other.pid} .* name another"), run.writing("data"):
            pass
        other.kill()
    complete(run, "data")
    assert run.require("data") and not list(run.path.glob("*.soft")) + list(run.path.glob(".*.soft"))


def test_the_lock_is_taken_twice_by_one_process_and_dropped_at_the_end(tmp_path):
    run = make(tmp_path / "run")
    with run.locked():
        complete(run, "data")
    assert not (run.path / ".lock.json").exists()
    complete(run, "teacher")


@pytest.mark.parametrize("text", ["", "{", '{"seed": 0'])
def test_a_damaged_config_is_one_clear_line(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(KitError, match=r"config\.json is not JSON"):
        RunDirectory.open(tmp_path)
    assert json.loads((make(tmp_path).path / "config.json").read_text())["seed"] == 0


def test_no_run_and_no_place_for_one(tmp_path):
    with pytest.raises(KitError, match=r"config\.json is missing"):
        RunDirectory.open(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(KitError, match="cannot make the run directory"):
        make(tmp_path / "file" / "run")
    with pytest.raises(KitError, match="cannot make the run directory"):
        make(tmp_path / "file")


def test_settings_of_a_finished_run_stay_whatever_made_its_stages_stale(tmp_path):
    """As when raw data were saved again, or the kit has one setting more than the one that made the run."""
    run = make(tmp_path / "run", "distill.k=7")
    for stage in DEPENDS:
        complete(run, stage)
    marker = run.folder("data") / "done.json"
    marker.write_text(marker.read_text().replace('"fingerprint": "', '"fingerprint": "0'))
    before = (run.path / "config.json").read_bytes()
    with pytest.raises(KitError, match=r"distill\.k is 7 there, 9 was"):
        make(tmp_path / "run", "distill.k=9")
    assert (run.path / "config.json").read_bytes() == before
    (run.path / "config.json").write_bytes(before.replace(b'"k": 7', b'"q": 7'))
    with pytest.raises(KitError, match=r"config.json: unknown setting 'distill.q'.* another version of the kit"):
        RunDirectory.open(run.path)


def test_what_a_notebook_trained_with_a_loss_of_its_own_is_not_adopted(tmp_path):
    one, two = make(tmp_path / "one"), make(tmp_path / "two")
    for stage in ("data", "teacher"):
        complete(one, stage)
    with one.writing("prompt") as folder:
        (folder / "metrics.json").write_text('{"own_loss": true}')
    assert two.adopt(one) == ["data", "teacher"]
