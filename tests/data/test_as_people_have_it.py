"""Shapes that people publish or have, each in a small file of its own: read right, or refused with what to do."""

import gzip
import json
import re
import warnings

import pandas as pd
import pytest
from as_frame import as_frame

from delrec_kit.data import fonts, prepare, read_source
from delrec_kit.data.titles import tidied
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError

TITLES = [f"Amber Harbor {n} ({1970 + n})" for n in range(12)]
ROWS = [(f"u{u}", (u * 5 + n * 3) % 12 + 1, 1_300_000_000 + 3600 * n + u) for u in range(6) for n in range(6)]
CATALOGUE = "item,title\n" + "".join(f"{n},{title}\n" for n, title in enumerate(TITLES, 1))
INTER = "user_id:token\titem_id:token\ttimestamp:float\n" + "".join(f"{u}\t{i}\t{t}\n" for u, i, t in ROWS)
ITEM = "item_id:token\ttitle:token_seq\n" + "".join(f"{n}\t{title}\n" for n, title in enumerate(TITLES, 1))


def lay(folder, **files):
    for name, text in files.items():
        name = name.replace("__", ".")
        content = text.encode() if isinstance(text, str) else text
        (folder / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    return str(folder)


def custom(folder, interactions, items=CATALOGUE):
    return lay(folder, interactions__csv=interactions, items__csv=items)


def config(folder, dataset="custom", **settings):
    return DataConfig(dataset=dataset, data_dir=folder, candidates=3, **settings)


def read(*args, **settings):
    return read_source(config(*args, **settings))


def table(times, head="user,item,timestamp\n", quote='"'):
    """Six users with six choices each, whose times are ``times`` for all."""
    return head + "".join(
        f"u{u},{(u * 5 + n * 3) % 12 + 1},{quote}{time}{quote}\n" for u in range(6) for n, time in enumerate(times)
    )


def refused(part, *args, **settings):
    with pytest.raises(KitError) as caught:
        prepare(config(*args, **settings), 0)
    assert part in str(caught.value) and "\n" not in str(caught.value), str(caught.value)


FIELDS = [
    ("\t", {"item_id": "product_id"}, {"item_id": "id", "title": "app_name"}, {}, "game"),  # RecBole's Steam
    ("\t", {"item_id": "business_id", "timestamp": "date"}, {"item_id": "business_id"}, {}, "item"),  # its Yelp
    ("\t", {"user_id": "visitor_id"}, {}, {}, "item"),  # its Retailrocket
    ("\t", {}, {"title": "movie_title"}, {}, "film"),
    ("\t", {"user_id": "who", "item_id": "what"}, {"item_id": "what"}, {"user": "who", "item": "what"}, "item"),
    (" ", {}, {}, {}, "item"),
    (",", {}, {}, {}, "item"),
    ("\t", {}, {}, {"separator": "tab"}, "item"),
    ("|", {}, {}, {"separator": "|"}, "item"),
]


@pytest.mark.parametrize(("separator", "inter", "item", "columns", "noun"), FIELDS)
def test_atomic_files_with_other_fields_and_separators(tmp_path, separator, inter, item, columns, noun):
    texts = []
    for text, names in ((INTER, inter), (ITEM.replace(" ", "_") if separator == " " else ITEM, item)):
        for old, new in names.items():
            text = text.replace(old + ":", new + ":", 1)
        texts.append(text.replace("\t", separator))
    found = read(lay(tmp_path, x__inter=texts[0], x__item=texts[1]), "recbole", columns=columns)
    assert as_frame(found)["item"].tolist()[:6] == [str(n * 3 % 12 + 1) for n in range(6)] and found.domain.noun == noun
    assert [title.replace("_", " ") for title in found.titles] == TITLES


@pytest.mark.parametrize("separator", ["#", ";", "::", "|"])
def test_any_separator_that_is_said(tmp_path, separator):
    text = "".join(f"{u}{separator}{i}{separator}{t}\n" for u, i, t in [("user", "item", "timestamp"), *ROWS])
    catalogue = CATALOGUE.replace(",", separator)
    assert len(read(custom(tmp_path, text, catalogue), columns={"separator": separator})) == 36
    films = "".join(f"{n}{separator}{title}\n" for n, title in enumerate(TITLES, 1))
    ratings = "".join(f"{u}{separator}{i}{separator}8{separator}{t}\n" for u, i, t in ROWS)
    folder = lay(tmp_path, ratings__dat=ratings, movies__dat=films)  # MovieTweetings' layout
    assert len(read(folder, "ml-1m", columns={"separator": separator})) == 36


@pytest.mark.parametrize(
    ("written", "said", "part"),
    [
        *[(sign, ",", f"line 1: no column 'user'; it looks separated by '{sign}'") for sign in ("::", ":", "#", "|")],
        *[(" ", sign, "line 1: no column 'user'; it looks separated by blanks") for sign in (",", "  ", r"\s+")],
        ("::", ":: ", "it looks separated by '::', but ':: ' are expected (data.columns: {separator: '::'} says so)"),
        *[("::", sign, f"data.columns: {sign!r} cannot be a separator") for sign in ("", '"', "\n", "-::-:")],
    ],
)
def test_separators_that_differ_from_what_is_said(tmp_path, written, said, part):
    text = "".join(f"{u}{written}{i}{written}{t}\n" for u, i, t in [("user", "item", "timestamp"), *ROWS])
    refused(part, custom(tmp_path, text, CATALOGUE.replace(",", written)), columns={"separator": said})


@pytest.mark.parametrize(
    ("sign", "row", "part"),
    [
        (
            "::",
            "u9:1:3",
            "line 38: 1 columns where the first line has 3; it looks separated by ':', but '::' are expected",
        ),
        ("::", "u9::1::3::4", "line 38: 4 columns where the first line has 3; put quotes"),
        ("::", "u9::1", "line 38: 2 columns where the first line has 3"),
        (",", "u9,2020-01-01 10:00:00", "line 38: 2 columns where the first line has 3"),
        (" ", "u9     1     3", "line 38: 11 columns where the first line has 3; several blanks stand between values"),
        (" ", "u9  1     3", "several blanks stand between values, and each of them counts"),
    ],
)
def test_a_row_with_another_separator(tmp_path, sign, row, part):
    text = "".join(f"{u}{sign}{i}{sign}{t}\n" for u, i, t in [("user", "item", "timestamp"), *ROWS]) + row + "\n"
    with pytest.raises(KitError, match=re.escape(part) + "($|; but|, and|[^;]*$)"):
        read(custom(tmp_path, text, CATALOGUE.replace(",", sign)), columns={"separator": sign})


@pytest.mark.parametrize("dataset", ["ml-100k", "steam", "amazon", "llara", "recbole"])
def test_columns_that_a_dataset_lacks_are_refused_by_name(tmp_path, dataset):
    lay(tmp_path, u__data="", u__item="")
    refused(f"data.columns: no column 'usr' in the files of {dataset}", str(tmp_path), dataset, columns={"usr": "who"})


def test_a_column_of_labels_is_told_and_used_where_asked(tmp_path):
    text = "user,item,timestamp,label\n" + "".join(f"{u},{i},{t},{n % 2}\n" for n, (u, i, t) in enumerate(ROWS))
    every = read(custom(tmp_path, text))
    assert (
        len(every) == 36
        and "18 of 36 rows have 0, less or nothing in it" in every.notices[-1]
        and "data.positive=1" in every.notices[-1]
    )
    clicked = prepare(config(str(tmp_path), positive=1), 0)
    assert clicked.statistics["interactions"] == 18 and "18 interactions labelled below 1 left out" in clicked.notices
    assert len(clicked.split.consumed().values) == 24, "what was only shown is no distractor"
    assert (
        len(prepare(config(custom(tmp_path, text.replace(",0\n", ",False\n").replace(",1\n", ",True\n"))), 0).notices)
        == 1
    )
    assert prepare(config(str(tmp_path), positive=1), 0).statistics["interactions"] == 18, "words of programs count"
    refused("line 1: no column 'clicked'", str(tmp_path), columns={"label": "clicked"})
    custom(tmp_path, text.replace(",0\n", ",shown\n"))
    refused("line 2, column 'label': 'shown' is not a number", str(tmp_path), positive=1)
    custom(tmp_path, text.replace(",1\n", ",shown,4\n").replace(",0\n", ",shown,2\n").replace("label", "label,rating"))
    assert len(prepare(config(str(tmp_path), positive=3), 0).split.consumed().values) == 24, "words: ratings count"


DAY = 86_400
SPELLINGS = [
    ("1300000000.438", 1_300_000_000, "1300000000.25"),
    ("2020-03-01 10:00:00 UTC", 1_583_056_800, "2020-03-01 09:00:00 UTC"),
    ("2020-03-01T10:00:00.5+02:00", 1_583_049_600, "2020-03-01T10:00:00.25+02:00"),
    ("2020/03/01 10:00", 1_583_056_800, "2020/02/01 10:00"),
    ("Mar 01, 2020 10:00 AM", 1_583_056_800, "Mar 01, 2020 09:00 AM"),
    ("01 March 2020", 1_583_020_800, "29 February 2020"),
    ("Sunday, March 1st, 2020 at 10:00 AM", 1_583_056_800, "Sat, Feb. 29, 2020"),
    ("01-Mar-2020 10:00:00 +0100", 1_583_053_200, "29-FEB-2020"),
    ("2020.03.01 10:00:00 AM", 1_583_056_800, "2020.2.29"),
    ("Sun Mar 01 10:00:00 +0000 2020", 1_583_056_800, "Sun Mar 01 09:00:00 +0000 2020"),
    ("20200301", 1_583_020_800, "20200229"),
    ("20200301100000", 1_583_056_800, "20200301090000"),
    ("202003011000", 1_583_056_800, "202003010959"),
    ("20200301.0", 1_583_020_800, "20200229.0"),
    ("2020030110", 1_583_056_800, "2020030109"),
    ("202003", 1_583_020_800, "202002"),
    ("202003.0", 1_583_020_800, "201912.0"),
    ("2020", 1_577_836_800, "1999"),
]


@pytest.mark.parametrize(("time", "seconds", "before"), SPELLINGS)
def test_times_as_they_are_written(tmp_path, time, seconds, before):
    text = f'user,item,timestamp\na,1,"{time}"\na,2,"{before}"\na,3,"{time}"\n'
    found = read(custom(tmp_path, text))
    assert (
        as_frame(found)["item"].tolist() == ["2", "1", "3"]
        and as_frame(found)["timestamp"].tolist()[1:] == [seconds] * 2
    )


def test_integers_that_are_dates_are_dates_in_parquet_too(tmp_path):
    rows = pd.DataFrame({"user": ["a", "a"], "item": [2, 1], "timestamp": [20200302, 20200301]})
    rows.to_parquet(tmp_path / "interactions.parquet")
    found = read(lay(tmp_path, items__csv=CATALOGUE))
    assert as_frame(found)["timestamp"].tolist() == [1_583_020_800, 1_583_107_200] and as_frame(found)[
        "item"
    ].tolist() == [
        "1",
        "2",
    ]


@pytest.mark.parametrize(("kind", "told"), [("float32", 1), ("float64", 0), ("int64", 0)])
def test_times_that_fractions_of_32_bits_blurred_are_told(tmp_path, kind, told):
    rows = pd.DataFrame({"user": "a", "item": [1, 2, 3], "timestamp": pd.array([1.3e9, 1.3e9 + 9, 1.4e9], dtype=kind)})
    rows.to_parquet(tmp_path / "interactions.parquet")
    assert [n[:44] for n in read(lay(tmp_path, items__csv=CATALOGUE)).notices] == [
        "3 timestamps are fractions of 32 bits, which"
    ] * told


@pytest.mark.parametrize(
    ("odd", "usual", "part"),
    [
        ("5", "1600000000000", "line 3, column 'timestamp': 5 is no time in milliseconds, as most are"),
        ("20201301", "20200301", "line 3, column 'timestamp': '20201301' is not a date YYYYMMDD, as others are"),
        ("17", "2020-03-01", "line 3, column 'timestamp': '17' is not an ISO date, as others are"),
        ("2020", "20200301", "line 3, column 'timestamp': '2020' is not a date YYYYMMDD, as others are"),
        ("202013", "202012", "line 3, column 'timestamp': '202013' is not a date YYYYMM, as others are"),
        ("3", "1999", "line 3, column 'timestamp': '3' is not a date YYYY, as others are"),
        ("01-02-15", "2020-03-01", "line 3, column 'timestamp': '01-02-15' has a year of two digits"),
        (
            "03/04/2020",
            "05/06/2020",
            "line 2, column 'timestamp': '05/06/2020' is not a number, and which part is the day",
        ),
    ],
)
def test_the_odd_time_is_blamed_not_the_many(tmp_path, odd, usual, part):
    times = [usual, odd, usual, usual]
    refused(part, custom(tmp_path, "user,item,timestamp\n" + "".join(f"a,{n},{t}\n" for n, t in enumerate(times, 1))))


@pytest.mark.parametrize("first", ["43831", "43831.5", "18262", "150301", "2458849", "438288", "2015.25"])
def test_numbers_too_small_for_seconds_are_told_and_keep_their_order(tmp_path, first):
    text = table([float(first) + 5 - n for n in range(5)] + [first])
    found = read(custom(tmp_path, text))
    assert found.notices[0].startswith("36 timestamps (") and "too small for seconds since 1970" in found.notices[0]
    assert as_frame(found)["item"][:6].tolist() == [str((n * 3) % 12 + 1) for n in (5, 4, 3, 2, 1, 0)]
    assert read(custom(tmp_path, table([0, 4, 999, 2, 7, 1]))).notices == [], "places in an order"


SHORT = ["01/02/15", "15-03-01", "01-Mar-15", "3/1/20 10:00", "Mar 01, 15", "01.02.15 10:00", "1 March '15"]


@pytest.mark.parametrize("date", SHORT)
def test_a_year_of_two_digits_is_refused_by_name(tmp_path, date):
    refused(f"line 2, column 'timestamp': '{date}' has a year of two digits; write 2", custom(tmp_path, table([date])))


def test_without_times_the_order_of_rows_stands_for_them(tmp_path):
    text = "user,item\n" + "".join(f"{u},{i}\n" for u, i, _ in reversed(ROWS))
    data = prepare(config(custom(tmp_path, text)), 0)
    assert "the order of rows in the file stands for time" in data.notices[0] and "first_day" not in data.statistics
    own = [i for u, i, _ in reversed(ROWS) if u == "u0"]
    assert [*data.split.test.history[0], data.split.test.target[0]] == own
    refused(
        "no column 'timestamp'; did you mean 'time'", custom(tmp_path, text.replace("user,item\n", "user,item,time\n"))
    )


def test_ties_are_broken_as_asked_and_told_where_they_decide(tmp_path):
    rows = sorted(((f"u{u}", (u * 5 + n) % 12 + 1) for u in range(30) for n in range(5)), key=lambda row: row[1])
    text = "user,item,timestamp\n" + "".join(f"{u},{i},1300000000\n" for u, i in rows)
    folder = custom(tmp_path, text)
    made = {ties: prepare(config(folder, ties=ties), 0) for ties in ("file", "random", "item")}
    highest = [max(i for user, i in rows if user == key) for key in made["file"].split.user_keys]
    assert made["file"].split.test.target.tolist() == made["item"].split.test.target.tolist() == highest
    agrees = (made["random"].split.test.target == highest).mean()
    assert agrees < 0.6, "chance takes the highest of five now and then"
    told = made["file"].notices[-1]
    assert "30 of 30 users" in told and "for 30 of them it is the highest id" in told and "data.ties=random" in told
    custom(tmp_path, text.partition("\n")[0] + "\n" + "\n".join(reversed(text.split("\n")[1:-1])) + "\n")
    again, other = prepare(config(folder, ties="random"), 0), prepare(config(folder, ties="random"), 1)
    assert again.split.train == made["random"].split.train, "the order of rows does not matter"
    assert other.split.train != again.split.train


def parts(rows, head, sep, cut):
    """The rows as the texts of three files: each user's first rows train, then ``cut`` validate, the rest tests."""
    texts, own = {"train": head, "valid": head, "test": head}, {}
    for user, item, time in rows:
        own[user] = n = own.get(user, 0) + 1
        part = "train" if n <= 3 else "valid" if n <= 3 + cut else "test"
        texts[part] += sep.join([user, str(item), *(["4.0"] if sep == "," else []), str(time)]) + "\n"
    return texts


@pytest.mark.parametrize("cut", [1, 2])
def test_splits_that_come_as_three_files_are_kept(tmp_path, cut):
    texts = parts(ROWS, INTER.partition("\n")[0] + "\n", "\t", cut)
    folder = lay(tmp_path, **{f"x__{part}__inter": text for part, text in texts.items()}, x__item=ITEM)
    data = prepare(config(folder, "recbole"), 0)
    for user in range(6):
        own = [i for u, i, _ in ROWS if u == f"u{user}"]
        assert data.split.train[user].tolist() == own[:3] and data.split.valid.target[user] == own[3]
        assert data.split.test.target[user] == own[3 + cut] and len(data.split.consumed()[user]) == len(set(own))
    assert any("6 targets come after a user's first" in notice or "12 targets" in notice for notice in data.notices)
    one = texts["train"].splitlines()[1] + "\n"
    lay(tmp_path, **{"x__test__inter": texts["test"] + one})
    refused("x.test.inter, line ", folder, "recbole")
    refused("stand under another label, beside 'test'", folder, "recbole")


META = "".join(json.dumps({"parent_asin": str(n), "title": t}) + "\n" for n, t in enumerate(TITLES, 1))
OLD_META = META.replace("parent_asin", "asin")
REVIEWS = "".join(
    json.dumps({"reviewerID": u, "asin": str(i), "overall": 5.0, "unixReviewTime": t}) + "\n" for u, i, t in ROWS
)
RATINGS = "".join(f"{u},{i},4.0,{t}\n" for u, i, t in ROWS)
BARE = REVIEWS.replace("5.0", "null", 1).replace('"overall": 5.0, ', "")
AMAZON = [
    {"reviews_Toys_and_Games_5__json__gz": REVIEWS, "meta_Toys_and_Games__json__gz": OLD_META},
    {"Video_Games_5__json__gz": BARE, "meta_Video_Games__json__gz": OLD_META},
    {"Gift_Cards__csv": "user_id,parent_asin,rating,timestamp\n" + RATINGS, "meta_Gift_Cards__jsonl": META},
    {"ratings_Baby__csv": RATINGS, "meta_Baby__json__gz": OLD_META},
    {"Software__csv": "".join(f"{i},{u},4.0,{t}\n" for u, i, t in ROWS), "meta_Software__json__gz": OLD_META},
    {"metal_Toys__jsonl": REVIEWS, "meta_metal_Toys__jsonl": OLD_META},
]


@pytest.mark.parametrize("files", AMAZON)
def test_any_category_of_amazon_in_any_layout(tmp_path, files):
    found = read(lay(tmp_path, **files), "amazon")
    assert len(found) == 36 and found.titles.tolist() == TITLES and found.domain.noun == "product"
    assert as_frame(found)["item"].tolist()[:2] == ["1", "4"] and not as_frame(found)["rating"].iloc[0] <= 3, (
        "none is NaN"
    )


def test_one_of_several_categories_and_the_benchmark_splits(tmp_path):
    folder = lay(tmp_path, **AMAZON[2], **AMAZON[0])
    refused("several files of metadata", folder, "amazon")
    assert len(read(folder, "amazon", columns={"category": "Gift_Cards"})) == 36
    texts = parts(ROWS, "user_id,parent_asin,rating,timestamp,history\n", ",", 1)
    texts = {name: text.replace("\n", ",1 4\n").replace("history,1 4", "history") for name, text in texts.items()}
    lay(tmp_path, **{f"Gift_Cards__{part}__csv": text for part, text in texts.items()})
    data = prepare(config(folder, "amazon", columns={"category": "Gift_Cards"}), 0)
    assert (len(data.split.valid), len(data.split.test)) == (6, 6) and data.split.train.lengths.tolist() == [3] * 6
    assert (
        "not read: Gift_Cards.csv, for Gift_Cards.train.csv, Gift_Cards.valid.csv, Gift_Cards.test.csv goes before"
        in (data.notices)
    )
    (tmp_path / "Gift_Cards.valid.csv").unlink()
    data = prepare(config(folder, "amazon", columns={"category": "Gift_Cards"}), 0)
    assert "6 users' last 'train' row validates: the split has no validation rows" in data.notices
    assert data.split.train.lengths.tolist() == [2] * 6 and (len(data.split.valid), len(data.split.test)) == (6, 6)
    lay(tmp_path, Gift_Cards__train__csv__gz=texts["train"])
    refused(
        "several files of train rows: Gift_Cards.train.csv, Gift_Cards.train.csv.gz",
        folder,
        "amazon",
        columns={"category": "Gift_Cards"},
    )


def test_a_split_without_validation_rows_takes_them_from_the_training(tmp_path):
    text = "user,item,timestamp,split\n" + "".join(
        f"{u},{i},{t},{'test' if t > 1_300_017_000 else 'train'}\n" for u, i, t in ROWS
    )
    data = prepare(config(custom(tmp_path, text)), 0)
    assert "6 users' last 'train' row validates: the split has no validation rows" in data.notices
    assert data.split.train.lengths.tolist() == [4] * 6 and len(data.split.valid) == 6


def test_the_year_beside_a_title_joins_it(tmp_path):
    item = "item_id:token\tmovie_title:token_seq\trelease_year:token\n" + "".join(
        f"{n}\t{'Twin' if n < 3 else title}\t{1990 + n}\n" for n, title in enumerate(TITLES, 1)
    )
    found = read(lay(tmp_path, x__inter=INTER, x__item=item), "recbole")
    assert found.titles.tolist() == ["Twin (1991)", "Twin (1992)", *TITLES[2:]]
    assert found.notices == ["2 titles got the year that stands beside them"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_missing_titles_are_the_same_in_every_file(tmp_path, kind):
    titles = [None, "", "nan", "None", "null", "N/A", "NaN", *TITLES[7:]]
    items = pd.DataFrame({"item": range(1, 13), "title": titles})
    folder = custom(tmp_path, "user,item,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in ROWS))
    (tmp_path / "items.csv").unlink()
    items.to_csv(tmp_path / "items.csv", index=False) if kind == "csv" else items.to_parquet(tmp_path / "items.parquet")
    assert read(folder).notices == ["7 empty titles written as 'item' and the item's id"]
    dropped = prepare(config(folder, untitled="drop"), 0)
    assert dropped.split.n_items == 5 and dropped.notices[0].startswith("7 items without a title and their 22 inter")


def test_ids_that_a_missing_value_made_fractions_are_whole(tmp_path):
    rows = pd.DataFrame({"user": ["a"] * 3, "item": [1.0, 2.0, 3.0], "timestamp": [1.5, 2, 3], "rating": [None, 1, 2]})
    rows.to_parquet(tmp_path / "interactions.parquet")
    found = read(lay(tmp_path, items__csv=CATALOGUE))
    assert (
        found.notices == []
        and as_frame(found)["item"].tolist() == ["1", "2", "3"]
        and as_frame(found)["rating"].fillna(-1).tolist() == [-1, 1, 2]
    )
    rows.assign(user=[float("nan"), float("inf"), None]).to_parquet(tmp_path / "interactions.parquet")
    refused("interactions.parquet, row 1, column 'user': a value is missing", str(tmp_path))


LOST = "ids are numbers that lost digits on the way (as '1"


@pytest.mark.parametrize(("kind", "limit"), [("float64", 2**53), ("float32", 2**24)])
def test_ids_that_fractions_could_not_hold_are_told(tmp_path, kind, limit):
    rows = pd.DataFrame({"user": [limit - 1.0, 2.0, 3.0], "item": [1, 2, 3], "timestamp": [1, 2, 3]})
    lay(tmp_path, items__csv=CATALOGUE)
    for users, lost in (([limit - 1, 2, 3], 0), ([10 * limit, 10 * limit + 1, 3], 1)):
        rows.assign(user=pd.array(users, dtype=kind)).to_parquet(tmp_path / "interactions.parquet")
        found = read(str(tmp_path))
        assert as_frame(found)["user"].nunique() == 3 - lost and ("3" in found.user_keys)
        assert sum(notice.split("as '")[0].startswith(f"{lost} user ids are numb") for notice in found.notices) == lost


@pytest.mark.parametrize("key", ["1.23457E+17", "1.2345678901234567e+18", "123456789012345680.0", "1e+16"])
def test_ids_in_short_are_told_in_text_and_json(tmp_path, key):
    rows = "".join(f"u{n},{key if n < 2 else n},{n}\n" for n in range(6))
    found = read(custom(tmp_path, "user,item,timestamp\n" + rows, CATALOGUE + f"{key},Twin\n"))
    assert sum(LOST in notice for notice in found.notices) == 1
    lines = "".join(f'{{"asin": {key}, "reviewerID": {n}, "unixReviewTime": {n}}}\n' for n in range(3))
    files = {"reviews_Baby__json": lines, "meta_Baby__json": f'{{"asin": {key}, "title": "Soap"}}\n'}
    assert sum(LOST in notice for notice in read(lay(tmp_path, **files), "amazon").notices) == 1


@pytest.mark.parametrize(
    ("raw", "product", "film"),
    [
        ("USB Cable, Type, A", "USB Cable, Type, A", "A USB Cable, Type"),
        ("Lion King, The (1994)", "The Lion King (1994)", "The Lion King (1994)"),
        ('<span id="t">Soap</span><br/> &lt;b&gt;2 &lt; 3', "Soap 2 < 3", "Soap 2 < 3"),
    ],
)
def test_articles_are_for_films_and_tags_for_nobody(raw, product, film):
    assert (tidied(raw, films=False), tidied(raw, films=True)) == (product, film)


def test_titles_that_the_cut_would_make_equal_keep_their_end(tmp_path):
    long = "Very " * 20
    items = CATALOGUE + "".join(f"{n},{long}different {n}\n" for n in (13, 14)) + f"15,{'Other ' * 20}\n"
    rows = "user,item,timestamp\n" + "".join(f"a,{n},{n}\n" for n in range(1, 16))
    titles = read(custom(tmp_path, rows, items), title_length=40).titles
    assert [titles[key][-12:] for key in ("13", "14")] == ["different 13", "different 14"] and "…" in titles["13"]
    assert titles["15"].endswith("…") and (titles.map(len) <= 40).all()


def test_what_would_fit_a_small_catalogue_is_told_at_once(tmp_path):
    rows = "user,item,timestamp,split\n" + "".join(f"{u},{i},{t},train\n" for u, i, t in ROWS)
    rows += "".join(f"heavy,{i},{1_300_000_000 + i},train\n" for i in range(1, 12))
    rows += "".join(f"v,{i},{1_300_000_000 + i},{part}\n" for i, part in enumerate(("train", "valid", "test"), 1))
    folder = custom(tmp_path, rows)
    refused("user 'heavy' leaves 1 titles as distractors; set data.candidates to at most 2", folder)


def test_names_of_folders_are_no_columns(tmp_path):
    """Spark writes them as columns, and so the engine reads them."""
    for name in ("split=train", "label=1", "user=7", "timestamp=5", "year=2020"):
        (folder := tmp_path / name).mkdir()
        frame = pd.DataFrame(ROWS, columns=["user", "item", "timestamp"])
        frame.to_parquet(folder / "interactions.parquet")
        pd.DataFrame({"item": range(1, 13), "title": TITLES}).to_parquet(folder / "items.parquet")
        found = read(str(folder))
        assert as_frame(found)["user"].nunique() == 6 and not found.brings_split and found.titles.tolist() == TITLES
        assert as_frame(found)["timestamp"].min() == 1_300_000_000


def test_bytes_are_text_and_lists_are_no_ids(tmp_path):
    frame = pd.DataFrame(ROWS, columns=["user", "item", "timestamp"])
    frame.to_parquet(tmp_path / "interactions.parquet")
    items = pd.DataFrame({"item": range(1, 13), "title": [f"Café {n} 映画".encode() for n in range(12)]})
    items.to_parquet(tmp_path / "items.parquet")
    assert read(str(tmp_path)).titles.iloc[1] == "Café 1 映画"
    frame.assign(item=[[item] for item in frame["item"]]).to_parquet(tmp_path / "interactions.parquet")
    refused("column 'item': one value a row is needed", str(tmp_path))


def test_a_missing_title_gets_no_year(tmp_path):
    catalogue = "item,title,year\n" + "".join(
        f"{n},{word},1995\n" for n, word in enumerate(["nan", "None", "null", "N/A", ""], 1)
    )
    catalogue += "".join(f"{n},Amber Harbor {n},1980\n" for n in range(6, 13))
    folder = custom(tmp_path, "user,item,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in ROWS), catalogue)
    titles = read(folder).titles.tolist()
    assert titles[:5] == [f"item {n}" for n in range(1, 6)] and titles[5] == "Amber Harbor 6 (1980)"


def test_a_split_without_times_that_leaks_is_refused_or_told(tmp_path):
    rows = [(u, i, "train") for u in range(4) for i in range(1, 5)]
    targets = [(u, 5 + u, part) for u in range(4) for part in ("valid", "test")]
    write = lambda found: "user,item,split\n" + "".join(f"{u},{i},{part}\n" for u, i, part in found)  # noqa: E731
    leaks = [(u, 1 + n, part) for u in range(4) for n, part in enumerate(("valid", "test"))]
    refused("leak the test", custom(tmp_path, write(rows + leaks)))
    once = [*targets[:-1], (3, 1, "test")]
    told = [(u, i + (part == "test"), part) if (u, part) != (3, "test") else (u, i, part) for u, i, part in once]
    notices = prepare(config(custom(tmp_path, write(rows + told))), 0).notices
    assert any(notice.startswith("1 targets are items that their user has in training too") for notice in notices)


@pytest.mark.parametrize("date", ["2020-02-30", "2019-02-29", "31 Feb 2020", "2020-06-31 10:00:00", "epoch"])
def test_a_day_that_does_not_exist_is_refused(tmp_path, date):
    text = table(["2020-03-01", "2020-03-02", "2020-03-03", "2020-03-04", "2020-03-05", date])
    refused(f"'{date}' is not an ISO date", custom(tmp_path, text))
    text = table([20200301, 20200302, 20200303, 20200304, 20200305, 20200230])
    refused("'20200230' is not a date YYYYMMDD", custom(tmp_path, text))


def test_a_stray_number_among_seconds_is_refused(tmp_path):
    for stray in (0, 2020, 20200301):
        text = table([1_600_000_000 + n for n in range(5)] + [stray])
        refused(f"{stray} is no time in seconds, as most are", custom(tmp_path, text))


@pytest.mark.parametrize(("yes", "no"), [("yes", "no"), ("t", "f"), ("1", ""), ("True", "False"), ("y", "0")])
def test_labels_in_other_words_and_another_case(tmp_path, yes, no):
    text = "user,item,timestamp,Label\n" + "".join(
        f"{u},{i},{t},{yes if n % 2 else no}\n" for n, (u, i, t) in enumerate(ROWS)
    )
    found = read(custom(tmp_path, text))
    assert any("18 of 36 rows have 0, less or nothing in it" in notice for notice in found.notices)
    if no:
        assert prepare(config(str(tmp_path), positive=1), 0).statistics["interactions"] == 18


def test_a_split_in_another_case_is_used_and_one_that_is_not_used_is_not_checked(tmp_path):
    parts = ["train"] * 4 + ["valid", "test"]
    text = "user,item,timestamp,Split\n" + "".join(f"{u},{i},{t},{parts[n % 6]}\n" for n, (u, i, t) in enumerate(ROWS))
    assert read(custom(tmp_path, text)).brings_split
    mixed = text.replace("valid", "val")
    refused("'val' is no part of a split", custom(tmp_path, mixed))
    assert not read(custom(tmp_path, mixed), split="leave-one-out").brings_split


def test_rows_without_times_that_are_sorted_are_told(tmp_path):
    ordered = sorted((u, i) for u, i, _ in ROWS)
    notices = prepare(config(custom(tmp_path, "user,item\n" + "".join(f"{u},{i}\n" for u, i in ordered))), 0).notices
    assert any("rising item id" in notice for notice in notices)
    text = "user,item,ts\n" + "".join(f"{u},{i},{t}\n" for u, i, t in ROWS)
    assert any("(not read: ts)" in notice for notice in prepare(config(custom(tmp_path, text)), 0).notices)


def test_recbole_files_without_validation_and_guessed_titles(tmp_path):
    head, *rows = INTER.splitlines(keepends=True)
    train = [row for n, row in enumerate(rows) if n % 6 < 5]
    test = [row for n, row in enumerate(rows) if n % 6 == 5]
    lay(tmp_path, x__train__inter=head + "".join(train), x__test__inter=head + "".join(test))
    found = read(lay(tmp_path, x__item=ITEM.replace("title:", "brand_name:")), "recbole")
    assert "6 users' last 'train' row validates: the split has no validation rows" in found.notices
    assert "titles are taken from the column 'brand_name'; --columns title=… names another" in found.notices
    for part, places in (("train", (0, 1, 2)), ("test", (3,))):  # the fifth item is the first again
        text = "".join(
            row.rpartition("\t")[0] + "\n" for row in (head, *(r for n, r in enumerate(rows) if n % 6 in places))
        )
        lay(tmp_path, **{f"x__{part}__inter": text})
    assert not (found := read(str(tmp_path), "recbole")).timed and found.brings_split
    assert any(notice.startswith("there is no column of times") for notice in found.notices)


def test_files_of_two_kinds_side_by_side_are_told_or_refused(tmp_path):
    lay(tmp_path, x__train__inter=INTER, x__test__inter=INTER.replace("13000", "14000"), x__inter=INTER, x__item=ITEM)
    told = "not read: x.inter, for x.train.inter, x.test.inter goes before"
    assert told in read(str(tmp_path), "recbole", ties="item").notices
    films = "".join(f"{n}::{title}\n" for n, title in enumerate(TITLES, 1))
    ratings = "".join(f"{u}::{i}::8::{t}\n" for u, i, t in ROWS)
    lay(tmp_path, ratings__dat=ratings, movies__dat=films, ratings__csv="", movies__parquet="")
    assert "not read: ratings.csv, movies.parquet, for ratings.dat, movies.dat goes before" in (
        read(str(tmp_path), "ml-1m").notices
    )
    lay(tmp_path, interactions__csv="", interactions__parquet="", items__csv=CATALOGUE)
    refused("several files: interactions.csv, interactions.parquet; keep one of them", str(tmp_path))


def test_text_that_looks_like_tags_or_entities_stays():
    assert tidied("Black&regular Pen&notebook") == "Black&regular Pen&notebook"
    assert tidied("List<String> in Java") == "List<String> in Java" and tidied("<Untitled>") == "<Untitled>"
    assert tidied("<b>Bold</b> &amp; <br/>plain") == "Bold & plain"


def test_letters_without_a_font_are_told_once(monkeypatch, capsys):
    monkeypatch.setattr(fonts, "_letters", lambda path: frozenset())
    with warnings.catch_warnings():
        fonts.use_fonts_for(["七人の侍", "plain"])
    assert capsys.readouterr().out.count("\n") == 1
    monkeypatch.setattr(fonts, "_letters", lambda path: frozenset(range(0x30000)))
    fonts.use_fonts_for(["七人の侍"])
    fonts.use_fonts_for(["plain é"])
    assert capsys.readouterr().out == ""
