"""Steam's reviews and games, with made-up games."""

import gzip
import json

import pytest
from as_frame import as_frame

from delrec_kit.data.sources import read_source
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError


def read_steam(folder, **settings):
    return read_source(DataConfig(dataset="steam", data_dir=str(folder), **settings))


REVIEWS = [
    {"username": "Ann", "hours": 3.5, "product_id": "10", "date": "2017-11-05", "text": 'It\'s "good"\n'},
    {"username": "Ann", "hours": 1.0, "product_id": "7", "date": "2017-11-04", "early_access": False},
    {"username": "Bé", "product_id": "10", "date": "2018-01-01"},
]
GAMES = [
    {"id": "10", "app_name": "Tin Robots", "title": "Tin Robots Deluxe"},
    {"id": "7", "title": "Moss Valley"},
    {"id": "8", "app_name": "Unplayed"},
    {"app_name": "No Number"},
]


def lines(objects, write=repr):
    return "".join(write(one) + "\n" for one in objects)


def old(value):
    """As Python 2 wrote it: u'…' before every text."""
    return "{" + ", ".join(f"u{k!r}: u{v!r}" if isinstance(v, str) else f"u{k!r}: {v}" for k, v in value.items()) + "}"


def store(folder, reviews, games=None, names=("steam_reviews.json.gz", "steam_games.json.gz")):
    for name, text in zip(names, (reviews, lines(GAMES) if games is None else games)):
        (folder / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return folder


def refused(folder, *parts):
    with pytest.raises(KitError) as caught:
        read_steam(folder)
    for part in parts:
        assert part in str(caught.value), str(caught.value)


@pytest.mark.parametrize("write", [repr, old, json.dumps])
@pytest.mark.parametrize("reviews", ["steam_reviews.json.gz", "steam_new.json"])
def test_the_publishers_layout(tmp_path, write, reviews):
    read = read_steam(store(tmp_path, lines(REVIEWS, write), lines(GAMES, write), (reviews, "steam_games.json")))
    assert as_frame(read)[["user", "item", "timestamp"]].to_numpy().tolist() == [
        ["Bé", "10", 1514764800],
        ["Ann", "7", 1509753600],
        ["Ann", "10", 1509840000],
    ]
    assert read.titles.to_dict() == {"7": "Moss Valley", "10": "Tin Robots"}
    assert (read.domain.noun, read.domain.past, read.domain.present) == ("game", "played", "play")
    assert read.notices == [
        "1 games without an id left out",
        "1 catalogue items that nobody chose left out",
        "3 timestamps read as dates (UTC where no zone is given)",
    ]


def test_lines_are_right_after_rows_that_were_left_out(tmp_path):
    nameless = REVIEWS[0] | {"username": " \u3000"}
    assert (
        read_steam(store(tmp_path, lines([nameless, *REVIEWS]))).notices[0]
        == "1 reviews with a blank username left out"
    )
    refused(store(tmp_path, lines([nameless, *REVIEWS, REVIEWS[0] | {"date": "soon"}])), "line 5, column 'date'")


@pytest.mark.parametrize(
    ("last", "parts"),
    [
        ("{'username': 'Cy', 'product_id': '7'}", ["json.gz, line 4: no field 'date'", "known: product_id, username"]),
        ("{'username': 'Cy', 'product_id': None, 'date': '2017-01-01'}", ["line 4: the field 'product_id' is null"]),
        ("{'username': True, 'product_id': '7', 'date': '2017-01-01'}", ["line 4: the field 'username' holds a bool"]),
        ("{'username': 'Cy', 'product_id': '7', 'date': 'May'}", ["line 4, column 'date': 'May' is not an ISO date"]),
        ("{'username': print(1)}", ["line 4: neither JSON nor a Python literal"]),
        ("'Cy'", ["line 4: one object a line is expected"]),
        ("(" * 5000, ["line 4: neither JSON nor a Python literal"]),
    ],
)
def test_faults_are_located(tmp_path, last, parts):
    dates = [REVIEWS[0] | {"date": "2017-11-05"}, *REVIEWS[1:]]
    refused(store(tmp_path, lines(dates) + last + "\n"), *parts)


def test_missing_files(tmp_path):
    refused(tmp_path, "has no reviews, a file steam_reviews.json or steam_reviews.json.gz or steam_new.json")
    store(tmp_path, lines(REVIEWS))
    (tmp_path / "steam_games.json.gz").rename(tmp_path / "steam_game.json.gz")
    refused(tmp_path, "has no games, a file steam_games.json", "the nearest there is 'steam_game.json.gz'")
