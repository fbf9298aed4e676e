"""Windows that another project cut, as CSV and Parquet, with made-up items."""

import re

import pandas as pd
import pytest

from delrec_kit.data import prepare
from delrec_kit.data.sources import read_source
from delrec_kit.data.split import brought_split
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError


def read_llara(folder, **settings):
    return read_source(DataConfig(dataset="llara", data_dir=str(folder), **settings))


NAMES = "".join(f"{i}::Game {i}: Part\n" for i in range(8))
PARTS = {  # 8 is padding: there are 8 items
    "train": ([[1, 2, 3, 8], [4, 8, 8, 8]], [3, 1], [5, 6]),
    "valid": ([[1, 2, 8, 8]], [2], [7]),
    "test": ([[2, 3, 4, 5], [0, 0, 8, 8]], [4, 2], [6, 1]),
}


def store(folder, kind, **changed):
    for part, (seq, length, target) in PARTS.items():
        frame = pd.DataFrame({"seq": seq, "len_seq": length, "next": target, "other": 0})
        if kind == "parquet":
            frame.to_parquet(folder / f"{part}.parquet")
        else:
            frame["seq"] = frame["seq"].map(str if kind == "csv" else lambda ids: " ".join(map(str, ids)))
            frame.to_csv(folder / f"{part}.csv", index=False)
    (folder / "id2name.txt").write_text(NAMES)
    for name, text in changed.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def refused(folder, *parts):
    with pytest.raises(KitError) as caught:
        read_llara(folder)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value), str(caught.value)


@pytest.mark.parametrize("kind", ["parquet", "csv", "blanks"])
def test_rows_become_sequences_and_cases(tmp_path, kind):
    read = read_llara(store(tmp_path, kind))
    split = brought_split(read)
    names = [[split.item_keys[i] for i in sequence] for sequence in split.train]
    assert split.user_keys == ["test-0", "test-1", "train-0", "train-1", "valid-0"]
    assert names == [[], [], ["1", "2", "3", "5"], ["4", "6"], []]
    for cases, history, target in (
        (split.valid, [["1", "2"]], ["7"]),
        (split.test, [list("2345"), ["0", "0"]], ["6", "1"]),
    ):
        assert [[split.item_keys[i] for i in sequence] for sequence in cases.history] == history
        assert [split.item_keys[i] for i in cases.target] == target
    assert read.titles["3"] == "Game 3: Part" and len(read.titles) == 8 and read.notices == []


def test_no_lengths_and_a_catalogue_as_csv(tmp_path):
    seq = "seq,next\n\"['a', 'b']\",c\n"
    store(tmp_path, "none", train=seq, valid=seq, test="next,seq\na,c  b\n")
    (tmp_path / "id2name.txt").unlink()
    (tmp_path / "items.csv").write_text("item,title\na,Ant\nb,Bee\nc,Cow\nd,Doe\n")
    split = brought_split(read_llara(tmp_path))
    assert [split.titles[i] for i in split.train[split.user_keys.index("train-0")]] == ["Ant", "Bee", "Cow"]
    assert [split.titles[i] for i in split.test.history[0]] == ["Cow", "Bee"]


def test_the_whole_preparation_takes_them(tmp_path):
    data = prepare(DataConfig(dataset="llara", data_dir=str(store(tmp_path, "parquet")), candidates=3), seed=0)
    assert len(data.split.valid) == 1 and len(data.split.test) == 2 and data.test_candidates.shape == (2, 3)
    assert data.domain.noun == "item" and data.split.n_items == 8


HEADER = "seq,len_seq,next\n"
ROW = '"[1, 2]",2,3\n'


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (HEADER + ROW + '"[1, 99]",2,3\n', ["valid.csv, line 3, column 'seq': the id '99' is not in id2name.txt"]),
        (HEADER + ROW + '"[1, 2]",2,8\n', ["valid.csv, line 3, column 'next': the id '8' is not in id2name.txt"]),
        (HEADER + ROW + '"[1, 2]",3,3\n', ["line 3, column 'len_seq': '3' is not a number of ids from 1"]),
        (HEADER + ROW + '"[1, 2]",x,3\n', ["line 3, column 'len_seq': 'x' is not a number of ids"]),
        (HEADER + ROW + '"[1, 2]",0,3\n', ["line 3, column 'len_seq': '0' is not"]),
        (HEADER + ROW + "[],1,3\n", ["line 3, column 'seq': the sequence is empty"]),
        (HEADER + ROW + '"[(1, 5), (2, 4)]",2,3\n', ["line 3, column 'seq': '[(1, 5), (2, 4)]' is not a list"]),
        ("seq,next\n1 2 8,3\n", ["line 2, column 'seq': the id '8' is not", "if it is padding, export len_seq too"]),
        ("sequence,next\n1 2,3\n", ["valid.csv, line 1: no column 'seq'"]),
    ],
)
def test_faults_are_located(tmp_path, text, parts):
    refused(store(tmp_path, "csv", valid=text), *parts)


@pytest.mark.parametrize(
    ("frame", "parts"),
    [
        ({"seq": [[1], [99]], "next": [2, 2]}, ["valid.parquet, row 2, column 'seq': the id '99' is not in"]),
        ({"seq": [[1], []], "next": [2, 2]}, ["valid.parquet, row 2, column 'seq': the sequence is empty"]),
        ({"seq": ["1 2"], "next": [2]}, ["valid.parquet, column 'seq':", "where lists of ids are expected"]),
        ({"seq": [[[1, 5]]], "next": [2]}, ["where lists of ids are expected"]),
        ({"seqs": [[1]], "next": [2]}, ["valid.parquet: no column 'seq'; did you mean 'seqs'?"]),
        ({"seq": [[1], [2]], "next": ["2", None]}, ["row 2, column 'next': the id '' is not in"]),
    ],
)
def test_faults_in_parquet_are_located(tmp_path, frame, parts):
    pd.DataFrame(frame).to_parquet(store(tmp_path, "parquet") / "valid.parquet")
    refused(tmp_path, *parts)


def test_damaged_parquet(tmp_path):
    (store(tmp_path, "parquet") / "train.parquet").write_bytes(b"PAR1 and no more")
    refused(tmp_path, "train.parquet cannot be read as Parquet")


@pytest.mark.parametrize("suffix", ["df", "pkl", "pickle"])
def test_pickled_files_are_not_opened(tmp_path, suffix):
    (tmp_path / f"train_data.{suffix}").write_bytes(b"cos\nsystem\n(S'touch harmed'\ntR.")
    refused(tmp_path, f"has no train.parquet or train.csv, but train_data.{suffix}", "not opened")
    with pytest.raises(
        KitError, match=re.escape('pandas.read_pickle(f)[["seq", "len_seq", "next"]].to_parquet("train.')
    ):
        read_llara(tmp_path)
    assert len(read_llara(store(tmp_path, "csv")).titles) == 8, "beside exported files they do no harm"


def test_missing_and_doubled_files(tmp_path):
    store(tmp_path, "csv")
    (tmp_path / "id2name.txt").rename(tmp_path / "id2names.txt")
    refused(tmp_path, "has no file id2name.txt or items.csv", "'id2names.txt'")
    (tmp_path / "test.parquet").touch()
    refused(tmp_path, "several files: test.parquet, test.csv; keep one")
