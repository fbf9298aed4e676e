"""Amazon's reviews in the layouts of 2014, 2018 and 2023, with made-up products."""

import gzip
import json

import pytest
from as_frame import as_frame

from delrec_kit.data.sources import read_source
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError

CHOICES = [("Ann", "B01", 5, 1_400_000_000), ("Ann", "B02", 4, 1_400_086_400), ("Ben", "B01", 1, 1_400_172_800)]
TITLES = {"B01": "Soap &amp; Brush", "B02": "Rose Balm", "B03": "Nobody's Cream"}
WANTED = [["Ann", "B01", 1_400_000_000, 5.0], ["Ann", "B02", 1_400_086_400, 4.0], ["Ben", "B01", 1_400_172_800, 1.0]]
OLD = [
    {
        "reviewerID": u,
        "asin": i,
        "helpful": [1, 2],
        "reviewText": "It's\nfine",
        "overall": float(r),
        "unixReviewTime": t,
    }
    for u, i, r, t in CHOICES
]
NEW = [
    {
        "rating": float(r),
        "title": "Fine",
        "images": [],
        "asin": "X",
        "parent_asin": i,
        "user_id": u,
        "timestamp": t * 1000,
    }
    for u, i, r, t in CHOICES
]


def lines(objects, write=json.dumps):
    return "".join(write(one) + "\n" for one in objects)


def metadata(key, write=json.dumps):
    return lines([{key: item, "title": title, "categories": [["Beauty"]]} for item, title in TITLES.items()], write)


def store(folder, **files):
    for name, text in files.items():
        data = text.encode() if isinstance(text, str) else text
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


def read(folder, dataset="beauty", **settings):
    return read_source(DataConfig(dataset=dataset, data_dir=str(folder), **settings))


def refused(folder, *parts, dataset="beauty"):
    with pytest.raises(KitError) as caught:
        read(folder, dataset, positive=0)
    text = str(caught.value)
    assert "\n" not in text
    for part in parts:
        assert part in text, f"{part!r} is not in: {text}"


LAYOUTS = {
    "2014": ("beauty", "reviews_Beauty_5.json.gz", lines(OLD), "meta_Beauty.json.gz", metadata("asin", repr)),
    "2018": ("beauty", "Luxury_Beauty_5.json.gz", lines(OLD), "meta_Luxury_Beauty.json.gz", metadata("asin")),
    "2023": ("beauty", "All_Beauty.jsonl.gz", lines(NEW), "meta_All_Beauty.jsonl", metadata("parent_asin")),
    "literals": ("beauty", "reviews_Beauty.json", lines(OLD, repr), "meta_Beauty.json", metadata("asin", repr)),
    "home": (
        "home-kitchen",
        "Home_and_Kitchen.jsonl",
        lines(NEW),
        "meta_Home_and_Kitchen.jsonl",
        metadata("parent_asin"),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same(tmp_path, layout):
    dataset, reviews, text, meta, products = LAYOUTS[layout]
    found = read(store(tmp_path, **{reviews: text, meta: products}), dataset)
    assert as_frame(found)[["user", "item", "timestamp", "rating"]].to_numpy().tolist() == WANTED
    assert found.titles.to_dict() == {"B01": "Soap & Brush", "B02": "Rose Balm"}
    assert found.domain.plural == "products" and found.domain.past == "bought"
    assert found.notices[0] == "1 catalogue items that nobody chose left out"
    assert any("read as milliseconds" in notice for notice in found.notices) == ("jsonl" in reviews)


def test_ratings_without_reviews(tmp_path):
    ratings = "".join(f"{u},{i},{float(r)},{t}\n" for u, i, r, t in CHOICES)
    store(tmp_path, **{"ratings_Beauty.csv": ratings, "meta_Beauty.json.gz": metadata("asin", repr)})
    assert as_frame(read(tmp_path))[["user", "item", "timestamp", "rating"]].to_numpy().tolist() == WANTED
    store(tmp_path, **{"reviews_Beauty.json": lines(OLD[:2])})
    assert len(as_frame(read(tmp_path))) == 2, "reviews go before ratings"


def test_untitled_and_twice_titled_products_are_counted(tmp_path):
    products = [
        {"asin": "B01"},
        {"asin": "B01", "title": "Soap"},
        {"asin": "B01", "title": "Soup"},
        {"asin": "B02", "title": None},
        {"asin": "B02", "title": "var start = new Date().getTime();"},
    ]
    found = read(store(tmp_path, **{"All_Beauty.json": lines(OLD), "meta_All_Beauty.json": lines(products)}))
    assert found.titles.to_dict() == {"B01": "Soap"} and len(as_frame(found)) == 2
    assert found.notices[:3] == [
        "1 catalogue rows left out whose title is code of a web page",
        "2 catalogue rows with a second title for an item, or none, left out",
        "1 items without a title and their 1 interactions left out",
    ]


@pytest.mark.parametrize("write", [json.dumps, repr], ids=["json", "literals"])
@pytest.mark.parametrize("field", ["rating", "parent_asin", "timestamp", "user_id", "title"])
def test_a_field_that_the_first_row_lacks_is_read_of_the_others(tmp_path, field, write):
    reviews, products = (
        [{**one} for one in NEW],
        [{"parent_asin": key, "title": title} for key, title in TITLES.items()],
    )
    (products if field == "title" else reviews)[0].pop(field)
    store(tmp_path, **{"All_Beauty.jsonl": lines(reviews, write), "meta_All_Beauty.jsonl": lines(products, write)})
    if field not in ("rating", "title"):
        return refused(tmp_path, f"All_Beauty.jsonl, line 1: no field '{field}'")
    wanted = {"rating": [[*WANTED[0][:3], -1], *WANTED[1:]], "title": [row for row in WANTED if row[1] != "B01"]}
    found = as_frame(read(tmp_path))[["user", "item", "timestamp", "rating"]].fillna(-1)
    assert found.to_numpy().tolist() == wanted[field]


def without(row, field):
    return lines([{k: v for k, v in one.items() if (n, k) != (row, field)} for n, one in enumerate(OLD)])


@pytest.mark.parametrize("write", [json.dumps, repr], ids=["json", "literals"])
@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"asin": None}, ["All_Beauty.json, line 4: the field 'asin' is null"]),
        ({"asin": ["B01"]}, ["line 4: the field 'asin' holds a list, not text or a number"]),
        ({"asin": " "}, ["line 4, column 'asin': the id is empty"]),
        ({"unixReviewTime": "late"}, ["line 4, column 'unixReviewTime': 'late' is not a number"]),
        ({"unixReviewTime": -3}, ["line 4, column 'unixReviewTime': -3 is negative"]),
        ({"overall": "good"}, ["line 4, column 'overall': 'good' is not a number"]),
    ],
)
def test_faults_in_a_value_are_located(tmp_path, change, parts, write):
    reviews = lines(OLD[:1], write) + "\n" + lines(OLD[1:2], write) + lines([OLD[2] | change], write)
    store(tmp_path, **{"All_Beauty.json": reviews, "meta_All_Beauty.json": metadata("asin")})
    refused(tmp_path, *parts)


