"""MovieLens-1M's layout, with made-up films."""

import zipfile
from dataclasses import replace

import pooch
import pytest
from as_frame import as_frame

from delrec_kit.data.sources import read_source
from delrec_kit.data.sources.grouplens import ML_1M, download, extract
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError


def read_movielens_1m(folder, **settings):
    return read_source(DataConfig(dataset="ml-1m", data_dir=str(folder), **settings))


RATINGS = "1::10::5::978300760\n1::2::3::978302109\n2::10::4::978301968\n"
FILMS = "2::Lantern, The (1991)::Drama\n3::Unseen: Part 2 (1992)::Comedy|Drama\n10::Café Gris, Le (1993)::Comedy\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "ratings.dat").write_text(RATINGS)
    (tmp_path / "movies.dat").write_bytes(FILMS.encode("latin-1"))
    return tmp_path


def refused(folder, *parts):
    with pytest.raises(KitError) as caught:
        read_movielens_1m(folder, positive=1)
    for part in parts:
        assert part in str(caught.value), str(caught.value)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_the_layout_of_grouplens(folder, encoding):
    (folder / "movies.dat").write_bytes(FILMS.replace("\n", "\r\n").encode(encoding))
    read = read_movielens_1m(folder)
    assert read.titles.to_dict() == {"2": "The Lantern (1991)", "10": "Le Café Gris (1993)"}
    rows = as_frame(read)[["user", "item", "timestamp", "rating"]].to_numpy().tolist()
    assert rows == [["1", "10", 978300760, 5], ["1", "2", 978302109, 3], ["2", "10", 978301968, 4]]
    assert read.domain.past == "watched"
    assert read.notices[0] == "1 catalogue items that nobody chose left out"


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("ratings.dat", RATINGS + "2::2::3::late\n", ["ratings.dat, line 4, column 'timestamp'", "'late' is not"]),
        ("ratings.dat", RATINGS + "2::2::x::978301968\n", ["line 4, column 'rating'", "'x' is not a number"]),
        ("ratings.dat", RATINGS + "2::2\n", ["line 4: 2 columns where the first line has 4"]),
        ("ratings.dat", RATINGS.replace("::", "\t"), ["line 1: 1 columns where 4 are expected", "separated by '::'"]),
        ("ratings.dat", "", ["ratings.dat is empty"]),
        ("movies.dat", FILMS + "2::Other (1990)::Drama\n", ["movies.dat, line 4, column 'item'", "another title"]),
        ("movies.dat", FILMS + "4::A::B::Drama\n", ["movies.dat, line 4: 4 columns"]),
    ],
)
def test_faults_are_located(folder, name, text, parts):
    (folder / name).write_text(text, encoding="latin-1")
    refused(folder, *parts)


@pytest.mark.parametrize("spoilt", [b"11::Caf\xe9 (1990)::Drama\n", b"11::A\xff\xfe (1990)::Drama\n"])
def test_one_line_of_another_encoding_is_refused_and_makes_no_other_latin(folder, spoilt):
    films = FILMS.replace("2::Lantern", "2::灯り").encode()
    (folder / "movies.dat").write_bytes(films + spoilt)
    refused(folder, "movies.dat, line 4, column 2: byte 0x", "is not UTF-8; save the file as UTF-8")
    (folder / "movies.dat").write_bytes(FILMS.encode("latin-1") + "11::灯り (1990)::Drama\n".encode())
    refused(folder, "movies.dat, line 3, column 2: byte 0xe9 is not UTF-8")


def test_a_missing_file_names_what_is_near(folder):
    (folder / "movies.dat").rename(folder / "movie.dat")
    refused(folder, "no file movies.dat", "'movie.dat'")


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "ml-1m.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("../escaped", b"harm")
        packed.writestr("ml-1m/users.dat", b"not wanted")
        packed.writestr("ml-1m/ratings.dat", RATINGS)
        packed.writestr("ml-1m/movies.dat", FILMS.encode("latin-1"))
    return path


def test_the_download_takes_out_two_members_and_mends_a_spoilt_one(archive, tmp_path, monkeypatch):
    asked = []

    def retrieve(url, known_hash, fname, path, downloader):
        asked.append((url, known_hash, fname))
        return str(archive)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    folder = download(ML_1M, tmp_path / "cache")
    assert sorted(p.name for p in folder.iterdir()) == ["movies.dat", "ratings.dat"]
    assert not list(tmp_path.rglob("escaped"))
    assert asked == [("https://files.grouplens.org/datasets/movielens/ml-1m.zip", ML_1M.known_hash, "ml-1m.zip")]
    assert ML_1M.known_hash == "sha256:a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20"
    (folder / "ratings.dat").write_text("spoilt")
    assert len(as_frame(read_movielens_1m(download(ML_1M, tmp_path / "cache")))) == 3


def test_another_archive_is_refused(archive, tmp_path):
    with pytest.raises(KitError, match=r"ml-1m\.zip is not MovieLens-1M's archive"):
        extract(replace(ML_1M, members={"tags.dat": None}), archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
