"""The quick reader and the slow, line-counting one see the same rows."""

import csv

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from delrec_kit.data.engine import Engine
from delrec_kit.data.text import TextFile
from delrec_kit.settings.errors import KitError

VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
    lambda v: v == v.strip() and v.isprintable()
)
LINES = st.sampled_from(["x", 'say ""hi""', "a,b", "two\nlines", "crlf\r\ninside", "七人の侍", "'", " ", ""])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("tables") / "t.csv"


@given(st.lists(st.tuples(VALUES | LINES, VALUES), min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]))
@example([("0", 'ab"c'), ('"', "")], "\n")
@settings(max_examples=40)
def test_what_was_written_is_read(path, rows, ends):
    rows = [(f"r{place}{value}", other) for place, (value, other) in enumerate(rows)]
    with open(path, "w", newline="", encoding="utf-8") as out:
        csv.writer(out, lineterminator=ends).writerows([("one", "two"), *rows])
    engine = Engine()
    table = TextFile(path).read(engine, {"two": "two", "one": "one"})
    assert list(table.columns) == ["row", "two", "one"]
    found = engine.frame(f"SELECT bare(one) AS one, bare(two) AS two FROM {table.name} ORDER BY row")
    assert list(zip(found["one"], found["two"])) == [(a.strip(), b) for a, b in rows]
    slow = list(TextFile(path).rows())
    assert [fields for _, fields in slow[1:]] == [list(row) for row in rows]
    lines = path.read_bytes().decode().split("\n")
    for place, (line, _) in enumerate(slow[1:]):
        assert table.file.at(place)[1] == f"line {line}" and lines[line - 1].lstrip('"').startswith(f"r{place}")


def test_refuse_names_the_first_wrong_row_and_shortens_its_value(path):
    path.write_text("name\nfine\n" + "long" * 30 + "\nlast\n")
    table = TextFile(path).read(Engine(), {"name": "name"})
    table.refuse("false", "name", "never said")
    with pytest.raises(KitError, match=r"t\.csv, line 3, column 'name': (long){9}lon… is wrong \(2 rows in all\)$"):
        table.refuse("name <> 'fine'", "name", "{value} is wrong")
