import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delrec_kit.data import Domain
from delrec_kit.data.titles import CONTROL, LENGTH, clean_titles, shorten, tidied


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Matrix, The (1999)", "The Matrix (1999)"),
        ("Matrix, The (Das Matrix) (1999)", "The Matrix (Das Matrix) (1999)"),
        ("Tin Drum, The (Blechtrommel, Die) (1979)", "The Tin Drum (Die Blechtrommel) (1979)"),
        ("Enfer, L' (1994)", "L'Enfer (1994)"),
        ("Enfer, L’", "L’Enfer"),
        ("Star Maker, The (Uomo delle stelle, L') (1995)", "The Star Maker (L'Uomo delle stelle) (1995)"),
        ("Affair to Remember, An (1957)", "An Affair to Remember (1957)"),
        ("Misérables, Les (1995)", "Les Misérables (1995)"),
        ("Postino, Il", "Il Postino"),
        ("Norte, El (1984)", "El Norte (1984)"),
        ("Good, the Bad and the Ugly, The (1966)", "The Good, the Bad and the Ugly (1966)"),
        ("Sex, Lies, and Videotape (1989)", "Sex, Lies, and Videotape (1989)"),
        ("Mrs. Brown (Her Majesty, Mrs. Brown) (1997)", "Mrs. Brown (Her Majesty, Mrs. Brown) (1997)"),
        ("Paris, Texas (1984)", "Paris, Texas (1984)"),
        ("The The", "The The"),
        ("  Two \t Friends\u00a0 (1986) \n", "Two Friends (1986)"),
        ("Tom &amp; Jerry&#39;s &quot;Day&quot;", 'Tom & Jerry\'s "Day"'),
        ("Bad\x00Luck\x07 \x1b[31mred\x7f", "Bad Luck [31mred"),
        ("Cafe\u0301", "Café"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("七人の侍 (1954)", "七人の侍 (1954)"),
        ("Броненосец «Потёмкин»", "Броненосец «Потёмкин»"),
        ("شهر فرنگ", "شهر فرنگ"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("", ""),
        (" \t", ""),
    ],
)
def test_one_title(raw, clean):
    assert tidied(raw) == clean


@given(st.text(max_size=400))
def test_every_title_comes_out_plain(raw):
    clean = shorten(tidied(raw), LENGTH)
    assert len(clean) <= LENGTH
    assert clean == " ".join(clean.split())
    assert unicodedata.is_normalized("NFC", clean)
    assert not CONTROL.search(clean)
    assert clean.encode("utf-8").decode("utf-8") == clean


def test_long_titles_are_cut_between_words_and_inside_none():
    words = shorten(tidied("seventeen letters " * 20), LENGTH)
    assert words.endswith(" letters…") or words.endswith(" seventeen…")
    assert LENGTH - 40 <= len(words) <= LENGTH
    assert shorten(tidied("x" * 500), LENGTH) == "x" * (LENGTH - 1) + "…"
    accents = shorten(tidied("q\u0307\u0323" * 200), LENGTH)[:-1]
    assert len(accents) % 3 == 0, "a letter keeps all its accents"
    assert shorten(tidied("x" * LENGTH), LENGTH) == "x" * LENGTH


def test_clean_ups_are_counted_and_empty_titles_are_named():
    raw = pd.Series({"7": " ", "8": "Crow, The", "9": "y" * 300, "10": "The Crow", "11": "Plain…"}, dtype="str")
    clean, _, notices = clean_titles(raw, Domain())
    assert clean.tolist()[:2] == ["film 7", "The Crow"] and clean["11"] == "Plain…"
    assert [notice.split(" ")[0] for notice in notices] == ["2", "1", "1", "1"]
    text = "; ".join(notices)
    assert "titles tidied" in text and "cut to 160" in text and "empty titles" in text and "equal titles tie" in text
    assert clean_titles(pd.Series({"1": "Alien"}, dtype="str"), Domain())[2] == []
