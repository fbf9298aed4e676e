import hashlib
import zipfile
from dataclasses import replace

import pooch
import pytest

from delrec_kit.data.sources.grouplens import MEMBER_LIMIT, ML_100K, download, extract, resuming
from delrec_kit.settings.errors import KitError

RATINGS = "1\t2\t5\t881250949\n1\t1\t3\t881250940\n2\t3\t4\t881250950\n"
FILMS = '1|Matrix, The (1999)|01-Jan-1999||url|0\n2|Misérables, Les (1995)|||"|0\n3||||x|1\n'


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


def test_a_member_that_unpacks_to_a_thousand_times_its_size_is_refused(archive, tmp_path):
    path, known = archive
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("ml-100k/u.data", bytes(MEMBER_LIMIT + 1))
    assert path.stat().st_size < MEMBER_LIMIT / 900
    with pytest.raises(KitError, match=r"ml-100k.zip: u.data unpacks to more than 64 MiB; delete it"):
        extract(replace(known, members={"u.data": None}), path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("error", [ConnectionError("no route\nto host"), ValueError("MD5 hash differs")])
def test_a_failed_download_says_what_to_do(tmp_path, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(pooch, "retrieve", fail)
    with pytest.raises(KitError, match=r"could not download https://.*by hand.*data\.data_dir") as caught:
        download(ML_100K, tmp_path)
    assert "\n" not in str(caught.value)
