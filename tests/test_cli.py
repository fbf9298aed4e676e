import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from delrec_kit import __main__ as cli
from delrec_kit.__main__ import main
from delrec_kit.batch.notebooks import NotebookFailed
from delrec_kit.run.directory import RunDirectory
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve

ALL = ["01", "02", "03", "04", "05a", "05b", "05c"]


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
    for stage in ("data", "teacher", "prompt", "adapter"):
        with run.writing(stage):
            pass
    ranks = {"popularity": np.array([2.0, 2, 3, 4]), "delrec": np.array([1.0] * right + [5.0] * (4 - right))}
    with run.writing("evaluation") as draft:
        comparison = compare(ranks, protocol="candidates", m=15, seed=seed)
        write_comparison(draft, comparison, ranks, [f"u{i}" for i in range(4)])
    assert list(comparison["methods"]["delrec"]) == METRICS
    return run


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("run --profile dmo", "unknown profile 'dmo'; did you mean 'demo'?"),
        ("run --teacher sasrek", "should be 'sasrec', 'gru4rec' or 'caser'"),
        ("run --dataset ml100k", "'ml-100k'"),
        ("run --dataset custom", "needs --data-dir"),
        ("run --dataset steam", "datasets.html#steam_data"),
        ("run --profile cpu --data-dir flims", "no data folder flims; did you mean"),
        ("run --data-dir films", "dataset demo is made by the kit"),
        ("run --llm ./t5", "no language-model folder ./t5"),
        ("run --seed -1", "seed=-1"),
        ("run --stages 01,07", "unknown stage '07' (known: 01, 02, 03, 04, 05a,"),
        ("run --set distill.kk=3", "did you mean 'distill.k'?"),
        ("run --set distill.k=3 --set data.candidats=3", "did you mean 'data.candidates'?"),
        ("run --set distill.k=0", "greater than or equal to 1"),
        ("report films", "config.json is missing"),
        ("recommend films --history A", "config.json is missing"),
        ("stage distil films", "did you mean 'distill'?"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(words, says, capsys, started):
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and says in err and err.startswith("error: ") and err.count("\n") == 1
    assert not started and not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("run --profle demo", "No such option: --profle"),
        ("run --profile", "requires an argument"),
        ("rnu", "No such command 'rnu'"),
        ("run --seed one", "--seed"),
        ("run demo", "unexpected extra argument"),
        ("report", "Missing argument 'RUN_DIR"),
        ("recommend films --history A --top 0", "--top"),
    ],
)
def test_wrong_usage_is_told_by_the_command_line_itself(words, says, capsys, started):
    assert main(words.split()) == 2
    assert says in capsys.readouterr().err and not started and not Path("runs").exists()


def test_every_flag_reaches_the_settings_of_the_notebooks(started, stand_in, capsys):
    words = "run --profile cpu --dataset custom --data-dir films --teacher caser --seed 3 --stages 2,01 --run-dir here"
    assert main([*words.split(), "--set", "distill.k=7", "--set", "data.candidates=20"]) == 0
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
    assert main(["run", "--llm", "./films", "--dataset", "custom", "--data-dir", "./films"]) == 0
    run, profile, overrides, numbers = started[0]
    assert run.config.llm.name == run.config.data.data_dir == str(stand_in / "films")
    assert resolve(profile, overrides) == run.config
    assert run.path == stand_in / "runs" / "custom-sasrec-demo-seed0"
    assert numbers == ALL


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
    delrec = next(line for line in shown.splitlines() if line.startswith("DELRec"))
    assert "0.750 [" in delrec
    assert "4 users, the answer among 15" in shown


def test_report_is_the_mean_and_spread_over_seeds(capsys):
    for seed, right in enumerate([1, 3]):
        finished(f"s{seed}", seed, right)
    assert main(["report", "s0", "s1", "--csv", "table.csv", "--markdown", "table.md"]) == 0
    shown = capsys.readouterr().out
    delrec = next(line for line in shown.splitlines() if "DELRec" in line)
    assert "0.500 ± 0.354" in delrec
    numbers = pd.read_csv("table.csv").set_index(["method", "metric"])
    assert numbers.loc[("delrec", "HR@1"), "value"] == 0.5
    assert "0.500 ± 0.354" in Path("table.md").read_text(encoding="utf-8")


def test_report_refuses_numbers_of_other_settings(capsys):
    finished("s0", 0, 1)
    config = json.loads(Path("s0/config.json").read_text())
    Path("s0/config.json").write_text(json.dumps(config | {"seed": 9}))
    assert main(["report", "s0"]) == 2
    assert "was made with other settings" in capsys.readouterr().err
    for place in (".", "no/table.csv"):
        assert main(["report", "s0", "--csv", place]) == 2
        assert "cannot be written" in capsys.readouterr().err


def test_ranges_of_stages(started):
    main(["run", "--stages", "2-4,05"])
    assert started[-1][3] == ALL[1:]
    main(["run", "--stages", "05b"])
    assert started[-1][3] == ["05b"]


def test_recommend_hands_on_every_title(monkeypatch, capsys):
    asked = []

    def recommend(run, titles, top):
        asked.append((run.config.seed, titles, top))
        return pd.DataFrame({"rank": [1], "title": ["Blue Moon"], "score": [-1.25]})

    monkeypatch.setattr("delrec_kit.study.recommend.recommend", recommend)
    run = RunDirectory.create("run", resolve("demo", ["seed=4"]))
    for stage in ("data", "teacher", "prompt", "adapter"):
        with run.writing(stage):
            pass
    assert main(["recommend", "run", "--history", "Red Moon (1999)", "--history=-30- (1959)", "--top", "1"]) == 0
    assert asked == [(4, ["Red Moon (1999)", "-30- (1959)"], 1)]
    assert "Blue Moon" in capsys.readouterr().out


def test_recommend_before_fine_tuning_says_what_to_run(capsys):
    RunDirectory.create("run", resolve("demo"))
    assert main(["recommend", "run", "--history", "Red Moon"]) == 2
    assert "run notebook 01 first" in capsys.readouterr().err


def test_help_names_the_commands(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("run", "report", "recommend"))


def test_config_json_is_written_for_people(started):
    main(["run", "--run-dir", "here"])
    text = Path("here/config.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"schema": 1, **resolve("demo").model_dump(mode="json")}
    assert text.count("\n") > 20
