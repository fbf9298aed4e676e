"""Bad input: one clear line with file, line and column, or a counted clean-up."""

import pandas as pd
import pytest
from as_frame import as_frame

from delrec_kit.data import read_source
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError


def read_custom(folder, **settings):
    return read_source(DataConfig(dataset="custom", data_dir=str(folder), **settings))


HEADER = "user,item,timestamp\n"
SPLIT = "user,item,timestamp,split\n"
CATALOGUE = "item,title\n1,One\n2,Two\n3,Three\n"


def refused(folder, *parts):
    with pytest.raises(KitError) as caught:
        read_custom(folder)
    text = str(caught.value)
    assert "\n" not in text
    for part in parts:
        assert part in text, f"{part!r} is not in: {text}"


def test_a_sound_folder(write):
    read = read_custom(write(HEADER + "b,1,5\na,2,9\nb,3,1\na,1,9\n", CATALOGUE))
    assert as_frame(read).to_dict("list") == {
        "user": ["a", "a", "b", "b"],
        "item": ["2", "1", "3", "1"],
        "timestamp": [9, 9, 1, 5],
    }
    assert read.titles.to_dict() == {"1": "One", "2": "Two", "3": "Three"}
    assert read.notices == [] and read.domain.noun == "item"
    assert as_frame(read)["timestamp"].dtype == "int64" and as_frame(read)["user"].cat.categories.tolist() == ["a", "b"]


def test_order_of_columns_extra_columns_crlf_and_bom(write):
    text = "\ufefftimestamp,rating,user,item\r\n5,1,b,1\r\n1,2,b,3\r\n"
    read = read_custom(write(text, "\ufeff" + CATALOGUE.replace("\n", "\r\n")))
    assert as_frame(read).to_numpy().tolist() == [["b", "3", 1, 2.0], ["b", "1", 5, 1.0]]
    assert read.titles.tolist() == ["One", "Two", "Three"]


def test_gzip_quotes_blank_lines_and_no_last_newline(write):
    items = 'title,item\n"Sex, Lies, and ""Tape""",1\n\n"two\nlines",2'
    read = read_custom(write(HEADER + "\n\na, 1 ,3\n\n a,2,4.0", items, packed=True))
    assert read.titles.to_dict() == {"1": 'Sex, Lies, and "Tape"', "2": "two lines"}
    assert as_frame(read).to_numpy().tolist() == [["a", "1", 3], ["a", "2", 4]]


ROWS = "a,1,1\na,2,2\n"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (HEADER + ROWS + "a,3,nan\nb,1,nan\n", ["line 4", "'nan' is not a number", "2 rows in all"]),
        (HEADER + ROWS + "a,3,253402300799\n", ["line 4", "after the year 2099"]),
        ('"us\ner",item,timestamp\n' + ROWS, ["line 1", "no column 'user'", "did you mean 'us er'"]),
        (HEADER + '"a\nb",1,1\n\na,2,2\na,3,{x}\n', ["line 6", "'{x}' is not a number"]),
        (HEADER + ROWS + 'a,3,"one\ntwo"\n', ["line 4", "'one two' is not a number"]),
        (HEADER + ROWS + "a,  ,3\n", ["line 4, column 'item'", "empty"]),
        (SPLIT + "a,1,1,train\na,2,2,tset\n", ["line 3, column 'split'", "'tset'", "did you mean 'test'"]),
        (SPLIT + "a,1,1,train\na,1,1,test\n", ["line 3, column 'split'", "under another label, beside 'test'"]),
        (SPLIT + "a,1,1,train\na,2,2,test\na,3,3,test\n", ["line 4", "a second row marked 'test'"]),
        (SPLIT + "a,1,1,train\na,2,3,valid\na,3,2,test\n", ["line 4", "'test' is earlier"]),
    ],
)
def test_bad_interactions(write, text, parts):
    refused(write(text, CATALOGUE), *parts)


