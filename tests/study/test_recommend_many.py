"""Recommendations for many people: who they are, what is never recommended, and files made part by part."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from delrec_kit.__main__ import main
from delrec_kit.batch.elsewhere import Here
from delrec_kit.batch.recommending import to_file
from delrec_kit.data import Cases, Domain, PreparedData, Ragged, Split
from delrec_kit.run.directory import RunDirectory
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve
from delrec_kit.study import recommend
from delrec_kit.study.parts import write_recommendations, write_share
from delrec_kit.study.people import people_from, people_of, person_of, users_of, whole_histories
from delrec_kit.study.recommend import ranked_for
from delrec_kit.study.study import Study
from delrec_kit.teachers.scorer import CatalogueScorer

N = 40


class ByHash(CatalogueScorer):
    """A teacher that likes another order of the catalogue after each history."""

    def catalogue(self, cases):
        scores = np.array([(np.arange(N + 1) * (7 + sum(h))) % 41 for h in cases.history], dtype=np.float32)
        scores[:, 0] = -np.inf
        return scores


@dataclass(frozen=True)
class Opposite:
    """Ranks the highest item last, and dies after ``lives`` calls."""

    name: str = "delrec"
    lives: int = 10**6
    calls: list = field(default_factory=list)

    def scores(self, cases, items):
        self.calls.append(len(cases))
        if len(self.calls) > self.lives:
            raise KeyboardInterrupt
        return -items.astype(np.float32) - cases.user[:, None] / 1000


def made(recommender):
    """30 users of 40 items: u0 has no history, u1 had all; u2 only trains, u3 validates and is not tested."""
    rng = np.random.default_rng(0)
    own = [rng.permutation(np.arange(1, N + 1))[:6].tolist() for _ in range(30)]
    own[0], own[1] = [], list(range(1, N + 1))
    train = Ragged.from_lists([items[:-2] for items in own])
    validates, tests = np.arange(3, 30), np.arange(4, 30)
    valid = Cases(validates, train.take(validates), np.array([own[u][-2] for u in validates]))
    test = Cases(tests, Ragged.from_lists([own[u][:-1] for u in tests]), np.array([own[u][-1] for u in tests]))
    train = Ragged.from_lists([own[0], own[1], own[2], *(items[:-2] for items in own[3:])])
    cut = Ragged.from_lists([[], [], [], [], [int(i) for i in set(range(1, 31)) - set(own[4])], *[[]] * 25])
    titles = ["", *(f"Film {i}" for i in range(1, N + 1))]
    split = Split(
        titles, ["", *(f"f{i}" for i in range(1, N + 1))], [f"u{u}" for u in range(30)], train, valid, test, cut
    )
    nothing = np.zeros((0, 2), dtype=np.int64)
    run = RunDirectory("run", resolve("demo", ["data.candidates=6", "distill.h=3"]))
    study = Study(run)
    study.__dict__.update(data=PreparedData(split, Domain(), nothing, nothing, {}, []), teacher=ByHash())
    object.__setattr__(study, "recommender", lambda name: recommender)
    return study, own


@pytest.fixture
def study(monkeypatch):
    monkeypatch.setattr(RunDirectory, "fingerprint", lambda self, stage: stage)
    monkeypatch.setattr(RunDirectory, "is_done", lambda self, stage: False)
    return made(Opposite())[0]


def test_a_history_is_all_that_is_known(study):
    own = made(None)[1]
    known = [items if u > 3 else items[:-1] if u == 3 else items for u, items in enumerate(own)]
    assert [history.tolist() for history in whole_histories(study.data.split)] == known
    people = users_of(study, ["u9", "u4", "u9"])
    assert people.keys == ["u9", "u4"] and people.cases.history[1].tolist() == own[4]
    assert set(people.had[1]) == set(own[4]) | set(range(1, 31)), "what was cut off is not recommended either"


def test_the_teacher_proposes_and_the_language_model_ranks(study):
    people = users_of(study)
    table = ranked_for(study, study.recommender(""), people, 4)
    split, scores = study.data.split, study.teacher.scores(people.cases)
    assert table["user"].drop_duplicates().tolist() == [f"u{u}" for u in range(2, 30)], "two have nothing to be told"
    for u in range(2, 30):
        rows = table[table["user"] == f"u{u}"]
        free = np.setdiff1d(np.arange(1, N + 1), people.had[u])
        best = free[np.argsort(-scores[u, free], kind="stable")][:6]
        wanted = sorted(best)[:4]
        assert rows["rank"].tolist() == [1, 2, 3, 4] and rows["item"].tolist() == [f"f{i}" for i in wanted]
        assert rows["title"].tolist() == [split.titles[i] for i in wanted]
        assert rows["teacher_rank"].tolist() == [list(best).index(i) + 1 for i in wanted]
        np.testing.assert_allclose(rows["score"], [-i - u / 1000 for i in wanted], rtol=1e-6)
    more = ranked_for(study, study.recommender(""), users_of(study, ["u4", "u5"]), 20)
    assert more.groupby("user").size().to_dict() == {"u4": len(np.setdiff1d(range(1, N + 1), people.had[4])), "u5": 20}


def test_what_is_listed_stands_in_an_order_of_the_persons_own(study):
    seen = {}

    class Listens(Opposite):
        def scores(self, cases, items):
            seen.update({int(u): row.tolist() for u, row in zip(cases.user, items)})
            return super().scores(cases, items)

    people = users_of(study, [f"u{u}" for u in range(5, 30)])
    ranked_for(study, Listens(), people, 5)
    together, first = dict(seen), 0
    scores = study.teacher.scores(people.cases)
    for row, u in enumerate(people.cases.user):
        ranked_for(study, Listens(), people.take(np.array([row])), 5)
        first += max(together[u], key=lambda item: scores[row, item]) == together[u][0]
    assert seen == together, "whoever else is asked for"
    assert 0 < first < 12, "the teacher's favourite stands first by chance, of 25 about four times"


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_a_killed_job_goes_on_and_gives_the_same_file(study, tmp_path, monkeypatch, ending, capsys):
    people = users_of(study)
    monkeypatch.setattr(recommend, "BLOCK", 7)
    said = write_recommendations(study, people, 5, tmp_path / f"whole{ending}")
    assert said == "no recommendations for some: 1 of 30 have no history, 1 of 30 have had the whole catalogue"
    killed, out = Opposite(lives=3), tmp_path / f"again{ending}"
    object.__setattr__(study, "recommender", lambda name: killed)
    with pytest.raises(KeyboardInterrupt):
        write_recommendations(study, people, 5, out)
    assert not out.exists() and len(list(tmp_path.glob(".again*/*.parquet"))) == 3
    second = Opposite()
    object.__setattr__(study, "recommender", lambda name: second)
    write_recommendations(study, people, 5, out)
    assert "3 of 5 parts are there already" in capsys.readouterr().out and sum(second.calls) == 9
    assert out.read_bytes() == (tmp_path / f"whole{ending}").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"again{ending}", f"whole{ending}"]
    with pytest.raises(KitError, match="is there already"):
        write_recommendations(study, people, 5, out)
    readers = {".csv": pd.read_csv, ".jsonl": lambda f: pd.read_json(f, lines=True), ".parquet": pd.read_parquet}
    read = readers[ending](out)
    monkeypatch.setattr(recommend, "BLOCK", 128)
    wanted = ranked_for(study, Opposite(), people, 5)
    pd.testing.assert_frame_equal(read, wanted, check_dtype=False, rtol=1e-6)


def test_shares_made_elsewhere_are_joined_to_the_same_file(study, tmp_path, monkeypatch):
    people, out, made = users_of(study), tmp_path / "shared.csv", []
    monkeypatch.setattr(recommend, "BLOCK", 7)
    write_recommendations(study, people, 5, tmp_path / "alone.csv")

    def shared(parts, missing, shares=(0, 1)):
        for share in shares:
            write_share(study, people, 5, out, share, 2)
            made.append(len(list(parts.glob("*.parquet"))))
        return True

    with pytest.raises(KitError, match=r"2 of 5 parts were not made; their logs lie in .*same command takes them up"):
        write_recommendations(study, people, 5, out, shared=lambda *given: shared(*given, shares=[0]))
    with pytest.raises(KitError, match="nobody waits for a share"):
        write_share(study, people, 6, out, 0, 2)
    write_recommendations(study, people, 5, out, shared=shared)
    assert made == [3, 4, 5], "each share has something to do, of what was left, too"
    assert out.read_bytes() == (tmp_path / "alone.csv").read_bytes()


@pytest.mark.parametrize(("size", "processes"), [(10, ["0/3", "1/3", "2/3"]), (15, ["0/2", "1/2"]), (128, [])])
def test_no_more_processes_are_started_than_parts_are_missing(study, tmp_path, monkeypatch, size, processes):
    people, out, started = users_of(study), tmp_path / "out.csv", []
    monkeypatch.setattr(recommend, "BLOCK", size)

    def here(self, command, log):
        started.append(command[-1])
        write_share(study, people, 5, out, *map(int, command[-1].split("/")))

    monkeypatch.setattr(Here, "__call__", here)
    to_file(study, people, 5, out, ["recommend"], (8, "here", []))
    assert sorted(started) == processes and len(pd.read_csv(out)) == 28 * 5


def test_parts_of_another_request_are_not_taken(study, tmp_path, monkeypatch):
    people, out = users_of(study), tmp_path / "out.csv"
    monkeypatch.setattr(recommend, "BLOCK", 7)
    object.__setattr__(study, "recommender", lambda name: Opposite(lives=3))
    with pytest.raises(KeyboardInterrupt):
        write_recommendations(study, people, 5, out)
    object.__setattr__(study, "recommender", lambda name: Opposite())
    write_recommendations(study, people, 2, out)
    assert pd.read_csv(out).groupby("user").size().unique().tolist() == [2]


def test_people_are_brought_by_item_or_title_in_any_order(study, tmp_path):
    rows = pd.DataFrame({"user": [7, 8, 7], "item": ["f3", "f1", "f2"], "timestamp": ["2", "5", "1"]})
    people = people_of(study, rows)
    assert people.keys == ["7", "8"] and [h.tolist() for h in people.cases.history] == [[2, 3], [1]]
    assert people.cases.user.tolist() == [-1, -1]
    rows.drop(columns="timestamp").to_csv(tmp_path / "people.csv", index=False)
    assert people_from(study, tmp_path / "people.csv").cases.history[0].tolist() == [3, 2], "as the rows stand"
    dated = rows.assign(timestamp=["2020-01-02", "2020-01-01", "2019-05-05"])
    dated.to_json(tmp_path / "people.jsonl", orient="records", lines=True)
    assert people_from(study, tmp_path / "people.jsonl").cases.history[0].tolist() == [2, 3]
    pd.DataFrame({"user": [1], "title": ["film 12 "]}).to_parquet(tmp_path / "people.parquet")
    assert people_from(study, tmp_path / "people.parquet").cases.history[0].tolist() == [12]
    assert person_of(study, ["Film 3", "Film 3"]).had[0].tolist() == [3]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ({"user": ["a"], "film": ["f1"]}, "it needs user, and item or title"),
        (
            {"user": ["a", "a"], "item": ["f1", "x9"]},
            "1 of 2 rows name no item of the catalogue; the first is row 2, 'x9'",
        ),
        ({"user": ["a", ""], "item": ["f1", "f2"]}, "row 2 has no user"),
        ({"user": ["a"], "item": [None]}, "row 1 has no item"),
        ({"user": ["a"], "title": ["Flim 3"]}, "nearest: 'Film 3'"),
        ({"user": ["a"], "item": ["f1"], "timestamp": ["noon"]}, "row 1 has timestamp 'noon'"),
    ],
)
def test_bad_histories_are_refused_by_row(study, rows, says):
    with pytest.raises(KitError) as caught:
        people_of(study, pd.DataFrame(rows))
    assert says in str(caught.value)


def test_unknown_users_and_files_are_refused(study, tmp_path):
    with pytest.raises(KitError, match="no user 'u99' in the data; the nearest is 'u9'"):
        users_of(study, ["u1", "u99"])
    with pytest.raises(KitError, match=r"end in \.csv"):
        people_from(study, tmp_path / "people.txt")
    with pytest.raises(KitError, match="no file"):
        people_from(study, tmp_path / "people.csv")
    for out, says in (("x.txt", "ends in .parquet"), ("no/x.csv", "cannot be written")):
        with pytest.raises(KitError, match=says):
            write_recommendations(study, users_of(study), 3, tmp_path / out)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "say for whom"),
        ("--all --user u1", "say for whom"),
        ("--all", "name the file to write with --out"),
    ],
)
def test_the_command_line_asks_for_whom_and_where(words, says, capsys):
    assert main(["recommend", "nowhere", *words.split()]) == 2
    assert says in capsys.readouterr().err


def test_a_study_is_what_the_command_hands_on(study, tmp_path, monkeypatch, capsys):
    asked = SimpleNamespace(require=lambda stage: None)
    monkeypatch.setattr(RunDirectory, "open", lambda folder: asked)
    monkeypatch.setattr("delrec_kit.study.study.Study", lambda run: study)
    out = tmp_path / "recommendations.jsonl"
    assert main(["recommend", "run", "--all", "--top", "3", "--out", str(out)]) == 0
    assert pd.read_json(out, lines=True).groupby("user").size().to_dict() == {f"u{u}": 3 for u in range(2, 30)}
    assert "1 of 30 have no history" in capsys.readouterr().out
    assert main(["recommend", "run", "--user", "u5", "--user", "u0", "--top", "2"]) == 0
    shown = capsys.readouterr().out
    assert len([line for line in shown.splitlines() if line.strip().startswith("u5")]) == 2
