import hashlib
import zipfile
from dataclasses import replace

import pooch
import pytest

from delrec_kit.data import read_movielens
from delrec_kit.data.grouplens import ML_100K, download, extract
from delrec_kit.data.resuming import resuming
from delrec_kit.settings.errors import KitError

RATINGS = "1\t2\t5\t881250949\n1\t1\t3\t881250940\n2\t3\t4\t881250950\n"
FILMS = '1|Matrix, The (1999)|01-Jan-1999||url|0\n2|Misérables, Les (1995)|||"|0\n3||||x|1\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "u.data").write_text(RATINGS)
    (tmp_path / "u.item").write_bytes(FILMS.encode("latin-1"))
    return tmp_path


def refused(folder, *parts):
    with pytest.raises(KitError) as caught:
        read_movielens(folder)
    for part in parts:
        assert part in str(caught.value), str(caught.value)


def test_the_layout_of_grouplens(folder):
    read = read_movielens(folder)
    assert read.titles.tolist() == ["The Matrix (1999)", "Les Misérables (1995)", "film 3"]
    rows = read.frame[["user", "item", "timestamp", "rating"]].to_numpy().tolist()
    assert rows == [["1", "1", 881250940, 3], ["1", "2", 881250949, 5], ["2", "3", 881250950, 4]]
    assert read.domain.past == "watched"
    assert [notice[:2] for notice in read.notices] == ["2 ", "1 "]


def test_a_copy_saved_as_utf8_is_read_right(folder):
    (folder / "u.item").write_text(FILMS, encoding="utf-8")
    assert read_movielens(folder).titles["2"] == "Les Misérables (1995)"


def test_faults_are_located(folder):
    (folder / "u.data").write_text(RATINGS + "2\t1\t3\tlate\n")
    refused(folder, "u.data, line 4, column 'timestamp'", "'late' is not a number")
    (folder / "u.data").write_text(RATINGS.replace("\t", ","))
    refused(folder, "u.data, line 1: 1 columns where 4 are expected", "tab")
    (folder / "u.data").write_text(RATINGS + "2\t1\n")
    refused(folder, "u.data, line 4: 2 columns")
    (folder / "u.data").write_text("")
    refused(folder, "u.data is empty")
    (folder / "u.data").write_text(RATINGS)
    (folder / "u.item").write_bytes((FILMS + "1|Other||||0\n").encode("latin-1"))
    refused(folder, "u.item, line 4, column 'item'", "already has another title")
    (folder / "u.item").write_bytes((FILMS + "4|Short\n").encode("latin-1"))
    refused(folder, "u.item, line 4: 2 columns")
    (folder / "u.item").rename(folder / "u.items")
    refused(folder, "no file u.item", "'u.items'")


@pytest.fixture
def archive(tmp_path):
    """A zip in GroupLens' layout, with something harmful beside, and the digests that its content has."""
    path = tmp_path / "ml-100k.zip"
    content = {"u.data": RATINGS.encode(), "u.item": FILMS.encode("latin-1")}
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("../escaped", b"harm")
        for name, data in content.items():
            packed.writestr(f"ml-100k/{name}", data)
    return path, replace(ML_100K, members={n: hashlib.sha256(d).hexdigest() for n, d in content.items()})


def test_the_download_takes_out_two_members_only(archive, tmp_path, monkeypatch):
    path, known = archive
    asked = []

    def retrieve(url, known_hash, fname, path, downloader, zip=path):
        asked.append((url, known_hash, downloader))
        return str(zip)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    cache = tmp_path / "cache"
    folder = download(known, cache)
    assert sorted(p.name for p in folder.iterdir()) == ["u.data", "u.item"]
    assert not list(tmp_path.rglob("escaped"))
    assert asked == [(ML_100K.urls[0], ML_100K.known_hash, resuming)] and ML_100K.urls[0].startswith("https://")
    assert download(known, cache) == folder and len(asked) == 1, "a second call downloads nothing"
    (folder / "u.data").write_text("spoilt")
    download(known, cache)
    assert (folder / "u.data").read_text() == RATINGS and len(asked) == 2


def test_content_that_differs_is_refused_and_not_left_behind(archive, tmp_path):
    path, known = archive
    with pytest.raises(KitError, match=r"u\.data is not MovieLens-100K's \(SHA-256 differs\)"):
        extract(replace(known, members={**known.members, "u.data": "0" * 64}), path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    path.write_bytes(b"<html>no such page</html>")
    with pytest.raises(KitError, match="is not MovieLens-100K's archive"):
        extract(known, path, tmp_path / "out")


@pytest.mark.parametrize("error", [ConnectionError("no route\nto host"), ValueError("MD5 hash differs")])
def test_a_failed_download_says_what_to_do(tmp_path, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(pooch, "retrieve", fail)
    with pytest.raises(KitError, match=r"could not download https://.*by hand.*data\.data_dir") as caught:
        download(ML_100K, tmp_path)
    assert "\n" not in str(caught.value)
