import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from delrec_kit import __main__ as cli
from delrec_kit.__main__ import main, spread
from delrec_kit.batch.notebooks import NotebookFailed
from delrec_kit.run.directory import RunDirectory
from delrec_kit.settings.config import resolve
from delrec_kit.settings.errors import KitError


@pytest.fixture(autouse=True)
def stand_in(tmp_path, monkeypatch):
    """The user stands in an empty folder that has one subfolder ``films``."""
    (tmp_path / "films").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def started(monkeypatch):
    """What ``run`` hands to the notebooks, which are not run."""
    calls = []
    monkeypatch.setattr(cli, "run_notebooks", lambda run, *rest: calls.append((run, *rest)))
    return calls


def finished(folder, seed, right):
    """A run whose evaluation is done: DELRec ranks ``right`` of four users' answers first."""
    from delrec_kit.evaluation import METRICS, compare, write_comparison

    run = RunDirectory.create(folder, resolve("demo", [f"seed={seed}"]))
    ranks = {"popularity": np.array([2.0, 2, 3, 4]), "delrec": np.array([1.0] * right + [5.0] * (4 - right))}
    with run.writing("evaluation") as draft:
        comparison = compare(ranks, protocol="candidates", m=15, seed=seed, resamples=50)
        write_comparison(draft, comparison, ranks, [f"u{i}" for i in range(4)])
    assert list(comparison["methods"]["delrec"]) == METRICS
    return run


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("run --profle demo", "unknown flag --profle; did you mean '--profile'?"),
        ("run --profile dmo", "unknown profile 'dmo'; did you mean 'demo'?"),
        ("run --profile", "option '--profile' requires an argument"),
        ("rnu", "unknown command 'rnu'; did you mean 'run'?"),
        ("run --teacher sasrek", "did you mean 'sasrec'?"),
        ("run --dataset ml100k", "did you mean 'ml-100k'?"),
        ("run --dataset custom", "needs --data-dir"),
        ("run --dataset steam", "datasets.html#steam_data"),
        ("run --profile cpu --data-dir flims", "no data folder flims; did you mean"),
        ("run --data-dir films", "dataset demo is made by the kit"),
        ("run --llm ./t5", "no language-model folder ./t5"),
        ("run --seed one", "seed='one'"),
        ("run --seed -1", "seed=-1"),
        ("run --stages 01,07", "unknown stage '07' (known: 01, 02, 03, 04, 05,"),
        ("run --set distill.kk=3", "did you mean 'distill.k'?"),
        ("run --set distill.k=3 data.candidats=3", "did you mean 'data.candidates'?"),
        ("run --set distill.k=0", "greater than or equal to 1"),
        ("run --set", "option '--set' requires an argument"),
        ("run demo", "unexpected extra argument"),
        ("report", "missing argument 'RUN_DIR"),
        ("report films", "config.json is missing"),
        ("recommend films --history A", "config.json is missing"),
        ("recommend films --histroy A", "unknown flag --histroy; did you mean '--history'?"),
        ("recommend films --history A --top 0", "--top"),
        ("recommend films --history A --top ten", "--top"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(words, says, capsys, started):
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not started
    assert not Path("runs").exists()


def test_a_wrong_flag_answers_at_once_and_without_a_traceback():
    words = [sys.executable, "-X", "importtime", "-m", "delrec_kit", "run", "--sed", "3"]
    answer = subprocess.run(words, capture_output=True, text=True, cwd=Path(cli.__file__).parents[1], check=False)
    assert answer.returncode == 2
    assert answer.stdout == ""
    imported = {
        line.rpartition("|")[2].strip() for line in answer.stderr.splitlines() if line.startswith("import time")
    }
    assert "typer" in imported
    assert not imported & {"torch", "transformers", "pandas", "numpy", "papermill", "matplotlib"}
    rest = [line for line in answer.stderr.splitlines() if not line.startswith("import time")]
    assert len(rest) == 1
    assert "did you mean '--seed'?" in rest[0]


def test_every_flag_reaches_the_settings_of_the_notebooks(started, stand_in, capsys):
    words = "run --profile cpu --dataset custom --data-dir films --teacher caser --seed 3 --stages 2,01 --run-dir here"
    assert main([*words.split(), "--set", "distill.k=7", "data.candidates=20"]) == 0
    run, profile, overrides, numbers = started[0]
    assert run.path == stand_in / "here"
    assert (profile, numbers) == ("cpu", ["01", "02"])
    config = resolve(profile, overrides)
    assert config == run.config == RunDirectory.open("here").config
    assert (config.data.dataset, config.data.data_dir) == ("custom", str(stand_in / "films"))
    assert (config.teacher.name, config.seed, config.distill.k, config.data.candidates) == ("caser", 3, 7, 20)
    shown = capsys.readouterr().out
    assert "dataset custom, teacher caser, LLM tiny, seed 3" in shown
    assert str(run.path / "notebooks") in shown
    assert str(run.path / "figures") in shown


@pytest.fixture
def reachable(monkeypatch):
    """Every language model is; returns the names that were asked for."""
    names = []
    monkeypatch.setattr("delrec_kit.llm.check_reachable", lambda config: names.append(config.name))
    return names


def test_folders_are_relative_to_where_the_user_stands(started, stand_in, reachable):
    assert main(["run", "--llm", "./films", "--set", "data.dataset=custom", "data.data_dir=./films"]) == 0
    run, profile, overrides, numbers = started[0]
    assert run.config.llm.name == run.config.data.data_dir == str(stand_in / "films")
    assert resolve(profile, overrides) == run.config
    assert run.path == stand_in / "runs" / "custom-sasrec-demo-seed0"
    assert numbers == ["01", "02", "03", "04", "05"]


def test_a_hub_id_stays_one_and_is_sought_before_anything_runs(started, reachable):
    assert main(["run", "--llm", "google/flan-t5-small"]) == 0
    assert started[0][0].config.llm.name == "google/flan-t5-small"
    assert main(["run", "--llm", "google/flan-t5-small", "--stages", "01,02"]) == 0
    assert reachable == ["google/flan-t5-small"]


def test_a_model_that_cannot_be_had_starts_no_notebook(started, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # who is offline need not try for long
    assert main(["run", "--llm", "nobody/no-such-model-anywhere"]) == 2
    assert "nobody/no-such-model-anywhere" in capsys.readouterr().err and not started


@pytest.mark.parametrize(("error", "code"), [(KitError("m is too large"), 2), (NotebookFailed("it broke"), 1)])
def test_a_failing_notebook_is_one_line(monkeypatch, capsys, error, code):
    def fail(*_):
        raise error

    monkeypatch.setattr(cli, "run_notebooks", fail)
    assert main(["run"]) == code
    assert capsys.readouterr().err == f"error: {error}\n"


def test_run_ends_with_the_comparison(started, capsys):
    finished("runs/demo", 0, right=3)
    assert main(["run", "--run-dir", "runs/demo"]) == 0
    shown = capsys.readouterr().out
    delrec = next(line for line in shown.splitlines() if line.startswith("delrec"))
    assert "0.750 [" in delrec
    assert "4 users, the answer among 15" in shown


def test_report_is_the_mean_and_spread_over_seeds(capsys):
    for seed, right in enumerate([1, 3]):
        finished(f"s{seed}", seed, right)
    assert main(["report", "s0", "s1", "--csv", "table.csv", "--markdown", "table.md"]) == 0
    shown = capsys.readouterr().out
    delrec = next(line for line in shown.splitlines() if "delrec" in line)
    assert "0.500 ± 0.354" in delrec
    numbers = pd.read_csv("table.csv").set_index(["method", "metric"])
    assert numbers.loc[("delrec", "HR@1"), "mean"] == 0.5
    assert "0.500 ± 0.354" in Path("table.md").read_text(encoding="utf-8")


def test_report_refuses_numbers_of_other_settings(capsys):
    finished("s0", 0, 1)
    RunDirectory.create("s0", resolve("demo", ["distill.k=3"]))
    assert main(["report", "s0"]) == 2
    assert "was made with other settings" in capsys.readouterr().err
    assert main(["report", "s0", "--csv", "."]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_ranges_of_stages(started):
    main(["run", "--stages", "2-4,05"])
    assert started[-1][3] == ["02", "03", "04", "05"]


def test_report_refuses_a_folder_that_is_not_there(capsys):
    finished("s0", 0, 1)
    assert main(["report", "s0", "--csv", "no/table.csv"]) == 2
    assert "no folder" in capsys.readouterr().err


def test_recommend_hands_on_every_title(monkeypatch, capsys):
    asked = []

    def recommend(run, titles, top):
        asked.append((run.config.seed, titles, top))
        return pd.DataFrame({"rank": [1], "title": ["Blue Moon"], "score": [-1.25]})

    monkeypatch.setitem(sys.modules, "delrec_kit.study.pipeline", types.SimpleNamespace(recommend=recommend))
    monkeypatch.setattr("delrec_kit.study.pipeline", sys.modules["delrec_kit.study.pipeline"], raising=False)
    run = RunDirectory.create("run", resolve("demo", ["seed=4"]))
    with run.writing("adapter"):
        pass
    assert main(["recommend", "run", "--history", "Red Moon (1999)", "-30- (1959)", "--top", "1"]) == 0
    assert asked == [(4, ["Red Moon (1999)", "-30- (1959)"], 1)]
    assert "Blue Moon" in capsys.readouterr().out


def test_recommend_before_fine_tuning_says_what_to_run(capsys):
    RunDirectory.create("run", resolve("demo"))
    assert main(["recommend", "run", "--history", "Red Moon"]) == 2
    assert "run notebook 04 first" in capsys.readouterr().err


def test_help_names_the_commands(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("run", "report", "recommend"))


@pytest.mark.parametrize(
    ("words", "becomes"),
    [
        (["--history", "A", "B", "--top", "3"], ["--history=A", "--history=B", "--top", "3"]),
        (["--set", "a.b=1", "--set", "c.d=2"], ["--set=a.b=1", "--set=c.d=2"]),
        (["--history=A", "--top=3"], ["--history=A", "--top=3"]),
        (["--history", "--top", "3"], ["--history", "--top", "3"]),
        (["R", "--history", "-30-", ""], ["R", "--history=-30-", "--history="]),
    ],
)
def test_values_after_one_flag_are_spread(words, becomes):
    assert spread(words) == becomes


def test_config_json_is_written_for_people(started):
    main(["run", "--run-dir", "here"])
    text = Path("here/config.json").read_text(encoding="utf-8")
    assert json.loads(text) == resolve("demo").model_dump(mode="json")
    assert text.count("\n") > 20
