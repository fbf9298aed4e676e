"""RecBole's atomic files, with made-up items."""

import pytest
from as_frame import as_frame

from delrec_kit.data.sources import read_source
from delrec_kit.run.inputs import digests
from delrec_kit.settings.config import DataConfig, KitConfig
from delrec_kit.settings.errors import KitError


def read_recbole(folder, **settings):
    return read_source(DataConfig(dataset="recbole", data_dir=str(folder), **settings))


INTER = (
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "1\t10\t5.0\t881250949.0\n1\t9\t3.0\t881250940.0\n2\t10\t4\t8.8125095e8\n"
)
ITEM = (
    'item_id:token\tname:token_seq\tclass:token_seq\n9\t"Quoted Song\tpop\n10\tRiver, Tune\tpop rock\n11\tUnheard\t\n'
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tunes.inter").write_text(INTER)
    (tmp_path / "tunes.item").write_text(ITEM)
    return tmp_path


def refused(folder, *parts):
    with pytest.raises(KitError) as caught:
        read_recbole(folder, positive=1)
    for part in parts:
        assert part in str(caught.value), str(caught.value)


def test_atomic_files(folder):
    read = read_recbole(folder)
    rows = as_frame(read)[["user", "item", "timestamp", "rating"]].to_numpy().tolist()
    assert rows == [["1", "9", 881250940, 3], ["1", "10", 881250949, 5], ["2", "10", 881250950, 4]]
    assert read.titles.to_dict() == {"9": '"Quoted Song', "10": "River, Tune"}
    assert read.notices == ["1 catalogue items that nobody chose left out"] and read.domain.noun == "item"


def test_no_ratings_other_order_and_whole_seconds(folder):
    (folder / "tunes.inter").write_text("timestamp:float\titem_id:token\tuser_id:token\n5\t9\ta\n4\t10\ta\n")
    read = read_recbole(folder)
    assert as_frame(read).to_numpy().tolist() == [["a", "10", 4], ["a", "9", 5]]
    assert sorted(as_frame(read)) == ["item", "timestamp", "user"]


@pytest.mark.parametrize("name", ["title", "movie_title", "product_name", "app_name", "track_name"])
def test_columns_of_titles(folder, name):
    (folder / "tunes.item").write_text(ITEM.replace("name:", f"{name}:"))
    assert read_recbole(folder).titles["10"] == "River, Tune"


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("inter", INTER + "2\t9\t1.0\tlate\n", ["tunes.inter, line 5, column 'timestamp': 'late' is not"]),
        ("inter", INTER + "2\t9\tbad\t881250951\n", ["line 5, column 'rating': 'bad' is not a number"]),
        ("inter", INTER + "\t9\t1.0\t5.0\n", ["line 5, column 'user_id': the id is empty"]),
        ("inter", INTER + "2\t9\n", ["line 5: 2 columns where the first line has 4"]),
        ("inter", INTER.replace("timestamp:", "time:"), ["line 1: no column 'timestamp'; did you mean 'time'"]),
        ("inter", "", ["tunes.inter is empty"]),
        ("item", ITEM + "9\tOther\tpop\n", ["tunes.item, line 5, column 'item_id'", "another title"]),
        ("item", ITEM.replace("name:", "label:"), ["tunes.item, line 1: no column 'title'", "label"]),
        ("item", ITEM.replace("item_id", "id"), ["tunes.item, line 1: no column 'item_id'"]),
    ],
)
def test_faults_are_located(folder, name, text, parts):
    (folder / f"tunes.{name}").write_text(text)
    refused(folder, *parts)


def test_which_files_there_must_be(folder):
    (folder / "more.inter").write_text(INTER)
    refused(folder, "several files of interactions: more.inter, tunes.inter; keep one")
    (folder / "more.inter").unlink()
    (folder / "tunes.item").unlink()
    refused(folder, "has no file tunes.item; the kit works on titles")
    (folder / "tunes.inter").unlink()
    refused(folder, "has no interactions, a file *.inter", "it holds no files")


def test_the_fingerprint_counts_the_files_whatever_their_names(folder):
    config = KitConfig(data=DataConfig(dataset="recbole", data_dir=str(folder)))
    (folder / "._tunes.inter").write_text("hidden")
    (folder / "notes.txt").write_text("not read")
    assert list(digests(config, "data")) == ["tunes.inter", "tunes.item"]