def test_missing_folders_and_files_name_what_is_near(write, tmp_path):
    folder = write(items=None)
    refused(folder, "has no file items.csv", "interactions.csv")
    (folder / "item.csv").touch()
    refused(folder, "the nearest there is 'item.csv'")
    (folder / "mydata").mkdir()
    refused(folder / "mydat", "no data folder", "did you mean", "mydata?")
    refused(
        folder / "mydata",
        "no file interactions.csv or interactions.csv.gz or interactions.parquet",
        "it holds no files",
    )
    refused(folder / "item.csv", "is a file")
    refused(folder / "no" / "where", "no data folder")
    below = folder / "mydata" / "inner"
    below.mkdir()
    (below / "interactions.csv").touch()
    refused(folder / "mydata", "its folder inner has")


def test_a_packed_and_an_unpacked_file_side_by_side(write):
    write(packed=True)
    refused(write(), "several files: interactions.csv, interactions.csv.gz; keep one")


def test_clean_ups_are_counted(write):
    rows = "a,1,1\na,1,1\na,2,2\na,1,3\na,9,4\na,3,5\na,1,1\n"
    read = read_custom(write(HEADER + rows, CATALOGUE + "3,Three\n"))
    assert as_frame(read)["item"].tolist() == ["1", "2", "1", "3"], "a repeated choice at another time stays"
    assert read.notices == [
        "1 repeated catalogue rows dropped",
        "1 interactions with items that the catalogue lacks dropped (the first is '9' in line 6)",
        "2 repeated rows dropped",
    ]


def test_titles_empty_equal_long_and_of_other_scripts_are_kept(write):
    items = f"item,title\n1,\n2,七人の侍\n3,Twin\n4,Twin\n5,{'long ' * 90}\n"
    read = read_custom(write(HEADER + "a,1,1\na,5,2\na,3,3\n", items))
    assert read.titles.tolist()[:4] == ["item 1", "七人の侍", "Twin", "Twin"]
    assert len(read.titles["5"]) <= 160
    assert len(read.notices) == 4 and all(notice.startswith("1 ") for notice in read.notices)


def test_equal_times_keep_file_order(write):
    read = read_custom(write(HEADER + "a,3,7\nb,1,7\na,1,7\na,2,6\nb,3,7\n", CATALOGUE))
    assert as_frame(read)["item"].tolist() == ["2", "3", "1", "1", "3"]


def test_columns_under_other_names_and_parquet(write, tmp_path):
    rows = {"uid": ["b", "a", "b"], "movie": [3, 2, 1], "when": pd.to_datetime([5, 9, 1], unit="s"), "stars": [1, 2, 3]}
    write(None, "movie,name\n1,One\n2,Two\n3,Three\n")
    pd.DataFrame(rows).to_parquet(tmp_path / "interactions.parquet")
    called = {"user": "uid", "item": "movie", "timestamp": "when", "title": "name", "rating": "stars"}
    read = read_custom(tmp_path, columns=called)
    assert as_frame(read)[["user", "item", "timestamp", "rating"]].to_numpy().tolist() == [
        ["a", "2", 9, 2], ["b", "1", 1, 3], ["b", "3", 5, 1],
    ]  # fmt: skip
    assert read.titles.to_dict() == {"1": "One", "2": "Two", "3": "Three"}
    refused_with = lambda columns, *parts: refused_columns(tmp_path, columns, *parts)  # noqa: E731
    refused_with({**called, "user": "uidd"}, "interactions.parquet: no column 'uidd'", "did you mean 'uid'")
    refused_with({**called, "usr": "uid"}, "data.columns: no column 'usr'", "did you mean 'user'")
    (tmp_path / "interactions.parquet").write_bytes(b"PAR1 damaged")
    refused_with(called, "interactions.parquet cannot be read as Parquet: it is damaged, or another kind of file (")
    pd.DataFrame({**rows, "uid": ["b", None, "a"]}).to_parquet(tmp_path / "interactions.parquet")
    refused_with(called, "interactions.parquet, row 2, column 'uid': a value is missing")


def refused_columns(folder, columns, *parts):
    with pytest.raises(KitError) as caught:
        read_custom(folder, columns=columns)
    assert all(part in str(caught.value) for part in parts), str(caught.value)