@pytest.mark.parametrize(
    ("reviews", "parts"),
    [
        ("", ["All_Beauty.json is empty"]),
        (without(1, "asin"), ["line 2: no field 'asin'", "known: helpful, overall"]),
        (lines(OLD) + '{"reviewerID": "Cy", \n', ['line 4: neither JSON nor a Python literal: {"reviewerID"']),
        (lines(OLD) + "[1, 2]\n", ["line 4: one object a line is expected"]),
        (lines(OLD).encode() + b'{"reviewerID": "\xe9"}\n', ["line 4: byte 0xe9 is not UTF-8"]),
        ('{"who": 1}\n', ["line 1: no field 'reviewerID' (known: who)"]),
        ("__import__('os')\n", ["line 1: neither JSON nor a Python literal"]),
        (lines([OLD[0] | {"asin": "Z9"}]), ["line 1, column 'asin': 'Z9' is not in meta_All_Beauty.json"]),
    ],
)
def test_faulty_files_are_located(tmp_path, reviews, parts):
    refused(store(tmp_path, **{"All_Beauty.json": reviews, "meta_All_Beauty.json": metadata("asin")}), *parts)


def test_half_characters_and_numbers_as_ids_are_read(tmp_path):
    reviews = lines([OLD[0] | {"reviewerID": "\ud83d", "asin": 7}, OLD[1] | {"asin": 7}])
    products = '{"asin": 7, "title": "Half \\ud83d"}\n'
    found = read(store(tmp_path, **{"All_Beauty.json": reviews, "meta_All_Beauty.json": products}))
    assert as_frame(found)["item"].tolist() == ["7", "7"] and as_frame(found)["user"].tolist() == ["?", "Ann"]
    assert found.titles.to_dict() == {"7": "Half ?"}


@pytest.mark.parametrize("write", [json.dumps, repr], ids=["json", "literals"])
def test_a_gzip_file_that_was_cut_off(tmp_path, write):
    many = lines([OLD[0] | {"reviewerID": f"u{i * 7919 % 9973}"} for i in range(9000)], write)
    store(tmp_path, **{"All_Beauty.json.gz": many, "meta_All_Beauty.json": metadata("asin")})
    path = tmp_path / "All_Beauty.json.gz"
    path.write_bytes(path.read_bytes()[:-200])
    refused(tmp_path, "All_Beauty.json.gz, after line ", "the gzip file is damaged or cut off")


def test_missing_and_surplus_files(tmp_path):
    refused(tmp_path, "has no reviews, a file reviews_Beauty*.json or reviews_Beauty*.json.gz or", "it holds no files")
    store(tmp_path, **{"All_Beauty.json": lines(OLD)})
    refused(tmp_path, "has no metadata, a file meta_Beauty*.json or")
    store(tmp_path, **{"All_Beauty_5.json.gz": lines(OLD), "meta_All_Beauty.json": metadata("asin")})
    refused(tmp_path, "several files of reviews: All_Beauty.json, All_Beauty_5.json.gz; keep one")
    (tmp_path / "above" / "inner").mkdir(parents=True)
    store(tmp_path / "above" / "inner", **{"All_Beauty.json": lines(OLD)})
    refused(tmp_path / "above", "its folder inner has All_Beauty.json")


@pytest.mark.parametrize(
    ("dataset", "parts"),
    [
        ("beauty", ["amazon/links.html (2014)", "amazon_v2/ (2018)", "https://amazon-reviews-2023.github.io/"]),
        ("home-kitchen", ["Home and Kitchen", "amazon_v2/"]),
        ("steam", ["https://cseweb.ucsd.edu/~jmcauley/datasets.html#steam_data"]),
        ("recbole", ["https://recbole.io/dataset_list.html"]),
        ("llara", ["id2name.txt"]),
    ],
)
def test_without_a_folder_the_source_is_named(dataset, parts):
    with pytest.raises(KitError, match=f"dataset {dataset} needs --data-dir") as caught:
        read_source(DataConfig(dataset=dataset))
    assert all(part in str(caught.value) for part in parts)
