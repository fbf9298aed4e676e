"""From a DataFrame to recommendations, by the calls that the README shows."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import delrec_kit as dk
from delrec_kit.study.people import users_of
from delrec_kit.study.study import Study
from delrec_kit.teachers.stage import measure

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
QUICK = {
    "teacher.width": 16, "teacher.epochs": 2, "distill.k": 3, "distill.examples": 16, "finetune.examples": 24,
    "train.epochs": 1, "train.valid_users": 8, "finetune.methods": ["delrec"], "data.candidates": 8, "llm.history": 4,
}  # fmt: skip


def frames(users=18, each=9, whole=True):
    """People who go through a shelf of 40 films one by one, or by every second."""
    rng = np.random.default_rng(0)
    rows = [
        (100 + u, int((start + place * (1 + u % 2)) % 40) + 1, pd.Timestamp(2020, 1, 1 + place))
        for u in range(users)
        for start in [rng.integers(40)]
        for place in range(each)
    ]
    interactions = pd.DataFrame(rows, columns=["user", "item", "timestamp"])
    items = pd.DataFrame({"item": range(1, 41), "title": [f"Film {i}" for i in range(1, 41)]})
    if not whole:
        interactions["user"] = "u" + interactions["user"].astype(str)
        interactions["item"], items["item"] = ("i" + table["item"].astype(str) for table in (interactions, items))
    return interactions, items


@pytest.fixture(scope="module")
def recommender(toy_llm_folder, tmp_path_factory):
    settings = QUICK | {"llm.name": str(toy_llm_folder)}
    dataset = dk.Dataset.from_frame(*frames(), settings=settings, run_dir=tmp_path_factory.mktemp("run"))
    return dk.finetune(dk.distill(dk.Teacher.fit(dataset)))


def test_import_takes_nothing_heavy_and_less_than_a_second():
    script = (
        "import sys, time; started = time.perf_counter(); import delrec_kit as dk; names = set(dir(dk))\n"
        "print(time.perf_counter() - started, sorted({'torch', 'pandas'} & set(sys.modules)))\n"
        "print(names >= set(dk.__all__), dk.Teacher.fit.__name__, dk.distill.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    seconds, _, heavy = first.partition(" ")
    assert float(seconds) < 1 and heavy == "[]" and second == "True fit distill"
    with pytest.raises(AttributeError, match="no attribute 'distil'"):
        _ = dk.distil


def test_everybody_is_recommended_to_by_their_own_ids(recommender):
    interactions = frames()[0]
    table = recommender.recommend(k=5)
    assert table.columns.tolist() == ["user", "rank", "item", "title", "score", "teacher_rank"]
    assert table["user"].dtype == table["item"].dtype == "int64"
    assert sorted(table["user"].unique()) == sorted(interactions["user"].unique())
    assert (table.groupby("user")["rank"].apply(list).map(lambda ranks: ranks == [1, 2, 3, 4, 5])).all()
    had = set(interactions[["user", "item"]].itertuples(index=False, name=None))
    assert not had & set(table[["user", "item"]].itertuples(index=False, name=None)), "the test target is had, too"
    assert (table["title"] == "Film " + table["item"].astype(str)).all()
    one = recommender.recommend(103, k=5)
    pd.testing.assert_frame_equal(one, table[table["user"] == 103].reset_index(drop=True), rtol=1e-4)
    assert recommender.recommend([103, 101], k=2)["user"].tolist() == [103, 103, 101, 101]


def test_other_people_are_recommended_to_by_what_they_had(recommender):
    histories = pd.DataFrame({"user": [7, 7, 9], "title": ["Film 3", "Film 4", "Film 20"]})
    table = recommender.recommend(histories, k=3)
    assert table["user"].tolist() == [7, 7, 7, 9, 9, 9] and table["user"].dtype == "int64"
    assert not set(table.loc[table["user"] == 7, "item"]) & {3, 4}
    floats = pd.DataFrame({"user": [7.0, 7.0, 9.0], "item": [3.0, 4.0, 20.0]})
    pd.testing.assert_frame_equal(recommender.recommend(floats, k=3), table)
    assert recommender.recommend(pd.Series([103.0, 101.0]), k=1)["user"].tolist() == [103, 101]
    with pytest.raises(dk.KitError, match=r"histories: row 3 has user 9\.5; ids are whole numbers or text"):
        recommender.recommend(floats.assign(user=[7, 7, 9.5]))
    with pytest.raises(dk.KitError, match="histories: several columns are called user"):
        recommender.recommend(pd.concat([floats, floats["user"]], axis=1))
    with pytest.raises(dk.KitError, match="users mix types"):
        recommender.recommend(histories.assign(user=[7, "7", 9]))
    with pytest.raises(dk.KitError, match="the nearest is '103'"):
        recommender.recommend("10x3")


@pytest.mark.parametrize("k", [0, -1, 2.5, "3", None, True])
def test_a_k_that_is_no_count_is_refused_before_any_work(recommender, k, monkeypatch):
    monkeypatch.setattr(type(recommender), "_people", None)
    with pytest.raises(dk.KitError, match=re.escape(f"k={k!r} must be a whole number, at least 1")):
        recommender.recommend(k=k)


def test_given_candidates_are_ranked_by_the_model_itself(recommender):
    study = Study(recommender.dataset.run)
    candidates = [20, 5, 33]
    table = recommender.rank([1, 2, 3], candidates)
    assert sorted(table["item"]) == sorted(candidates) and table["score"].is_monotonic_decreasing
    assert table["rank"].tolist() == [1, 2, 3] and sorted(table["teacher_rank"]) == [1, 2, 3]
    people = users_of(study, ["103"])
    history, teacher = people.cases.history[0].tolist(), study.teacher.scores(people.cases)[0]
    keys = study.data.split.item_keys
    own = recommender.rank([int(keys[i]) for i in history], [int(keys[i]) for i in (4, 9)])
    assert own["item"][own["teacher_rank"] == 1].item() == int(keys[max((4, 9), key=lambda i: teacher[i])])
    with pytest.raises(dk.KitError, match="candidates: 1 of 2 rows name no item"):
        recommender.rank([1], [3, 99])
    with pytest.raises(dk.KitError, match="different items"):
        recommender.rank([1], [3, 3])


def test_a_choice_is_explained_on_a_page(recommender, tmp_path):
    page = recommender.explain(103)
    assert page.startswith("<!") and page._repr_html_() == page and "user 103" in page
    page.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page


def test_what_is_saved_says_the_same_elsewhere(recommender, tmp_path):
    recommender.save(tmp_path / "kept")
    again = dk.Recommender.load(tmp_path / "kept")
    pd.testing.assert_frame_equal(again.recommend(104, k=4), recommender.recommend(104, k=4))
    assert not list((tmp_path / "kept").rglob(".*"))
    with pytest.raises(dk.KitError, match="is there already"):
        recommender.save(tmp_path / "kept")
    with pytest.raises(dk.KitError, match="no method 'delrek'"):
        dk.Recommender.load(tmp_path / "kept", "delrek")


def test_finished_stages_are_skipped_and_p_answers_alone(recommender, monkeypatch):
    run = recommender.dataset.run
    interactions, items = frames()
    settings = QUICK | {"llm.name": run.config.llm.name}
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*.safetensors")}
    dataset = dk.Dataset.from_frame(interactions, items, settings=settings, run_dir=run.path)
    teacher = dk.Teacher.fit(dataset)
    distilled = dk.distill(teacher)
    dk.finetune(distilled)
    assert before == {path: path.stat().st_mtime_ns for path in run.path.rglob("*.safetensors")}
    assert teacher.metrics["name"] == "sasrec" and distilled.vectors.shape == (3, 64) and len(distilled.curve)
    alone = distilled.recommender().recommend(103, k=3)
    assert alone["score"].tolist() != recommender.recommend(103, k=3)["score"].tolist()
    with pytest.raises(dk.KitError, match="a run of other interactions"):
        dk.Dataset.from_frame(interactions.iloc[:-1], items, settings=settings, run_dir=run.path)
    with pytest.raises(dk.KitError, match=r"distill\.k is 3 there") as caught:
        dk.Dataset.from_frame(interactions, items, settings=settings | {"distill.k": 4}, run_dir=run.path)
    assert str(caught.value).endswith("name another run_dir=, or delete prompt/, adapter/ there to have them made anew")


@pytest.mark.parametrize("name", ["interactions.parquet", "items.parquet", None])
@pytest.mark.parametrize("harm", ["cut", "deleted"])
def test_frames_that_are_gone_or_damaged_are_named_and_can_be_brought_again(recommender, tmp_path, name, harm):
    recommender.save(tmp_path / "kept")
    kept, wanted = dk.Recommender.load(tmp_path / "kept"), recommender.recommend(103, k=2)
    harmed = [name] if name else ["interactions.parquet", "items.parquet"]
    for file in (tmp_path / "kept" / "frames" / each for each in harmed):
        content = file.read_bytes()
        file.unlink()
        if harm == "cut":
            file.write_bytes(content[:100])
    if name is None and harm == "deleted":
        (tmp_path / "kept" / "frames").rmdir()
    says = f"frames/{harmed[0]} is {'damaged' if harm == 'cut' else 'missing'}; call Dataset.from_frame again with the"
    for ask in (
        lambda: dk.Recommender.load(tmp_path / "kept"),
        lambda: kept.recommend(103, k=2),
        lambda: kept.rank([1], [2, 3]),
        lambda: kept.dataset.as_given(["103"], "user"),
    ):
        with pytest.raises(dk.KitError, match=re.escape(says)):
            ask()
    interactions, items = frames()
    settings = QUICK | {"llm.name": kept.dataset.run.config.llm.name}
    with pytest.raises(dk.KitError, match="a run of other interactions"):
        dk.Dataset.from_frame(interactions.iloc[1:], items, settings=settings, run_dir=tmp_path / "kept")
    dk.Dataset.from_frame(interactions, items, settings=settings, run_dir=tmp_path / "kept")
    pd.testing.assert_frame_equal(dk.Recommender.load(tmp_path / "kept").recommend(103, k=2), wanted)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: (f[0].drop(columns="user"), f[1]), "user"),
        (lambda f: (pd.concat([f[0], f[0]["user"]], axis=1), f[1]), "interactions: several columns are called user"),
        (lambda f: (f[0].to_numpy(), f[1]), "interactions must be a pandas DataFrame, not ndarray"),
        (lambda f: (f[0].astype({"user": object}).replace({"user": {101: "a"}}), f[1]), "mixes types"),
        (lambda f: (f[0].assign(user=f[0]["user"] > 105), f[1]), "user holds bool; ids are whole numbers or text"),
        (lambda f: (f[0], f[1].assign(item=[(i,) for i in f[1]["item"]])), "items: the column item holds list"),
    ],
)
def test_bad_frames_are_one_line(change, says, tmp_path):
    with pytest.raises(dk.KitError) as caught:
        dk.Dataset.from_frame(*change(frames()), settings=["distill.k=3"], run_dir=tmp_path / "run")
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert dk.Dataset.from_frame(*frames(), settings=["distill.k=3"], run_dir=tmp_path / "run"), "and can be mended"


def test_ids_that_become_one_are_told(tmp_path, capsys):
    interactions, items = frames(whole=False)
    interactions.loc[[2, 5], "user"] += " "
    dataset = dk.Dataset.from_frame(interactions, items, run_dir=tmp_path / "run")
    assert [n for n in dataset.notices if "blanks alone" in n] == [
        "1 user ids differ from another by blanks alone, and are taken for it (as 'u100')"
    ]
    interactions, items = frames()
    dk.Dataset.from_frame(interactions, items.astype({"item": str}))
    assert "1 and '1' are taken as the same" in capsys.readouterr().out


def test_settings_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(dk.KitError, match=re.escape("did you mean 'distill.k'")):
        dk.Dataset.from_frame(*frames(), settings={"distill.kk": 3}, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_no_settings_are_those_of_the_profile_whose_tiny_model_is_told(tmp_path, capsys):
    dataset = dk.Dataset.from_frame(*frames(), settings=None, run_dir=tmp_path / "run")
    assert dataset.run.config.distill.k == dk.Dataset.from_frame(*frames()).run.config.distill.k
    said = capsys.readouterr().out
    assert said.startswith("NOTE: this run takes the tiny T5") and "cannot read real titles" in said
    assert 'profile="minilm"' in said and 'profile="gemma"' in said


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder in (
        tmp_path / "file",
        tmp_path / "file" / "below",
        *([Path("/proc/foo")] if Path("/proc").exists() else []),
    ):
        with pytest.raises(dk.KitError, match=r"cannot write in the run directory .*; name another run_dir") as caught:
            dk.Dataset.from_frame(*frames(), run_dir=folder)
        assert str(folder) in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"


def test_text_ids_stay_text_and_a_folder_of_no_name_goes(tmp_path):
    dataset = dk.Dataset.from_frame(*frames(whole=False))
    folder = dataset.run.path
    assert repr(dataset).startswith("Dataset(18 users, 40 items") and folder.is_dir()
    assert dataset.as_given(["u1"], "user").tolist() == ["u1"] and isinstance(dataset.notices, list)
    del dataset
    assert not folder.exists()


@pytest.mark.slow
def test_the_lines_of_the_readme_run_word_for_word(capsys):
    (lines,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "from_frame" in block]
    assert len([line for line in lines.splitlines() if line]) == 5
    interactions, items = frames()
    names = {"interactions": interactions, "items": items}
    exec(compile(lines, "README.md", "exec"), names)
    table = names["recommendations"]
    assert table.groupby("user").size().eq(10).all() and set(table["user"]) == set(interactions["user"])
    assert "teacher_rank" in capsys.readouterr().out


def test_ids_that_a_merge_made_floats_are_whole_again_and_others_are_refused(tmp_path):
    interactions, items = frames()
    floats = interactions.assign(user=interactions["user"].astype(float))
    settings = QUICK | {"distill.k": np.int64(3)}
    dataset = dk.Dataset.from_frame(floats, items, settings=settings, run_dir=tmp_path / "run")
    assert dataset.run.config.distill.k == 3
    assert dataset.as_given(dataset.prepared.split.user_keys, "user").tolist() == sorted(interactions["user"].unique())
    floats.loc[2, "user"] = np.nan
    with pytest.raises(dk.KitError, match="interactions: row 3 has user nan"):
        dk.Dataset.from_frame(floats, items, settings=QUICK, run_dir=tmp_path / "other")


def test_faults_are_told_in_terms_of_the_frames(tmp_path):
    interactions, items = frames()
    interactions["timestamp"] = interactions["timestamp"].astype(object)
    interactions.loc[3, "timestamp"] = None
    with pytest.raises(dk.KitError) as told:
        dk.Dataset.from_frame(interactions, items, settings=QUICK, run_dir=tmp_path / "run")
    assert "interactions" in str(told.value) and ".parquet" not in str(told.value)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda data: dk.Teacher.fit("runs/mine"), "needs a Dataset, not str: dk.Teacher.fit(dataset)"),
        (dk.distill, "needs a Teacher, not Dataset: dk.distill(teacher), with what dk.Teacher.fit(dataset) made"),
        (lambda data: dk.finetune(dk.Teacher(data)), "needs a Distilled, not Teacher: dk.finetune(distilled)"),
        (lambda data: dk.Recommender("runs/mine"), "needs a Dataset, not str: dk.Recommender(dataset)"),
    ],
)
def test_a_stage_that_is_given_another_thing_says_what_it_needs(call, says, recommender):
    with pytest.raises(dk.KitError, match=re.escape(says)):
        call(recommender.dataset)


def test_metrics_of_a_teacher_are_of_test_cases_as_their_docstring_says(recommender):
    told, said = dk.Teacher(recommender.dataset).metrics, dk.Teacher.metrics.__doc__
    teacher, data = Study(recommender.dataset.run).teacher, recommender.dataset.prepared
    test, valid = (
        measure(teacher, cases, candidates)
        for cases, candidates in ((data.split.test, data.test_candidates), (data.split.valid, data.valid_candidates))
    )
    assert told["full"] == pytest.approx(test["full"]) and told["candidates"] == pytest.approx(test["candidates"])
    assert told["full"] != pytest.approx(valid["full"]) and "the test cases" in said and "Choose no setting" in said


def test_several_ids_are_asked_for(recommender):
    with pytest.raises(dk.KitError, match="candidates must be several ids, not 7"):
        recommender.rank([5], 7)
