"""Kinds of damage to the files: the right result with a counted notice, or one clear line; never a wrong number."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import re
import struct
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from as_frame import as_frame
from hypothesis import example, given, settings
from hypothesis import strategies as st

from delrec_kit.data import prepare, read_source
from delrec_kit.data.engine import Engine
from delrec_kit.data.sources.grouplens import MEMBER_LIMIT, ML_100K, extract
from delrec_kit.data.text import TextFile
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError

H, S = "user,item,timestamp\n", "user,item,timestamp,split\n"
B = "a,1,1\na,2,2\nb,3,3\n"
C = "item,title\n1,One\n2,Two\n3,Three\n"
SOUND = [["a", "1", 1], ["a", "2", 2], ["b", "3", 3]]
PACKED = gzip.compress((H + B).encode(), mtime=0)
LARGE = gzip.compress((H + "".join(f"u{i * 7919 % 9973},{i % 3 + 1},{i}\n" for i in range(5000))).encode(), mtime=0)
CUT, NUL, OPEN = (
    "the gzip file is damaged or cut off",
    "NUL bytes; the file is damaged",
    "is a quotation mark left open?",
)
TIME, WHOLE = "line 2, column 'timestamp': ", "holds whole lines of the table"
HEAD, NOTE = "stands here again; delete it", "user,item,timestamp,note\n"
TIDY = " titles tidied (article in front, blanks, tags, entities, control characters)"
LIMIT = "1 titles cut to 160 characters"
ODD_IDS = ["NA", "-1", "N/A", "1e5", "nan", "=1+1", "None", "null", "true", "😀👩‍👩‍👧", "שלום", "x" * 5000]


def read_custom(folder, **settings):
    return read_source(DataConfig(dataset="custom", data_dir=str(folder), **settings))


def read_movielens(folder, **settings):
    return read_source(DataConfig(dataset="ml-100k", data_dir=str(folder), **settings))


def rows(text):
    return {"interactions.csv": text}


def packed(content):
    return {"interactions.csv": None, "interactions.csv.gz": content}


def items(text):
    return {"items.csv": text}


def times(*values):
    return rows(H + "".join(f"a,{place},{value}\n" for place, value in enumerate(values, 1)))


WORDED = ("good", "", "nan", "inf", "1e400", "1e39", "0x5", "★★★")


def comes(frame=SOUND, *notices, titles=None):
    return frame, list(notices), titles


def rated(value):
    return rows(f"user,item,timestamp,rating\na,1,1,{value}\na,2,5,3\n")


CASES = [
    *[(f"gzip cut to {n} bytes", packed(PACKED[:n]), CUT) for n in range(2, len(PACKED), 5)],
    *[(f"large gzip cut to {n} bytes", packed(LARGE[:n]), CUT) for n in (500, 5000, len(LARGE) - 8, len(LARGE) - 1)],
    ("gzip cut to 1 byte", packed(PACKED[:1]), "interactions.csv.gz is empty"),
    ("gzip then zeros", packed(PACKED + b"\0" * 20), comes()),
    ("gzip then garbage", packed(PACKED + b"garbage"), ("after line 4", CUT)),
    ("gzip then rows", packed(PACKED + b"a,3,9\n"), ("after line 4", CUT)),
    ("gzip of two members", packed(PACKED + gzip.compress(b"c,1,9\n")), comes([*SOUND, ["c", "1", 9]])),
    ("gzip of two whole files", packed(PACKED * 2), ("line 5", HEAD)),
    ("gzip with a wrong sum", packed(PACKED[:-8] + b"\1\2\3\4" + PACKED[-4:]), CUT),
    ("gzip of an unknown method", packed(PACKED[:2] + b"\x07" + PACKED[3:]), CUT),
    ("gzip in a gzip", packed(gzip.compress(PACKED)), "line 1, column 1: byte 0x8b is not UTF-8"),
    ("gzip named csv", rows(PACKED), comes()),
    ("plain named gz", packed(H + B), comes()),
    ("catalogue packed", items(gzip.compress(C.encode())), comes()),
    ("zip named csv", rows(b"PK\x03\x04\x14\0\0\0\x08\0" * 20), "csv is a zip archive, or a workbook; unpack it"),
    ("bzip2 named gz", packed(bz2.compress(PACKED)), "interactions.csv.gz is packed with bzip2; unpack it"),
    ("xz named csv", items(lzma.compress(C.encode())), "items.csv is packed with xz; unpack it"),
    ("Parquet named csv", rows(b"PAR1" + b"\0\1" * 9), "is a Parquet file; let its name end in .parquet"),
    *[(f"only {name}", {"items.csv": None, name: b"PK\3\4"}, ("no file items.csv", f"is in {name}, unpack that"))
      for name in ("items.csv.zip", "items.zip", "all.tar.gz", "items.csv.xz", "Data.ZIP")],
    ("utf-16", rows((H + B).encode("utf-16")), ("line 1", "byte 0xff is not UTF-8; save the file as UTF-8")),
    ("utf-16 le without mark", rows((H + B).encode("utf-16-le")), ("line 1", NUL, "not saved as UTF-8")),
    ("utf-16 be without mark", rows((H + B).encode("utf-16-be")), ("line 1", NUL)),
    ("utf-16 catalogue", items(C.encode("utf-16")), ("items.csv, line 1", "byte 0xff is not UTF-8")),
    ("utf-32", rows((H + B).encode("utf-32")), "byte 0xff is not UTF-8"),
    ("latin-1 title", items((C + "4,Café\n").encode("latin-1")), "items.csv, line 5, column 2: byte 0xe9"),
    ("latin-1 user", rows((H + B + "Zoë,1,1\n").encode("latin-1")), "line 5, column 1: byte 0xeb"),
    ("latin-1 header", rows("user,item,timestamp,é\na,1,1,x\n".encode("latin-1")), "line 1, column 4: byte 0xe9"),
    ("latin-1 unread", rows((NOTE + "a,1,1,é\n").encode("latin-1")), comes([["a", "1", 1]])),
    ("byte-order mark", rows("\ufeff" + H + B), comes()),
    ("mark and quotes", rows('\ufeff"user","item","timestamp"\n' + B), comes()),
    ("two marks", rows("\ufeff\ufeff" + H + B), r"did you mean '\ufeffuser'"),
    ("mark within", rows(H + B + "\ufeffa,1,1\n"), ("line 5, column 'user'", "were two files joined?")),
    ("mark only", rows("\ufeff"), "interactions.csv is empty"),
    ("crlf", rows((H + B).replace("\n", "\r\n")), comes()),
    ("cr", {**rows((H + B).replace("\n", "\r")), **items(C.replace("\n", "\r"))}, comes()),
    ("cr cr lf", rows((H + B).replace("\n", "\r\r\n")), comes()),
    ("mixed line ends", rows("user,item,timestamp\ra,1,1\r\na,2,2\nb,3,3"), comes()),
    ("fault after cr", rows((H + B + "b,3,x\n").replace("\n", "\r")), "line 5, column 'timestamp': 'x'"),
    ("cr in a value", rows(H + "a\rb,1,1\n"), "line 2: 1 columns where the first line has 3"),
    ("quote open, first column", rows(H + '"' + B), ("line 2", OPEN)),
    ("quote open, middle column", rows(H + B + 'a,"1,4\na,2,5\n'), ("line 5", OPEN)),
    ("quote open, last column", rows(H + 'a,1,"1\na,2,2\n'), ("line 2", OPEN)),
    ("quote open, last row", rows(H + B + 'a,1,"4\n'), ("line 5", OPEN)),
    ("quote open, last title", items(C[:-6] + '"Three\n'), ("items.csv, line 4", OPEN)),
    ("quote open, header", rows('"' + H + B), ("line 1", OPEN)),
    ("quote open, unread", rows(NOTE + 'a,1,1,"x\na,2,2,y\n'), ("line 2", OPEN)),
    ("quote open, unread, cr", rows((NOTE + 'a,1,1,"x\na,2,2,y\n').replace("\n", "\r")), OPEN),
    ("quote closed later, first", rows(H + '"a,1,1\na,2,2\nb",3,3\n'), ("line 2, column 'user'", WHOLE)),
    ("quote closed later, middle", rows(H + 'a,"1,1\na,2,2\nb,3",3\na,1,4\n'), ("line 2, column 'item'", WHOLE)),
    ("quote closed later, last", rows(H + 'a,1,"1\na,2,2\nb,3,3"\na,3,4\n'), ("line 2, column 'timestamp'", WHOLE)),
    ("quote closed later, cr", rows((NOTE + 'a,1,1,"x\na,2,2,"\na,2,3,z\n').replace("\n", "\r")), WHOLE),
    ("quote closed later, unread", rows(NOTE + 'a,1,1,"x\na,2,2,y\nb,3,3,z"\n'), ("'note'", WHOLE)),
    ("quote closed, unread first", rows("note," + H + '"x,a,1,1\ny,a,2,2\nz",b,3,3\n'), ("column 'note'", WHOLE)),
    ("quote closed at a quote", rows(NOTE + 'a,1,1,"x\na,2,2,y\nb,3,3,"z"\n'), ("line 2", OPEN)),
    ("quote closed alone", rows(NOTE + 'a,1,1,"x\na,2,2,y\n"\n'), ("column 'note'", WHOLE)),
    ("quote closed, titles", items('title,item\n"One,1\nTwo,2\nThree",3\n'), ("line 2, column 'title'", WHOLE)),
    ("lines in an unread column", rows(NOTE + 'a,1,1,"well,\nyes,no,but,so\n!"\na,2,2,\nb,3,3,"a,\nb"\n'), comes()),
    ("text after a quote", rows(H + 'a,1,1\n"a"b,1,1\n'), ("line 3", OPEN)),
    ("quote in a value", rows(H + 'a"b,1,1\n'), comes([['a"b', "1", 1]])),
    ("blank before a quote", rows(H + 'a,1,1\nb, "2",3\n'), comes([["a", "1", 1], ["b", "2", 3]])),
    ("blank before a title's quote", items(C + '4, "A, B"\n'), comes(titles=["One", "Two", "Three", "A, B"])),
    ("NUL in a user", rows(H + "a\0,1,1\n"), "line 2, column 'user': the id holds a NUL byte"),
    ("NUL in an item", rows(H + "a,1\0,1\n"), "line 2, column 'item': the id holds a NUL byte"),
    ("NUL in the catalogue", items(C + "4\0,X\n"), "items.csv, line 5, column 'item': the id holds a NUL byte"),
    ("NUL in a time", times("1\0"), TIME + r"'1\x00' is not a number"),
    ("NUL in a title", items(C.replace("One", "O\0ne")), comes(SOUND, "1" + TIDY, titles=["O ne", "Two", "Three"])),
    ("NUL in the header", rows("us\0er,item,timestamp\n" + B), ("line 1", NUL)),
    ("a tail of NULs", rows(H + B + "\0" * 4096), ("line 5", NUL)),
    ("catalogue with a tail of NULs", items(C + "\0" * 4096), ("items.csv, line 5", NUL)),
    ("NULs only", rows("\0" * 5000), ("line 1", NUL)),
    ("10 MB in an unread column", rows(NOTE + "a,1,1," + "y" * 10**7 + "\na,2,2,\nb,3,3,\n"), comes()),
    ("10 MB in a title", items(C.replace("One", "y" * 10**7)), comes(SOUND, "1" + TIDY, LIMIT)),
    ("10 MB of one line", rows("x" * 10**7), ("no column 'user' (known: xxx", "the first line names the columns")),
    ("columns in another order", rows("timestamp,x,user,item\n1,,a,1\n2,,a,2\n3,,b,3\n"), comes()),
    ("column missing", rows("item,timestamp\n1,1\n"), "line 1: no column 'user' (known: item, timestamp)"),
    ("column renamed", rows("userId,movieId,timestamp\na,1,1\n"), "no column 'user'; did you mean 'userId'?"),
    ("column in capitals", rows("user,Item,timestamp\na,1,1\n"), "no column 'item'; did you mean 'Item'?"),
    ("column doubled", rows("user,item,timestamp,user\na,1,1,a\n"), "line 1: the column 'user' stands there twice"),
    ("split doubled", rows(S[:-1] + ",split\na,1,1,train,train\n"), "the column 'split' stands there twice"),
    ("unread column doubled", rows(H[:-1] + ",x,x,,\na,1,1,2,3,,\n"), comes([["a", "1", 1]])),
    ("thousands of columns", rows(",".join(f"c{i}" for i in range(5000)) + "\n1\n"), "no column 'user'"),
    ("no header", rows(B), ("line 1: no column 'user' (known: 1, 1, a)", "the first line names the columns")),
    ("no header of the catalogue", items(C[11:]), "items.csv, line 1: no column 'item'"),
    ("header twice", rows(H + H + B), ("line 2", HEAD)),
    ("header in the middle", rows(H + B + H + B), ("line 5", HEAD)),
    ("header twice in the catalogue", items("item,title\n" + C), ("items.csv, line 2", HEAD)),
    ("header only", rows(H), "interactions.csv has a header and no rows"),
    ("header only, no line end", rows(H[:-1]), "interactions.csv has a header and no rows"),
    ("catalogue's header only", items("item,title"), "items.csv has a header and no rows"),
    ("blank lines", rows("\n\n" + H + "\na,1,1\n\n\na,2,2\nb,3,3\n\n\n"), comes()),
    ("blank lines of crlf", rows(("\n" + H + "\n" + B + "\n").replace("\n", "\r\n")), comes()),
    ("lines of blanks", {
        **rows("   \n\t\n" + H + "a,1,1\n   \na,2,2\n \u3000\t\nb,3,3\n\t "), **items(" \n" + C)}, comes()),
    ("line of blanks, cr", rows((" \n" + H + " \n" + B).replace("\n", "\r")), comes()),
    ("blanks before a fault", rows(" \n" + H + "\n  \na,1,1\n \na,2,x\n"), "line 7, column 'timestamp': 'x' is not"),
    ("blanks before few fields", rows(H + "  \n" * 9 + "a,2\n" + B), "line 11: 2 columns where the first line has 3"),
    ("thousands of lines of blanks", rows(H + "  \n" * 3000 + B + "a,2\n"), "columns where the first line has 3"),
    ("nothing but blanks", rows("  \n\t\n"), "interactions.csv is empty"),
    ("line of commas", rows(H + B + ",,\n"), "line 5, column 'user': the id is empty"),
    ("too few fields", rows(H + B + "a,2\n"), "line 5: 2 columns where the first line has 3"),
    ("too many fields", rows(H + B + "a,2,2,3\n"), ("line 5: 4 columns", "put quotes around")),
    ("too many fields everywhere", rows(H + "a,1,1,\nb,2,2,\n"), "line 2: 4 columns where the first line has 3"),
    ("semicolons", rows((H + B).replace(",", ";")), "line 1: no column 'user'; it looks separated by semicolons"),
    ("tabs", rows((H + B).replace(",", "\t")), "looks separated by tabs, but commas are expected"),
    ("bars", rows((H + B).replace(",", "|")), "looks separated by '|'"),
    ("catalogue with semicolons", items(C.replace(",", ";")), "line 1: no column 'item'; it looks separated"),
    ("semicolons below the header", rows(H + B.replace(",", ";")), ("line 2: 1 columns", "separated by semicolons")),
    ("blanks round values", rows(" user , item , timestamp \n a , 1 , 1 \na\u00a0,2\t,2\n\" b \",3,3\n"), comes(
        SOUND, "1 user ids differ from another by blanks alone, and are taken for it (as 'a')")),
    ("floats as ids", rows(H + "a,1.0,1\nb,2.0,2\n"), "nor are most; the catalogue spells it '1'"),
    ("floats in the catalogue", items("item,title\n1.0,One\n"), "the catalogue spells it '1.0'"),
    ("one float as id", rows(H + B + "a,1.0,9\n"), comes(
        SOUND, "1 interactions with items that the catalogue lacks dropped (the first is '1.0' in line 5; the "
        "catalogue spells it '1')")),
    ("ids of another case", {**rows(H + "a,b1x,1\n"), **items("item,title\nB1x,One\n")}, "spells it 'B1x'"),
    ("ids without zeros", items("item,title\n01,One\n02,Two\n"), ("column 'item': '1'", "spells it '01'")),
    ("ids with an inner blank", {**rows(H + "a,x y,1\n"), **items("item,title\nxy,One\n")}, "spells it 'xy'"),
    ("ids with invisible letters", rows(H + "a,1\u200b,1\n"), (r"'1\u200b' is not in", "spells it '1'")),
    ("users that differ by zeros and case", rows(H + "a,1,1\nA,1,1\n01,1,1\n1,1,1\n"), comes(
        [["1", "1", 1], ["A", "1", 1], ["a", "1", 1], ["01", "1", 1]])),
    ("odd ids", {
        **rows(H + "".join(f"{key},{key},{n}\n" for n, key in enumerate(ODD_IDS))),
        **items("item,title\n" + "".join(f"{key},Title {n}\n" for n, key in enumerate(ODD_IDS)))},
        comes(sorted([[key, key, n] for n, key in enumerate(ODD_IDS)], key=lambda row: (len(row[0]), row[0])),
              "the user id 'N/A' and 'None' and 'nan' and 'null' means nobody as a rule; its rows are taken as one "
              "person's",
        )),
    ("titles like missing values", items("item,title\n1,NA\n2,null\n3,NaN\n4,N/A\n5,None\n"), comes(
        SOUND, "4 empty titles written as 'item' and the item's id",
        titles=["NA", "item 2", "item 3", "item 4", "item 5"])),
    *[(f"time {value!r}", times("5", value), "line 3, column 'timestamp': " + what) for value, what in (
        ("-5", "-5 is negative"), ("-0.5", "-0.5 is negative"), ("1600000000000", "1600000000000 is after the year"),
        ("1600000000000000", "1600000000000000 is after"), ("2020-01-01", "'2020-01-01' is not a number"),
        ("", "the timestamp is missing"), ("nan", "'nan' is not"), ("inf", "'inf' is not"), ("-inf", "'-inf' is not"),
        ("1e400", "'1e400' is not"), ("9" * 20, "9" * 20 + " is after"),
        ("0x10", "'0x10' is not a number"), ("1_000", "'1_000' is not"), ("٣", "'٣' is not"), ("NaT", "'NaT' is not"))],
    ("time with a comma", times("5", "1,5"), "line 3: 4 columns"),
    ("fractions of a second", times("5.75", "5.5", "1e0"), comes([["a", "3", 1], ["a", "2", 5], ["a", "1", 5]])),
    ("times of zero", times("0", "0"), comes([["a", "1", 0], ["a", "2", 0]])),
    ("times as floats", times("8.8e8", "881250949.0", "+00881250950"), comes(
        [["a", "1", 880000000], ["a", "2", 881250949], ["a", "3", 881250950]])),
    ("time in the future", times("5", "4000000000"), comes(
        [["a", "1", 5], ["a", "2", 4000000000]], "1 interactions lie in the future")),
    ("milliseconds", times("1600000000900", "1600000000100", "1600000000500"), comes(
        [["a", item, 1600000000] for item in "231"], "3 timestamps read as milliseconds")),
    ("milliseconds as floats", times("1600000001000.0", "1600000000000.0"), comes(
        [["a", "2", 1600000000], ["a", "1", 1600000001]], "2 timestamps read as milliseconds")),
    ("microseconds", times("1600000000000000"), TIME + "1600000000000000 is after the year 2099"),
    ("milliseconds then seconds", times("1600000001000", "1600000000"), TIME + "1600000001000 is after"),
    ("dates", times("2020-01-03", "2020-01-01T00:00:05.9", "2020-01-01 00:00:05.5"), comes(
        [["a", "3", 1577836805], ["a", "2", 1577836805], ["a", "1", 1578009600]],
        "3 timestamps read as dates (UTC where no zone is given)")),
    ("dates with zones", times("2020-01-01T00:00:00Z", "2020-01-01T00:00:00+02:00"), comes(
        [["a", "2", 1577829600], ["a", "1", 1577836800]], "2 timestamps read as dates (UTC where no zone is given)")),
    ("dates and a number", times("2020-01-01", "5"), TIME + "'2020-01-01' is not a number"),
    ("dates and no date", times("2020-01-01", "2020-01-51"), "line 3, column 'timestamp': '2020-01-51' is not an ISO"),
    *[(f"times all {value!r}", times(value, value), TIME + what) for value, what in (
        ("9999-12-31", "9999-12-31 is after the year 2099 ("), ("2262-05-01", "2262-05-01 is after the year 2099 ("),
        ("1969-12-31", "1969-12-31 is before 1970"), ("0001-01-01", "0001-01-01 is before 1970"), ("now", "'now'"),
        ("today", "'today' is not a number"), ("01/02/2020", "'01/02/2020' is not"), ("2020-13-01", "'2020-13-01'"),
        ("12:00", "'12:00' is not a number"), ("nan", "'nan' is not"), ("0x10", "'0x10' is not"), ("1e10", "1e10 is"))],
        ("ratings", rated("-4.5"), comes([["a", "1", 1, -4.5], ["a", "2", 5, 3.0]])),
    ("few unknown items", rows(H + B + "a,9,9\n"), comes(
        SOUND, "1 interactions with items that the catalogue lacks dropped (the first is '9' in line 5)")),
    ("most items unknown", rows(H + "a,1,1\na,9,9\na,8,9\n"), ("line 3", "'9' is not in items.csv, nor are most")),
    ("all items unknown", rows(H + "a,9,9\na,8,9\n"), ("line 2, column 'item'", "do the ids match? (2 rows in all)")),
    ("equal titles", items(C.replace("Two", "One")), comes(
        SOUND, "1 items bear a title that stands earlier in the catalogue; equal titles tie",
        titles=["One", "One", "Three"])),
    ("one item of two titles", items(C + "1,Uno\n"), ("items.csv, line 5, column 'item'", "already has another title")),
    ("two ids that differ by blanks", items(C + " 1,Uno\n"), ("items.csv, line 5", "already has another title")),
    ("catalogue rows repeated", items(C + "1, One \n"), comes(SOUND, "1 repeated catalogue rows dropped")),
    ("empty titles", items('item,title\n1,\n2,"  "\n3,\u00a0\u200b&nbsp;\n'), comes(
        SOUND, "3 empty titles written as 'item' and the item's id", titles=["item 1", "item 2", "item 3"])),
    ("empty titles of odd ids", items(C + f'"4\n\x1b5",\n{"y" * 300},\n'), comes(
        SOUND, "2 empty titles written as 'item' and the item's id",
        titles=["One", "Two", "Three", "item 4 5", "item " + "y" * 154 + "…"])),
    ("entities and control characters", items("item,title\n1,Tom &amp; Jerry\n2,A\tB\x07C\n3,T\x1b[31m\n"), comes(
        SOUND, "3" + TIDY, titles=["Tom & Jerry", "A B C", "T [31m"])),
    ("rows repeated", rows(H + B + B), comes(SOUND, "3 repeated rows dropped")),
    ("labels in capitals and blanks", rows(S + "a,1,1, TRAIN \na,2,2,Test\n"), comes(
        [["a", "1", 1, "train"], ["a", "2", 2, "test"]])),
    ("label unknown", rows(S + "a,1,1,train\na,2,2,dev\n"), "line 3, column 'split': 'dev' is no part of a split"),
    ("label missing", rows(S + "a,1,1,train\na,2,2,\n"), "line 3, column 'split': '' is no part"),
    ("target before history", rows(S + "a,1,5,history\na,2,2,test\n"), ("line 3, column 'split'", "is earlier")),
    ("an error page", rows("<!DOCTYPE html>\n<html><body>Not, found</body></html>\n"),
     "line 1: no column 'user' (known: <!DOCTYPE html>)"),
    ("a folder for a file", rows("FOLDER"), "interactions.csv is a folder or a device, not a file"),
    ("a folder for the catalogue", items("FOLDER"), "items.csv is a folder or a device, not a file"),
    ("a broken link", rows("LINK"), "interactions.csv is a link that leads to no file"),
    ("a link to itself", items("LOOP"), "items.csv is a link that leads to no file"),
]  # fmt: skip


def lay(folder, files):
    for name, content in {"interactions.csv": H + B, "items.csv": C, **files}.items():
        path = folder / name
        path.unlink(missing_ok=True)
        if content == "FOLDER":
            path.mkdir()
        elif content in ("LINK", "LOOP"):
            path.symlink_to(path if content == "LOOP" else folder / "gone")
        elif content is not None:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def one_line(error):
    text = str(error.value if hasattr(error, "value") else error)
    assert len(text.splitlines()) == 1 and len(text) < 1000 and text.isprintable(), text
    return text


@pytest.mark.parametrize(("files", "outcome"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_damage(tmp_path, files, outcome):
    lay(tmp_path, files)
    if isinstance(outcome, tuple) and isinstance(outcome[0], list):
        frame, notices, titles = outcome
        read = read_custom(tmp_path)
        assert as_frame(read).to_numpy().tolist() == frame and read.notices == notices
        assert titles is None or read.titles.tolist() == titles
        return
    with pytest.raises(KitError) as caught:
        read_custom(tmp_path)
    text = one_line(caught)
    for part in [outcome] if isinstance(outcome, str) else outcome:
        assert part in text, text


@pytest.mark.parametrize("value", WORDED)
def test_a_rating_that_is_no_number_stops_only_who_asks_for_ratings(tmp_path, value):
    lay(tmp_path, rated(value))
    frame = as_frame(read_custom(tmp_path))
    assert frame["item"].tolist() == ["1", "2"] and frame["rating"].fillna(-1).tolist() == [-1, 3]
    with pytest.raises(KitError) as caught:
        read_custom(tmp_path, positive=2)
    assert f"line 2, column 'rating': '{value}' is not a number" in one_line(caught)


def test_the_names_of_the_table_differ():
    names = [case[0] for case in CASES]
    assert len(set(names)) == len(names) > 150


U = b"1\t2\t5\t881250949\n1\t1\t3\t881250940\n2\t3\t4\t881250950\n"
F = '1|Matrix, The (1999)|01-Jan-1999||url|0\n2|Misérables, Les (1995)|||"|0\n3|Se7en (1995)|||x|1\n'
FILMS = ["The Matrix (1999)", "Les Misérables (1995)", "Se7en (1995)"]
RATED = [["1", "1", 881250940, 3], ["1", "2", 881250949, 5], ["2", "3", 881250950, 4]]
PAGE = b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n"
FILMS_CASES = [
    ("sound", {}, None),
    ("lines of blanks", {"u.data": b" \n" + U + b"  \n", "u.item": (" \n" + F + "  ").encode("latin-1")}, None),
    ("tabs alone", {"u.data": b"\t\t\n" + U + b"\t\n"}, None),
    ("crlf", {"u.data": U.replace(b"\n", b"\r\n"), "u.item": F.replace("\n", "\r\n").encode("latin-1")}, None),
    ("utf-8", {"u.item": F.encode()}, None),
    ("utf-8 with a mark", {"u.item": b"\xef\xbb\xbf" + F.encode()}, None),
    ("packed", {"u.data": gzip.compress(U), "u.item": gzip.compress(F.encode("latin-1"))}, None),
    ("packed utf-8", {"u.item": gzip.compress(F.encode())}, None),
    ("packed and cut off", {"u.item": gzip.compress(F.encode())[:-9]}, ("u.item, after line", CUT)),
    ("utf-16", {"u.item": F.encode("utf-16")}, ("u.item, line 1", NUL)),
    ("NULs only", {"u.data": b"\0" * 900}, ("u.data, line 1", NUL)),
    ("a tail of NULs", {"u.data": U + b"\0" * 900}, ("u.data, line 4", NUL)),
    (
        "commas",
        {"u.data": U.replace(b"\t", b",")},
        ("u.data, line 1: 1 columns where 4", "it looks separated by commas"),
    ),
    ("spaces", {"u.data": U.replace(b"\t", b" ")}, "u.data, line 1: 1 columns where 4 are expected"),
    ("tabs for bars", {"u.item": F.replace("|", "\t").encode()}, ("u.item, line 1: 1 columns", "separated by tabs")),
    ("a header", {"u.data": b"user\titem\trating\ttimestamp\n" + U}, "u.data, line 1, column 'timestamp': 'timestamp'"),
    ("an error page", {"u.data": PAGE}, "u.data, line 1: 1 columns where 4 are expected"),
    ("an error page of films", {"u.item": PAGE}, "u.item, line 1: 1 columns where 2 are expected"),
    ("cut off", {"u.data": U[:-13]}, "u.data, line 3: 2 columns where the first line has 4"),
    (
        "a rating of words",
        {"u.data": U + b"2\t1\tgood\t881250951\n"},
        "u.data, line 4, column 'rating': 'good' is not a number",
    ),
    ("hexadecimal", {"u.data": U + b"2\t1\t5\t0x5\n"}, "u.data, line 4, column 'timestamp': '0x5' is not a number"),
    ("columns exchanged", {"u.data": U + b"2\t1\t881250949\t-3\n"}, "line 4, column 'timestamp': -3 is negative"),
    ("two titles", {"u.item": (F + "1|Other||||0\n").encode()}, "u.item, line 4, column 'item': item '1' already has"),
    ("a row of few columns", {"u.item": (F + "4|Short\n").encode()}, "u.item, line 4: 2 columns"),
    ("empty", {"u.data": b""}, "u.data is empty"),
    ("a folder", {"u.data": "FOLDER"}, "u.data is a folder or a device, not a file"),
    ("a broken link", {"u.item": "LINK"}, "u.item is a link that leads to no file"),
]


@pytest.mark.parametrize(
    ("files", "outcome"), [case[1:] for case in FILMS_CASES], ids=[case[0] for case in FILMS_CASES]
)
def test_damage_to_movielens(tmp_path, files, outcome):
    lay(tmp_path, {"interactions.csv": None, "items.csv": None, "u.data": U, "u.item": F.encode("latin-1"), **files})
    if outcome is None:
        read = read_movielens(tmp_path)
        assert read.titles.tolist() == FILMS and read.notices == ["2" + TIDY]
        assert as_frame(read)[["user", "item", "timestamp", "rating"]].to_numpy().tolist() == RATED
        return
    with pytest.raises(KitError) as caught:
        read_movielens(tmp_path, positive=1)
    text = one_line(caught)
    for part in [outcome] if isinstance(outcome, str) else outcome:
        assert part in text, text


def zipped(method=zipfile.ZIP_DEFLATED, **members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        archive.writestr("../escaped", b"harm")
        archive.writestr("/ml-100k/u.data", b"harm")
        for name, data in {"u_data": U * 50, "u_item": F.encode("latin-1"), **members}.items():
            if data is not None:
                archive.writestr("ml-100k/" + name.replace("_", "."), data)
    return content.getvalue()


def patched(content, signature, offset, value):
    """The zip with some bytes of the header of ml-100k/u.data written over: local (PK34) and central (PK12) records."""
    out, start = bytearray(content), 0
    while (place := content.find(b"ml-100k/u.data", start)) >= 0:
        size = 30 if content[place - 30 : place - 26] == b"PK\3\4" else 46
        if content[place - size : place - size + 4] == signature:
            out[place - size + offset : place - size + offset + len(value)] = value
        start = place + 1
    return bytes(out)


ZIP, LOCAL, CENTRAL = zipped(), b"PK\3\4", b"PK\1\2"
ALIEN, DIFFERS = "is not MovieLens-100K's archive", "is not MovieLens-100K's (SHA-256 differs); delete it and retry"
ZIPS = [
    ("sound", ZIP, None),
    ("stored", zipped(zipfile.ZIP_STORED), None),
    ("an error page", PAGE, ALIEN),
    ("empty", b"", ALIEN),
    *[(f"cut to {share} %", ZIP[: len(ZIP) * share // 100], ALIEN) for share in (5, 30, 60, 99)],
    ("no u.item", zipped(u_item=None), ALIEN),
    ("another u.data", zipped(u_data=U), DIFFERS),
    ("a huge member", zipped(u_data=b"0" * (MEMBER_LIMIT + 9)), "unpacks to more than 64 MiB; delete it"),
    ("a huge declared member", patched(ZIP, CENTRAL, 24, struct.pack("<I", 2**32 - 2)), None),
    ("a member with a password", patched(ZIP, CENTRAL, 8, b"\1\0"), ALIEN),
    ("an unknown method", patched(ZIP, CENTRAL, 10, b"\x63\0"), ALIEN),
    ("a wrong sum", patched(ZIP, CENTRAL, 16, b"\1\2\3\4"), ALIEN),
    ("bytes changed within", ZIP[:270] + b"\xff" * 9 + ZIP[279:], ALIEN),
    ("a folder", None, "could not be unpacked"),
]


MEMBERS = {"u.data": U * 50, "u.item": F.encode("latin-1")}
SMALL = replace(ML_100K, members={name: hashlib.sha256(content).hexdigest() for name, content in MEMBERS.items()})


@pytest.mark.parametrize(("content", "part"), [case[1:] for case in ZIPS], ids=[case[0] for case in ZIPS])
def test_damage_to_the_archive(tmp_path, content, part):
    wanted = MEMBERS
    archive, out = tmp_path / "ml-100k.zip", tmp_path / "deep" / "out"
    if content is None:
        archive.mkdir()
    else:
        archive.write_bytes(content)
    if part is None:
        extract(SMALL, archive, out)
        assert {path.name: path.read_bytes() for path in out.iterdir()} == wanted
    else:
        with pytest.raises(KitError) as caught:
            extract(SMALL, archive, out)
        assert part in one_line(caught)
        assert all(path.read_bytes() == wanted[path.name] for path in out.iterdir()), "nothing wrong is left behind"
    assert not list(tmp_path.rglob("escaped")) and {path.name for path in tmp_path.iterdir()} == {"ml-100k.zip", "deep"}


@given(st.integers(0, len(ZIP) - 1), st.integers(0, 255))
@settings(max_examples=150)
def test_one_byte_of_the_archive_changed(folder, place, byte):
    (folder / "ml-100k.zip").write_bytes(ZIP[:place] + bytes([byte]) + ZIP[place + 1 :])
    try:
        extract(SMALL, folder / "ml-100k.zip", folder / "out")
    except KitError as error:
        one_line(error)


LONG = H + "".join(f"{user},{(user + step) % 9 + 1},{step * 50 + user}\n" for user in range(4) for step in range(4))
NINE = "item,title\n" + "".join(f"{i},Title {i}\n" for i in range(1, 10))
LATER = [
    ("one interaction a user", H + "a,1,1\nb,2,1\n", NINE, "no user has 3 interactions or more"),
    (
        "only one item",
        H + "a,1,1\na,1,2\na,1,3\n",
        "item,title\n1,One\n",
        "of 1 items, user 'a' leaves 0 titles as distractors; add items to the catalogue",
    ),
    ("all titles equal", LONG, re.sub("Title .", "Same", NINE), "only 1 differ; give items titles of their own"),
    ("three titles", LONG, re.sub("Title [2-8]", "Same", NINE), "only 3 differ; give items titles of their own"),
    ("only targets", S + "a,1,5,test\n", NINE, "no row marked 'train'"),
    ("nothing validates", S + "a,1,1,train\na,2,5,test\n", NINE, "no row marked 'valid'"),
]


@pytest.mark.parametrize(("text", "catalogue", "part"), [case[1:] for case in LATER], ids=[case[0] for case in LATER])
def test_what_only_shows_later(tmp_path, text, catalogue, part):
    lay(tmp_path, {"interactions.csv": text, "items.csv": catalogue})
    with pytest.raises(KitError) as caught:
        prepare(DataConfig(dataset="custom", data_dir=str(tmp_path), candidates=5), 0)
    assert part in one_line(caught) and "leave this user out" not in one_line(caught)


def test_one_user_is_enough(tmp_path):
    lay(tmp_path, {"interactions.csv": H + "a,1,1\na,2,2\na,3,3\n", "items.csv": NINE})
    data = prepare(DataConfig(dataset="custom", data_dir=str(tmp_path), candidates=5), 0)
    assert data.test_candidates.shape == (1, 5) and data.split.test.target.tolist() == [3]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
@pytest.mark.parametrize(("name", "part"), [("items.csv", "cannot be opened"), (".", "cannot be read")])
def test_what_may_not_be_read(tmp_path, name, part):
    place = lay(tmp_path, {}) / name
    place.chmod(0)
    try:
        with pytest.raises(KitError, match=part) as caught:
            read_custom(tmp_path)
    finally:
        place.chmod(0o700)
    one_line(caught)


@pytest.mark.parametrize("folder", ["~nobody-of-this-name/data", "n" * 5000, "no\0thing"])
def test_names_of_folders_that_cannot_be(folder):
    with pytest.raises(KitError, match="data folder") as caught:
        read_custom(folder)
    one_line(caught)


def test_a_folder_whose_name_has_signs_of_patterns(tmp_path):
    (strange := tmp_path / "it's [1]* a?").mkdir()
    assert len(read_custom(lay(strange, {}))) == 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damage")


def trimmed(value):
    return pd.Series([value], dtype="str").str.strip().item()  # which blanks count is Arrow's to say


def holds(folder):
    """The folder is refused in one line, or read into what agrees with a slow reading of its rows."""
    try:
        read = read_custom(folder)
    except KitError as error:
        one_line(error)
        return None
    frame = as_frame(read)
    users = frame["user"].cat.codes.to_numpy()
    assert len(frame) and frame.notna().all(axis=None)
    assert list(frame["item"].cat.categories) == list(read.titles.index) and read.titles.index.is_unique
    assert set(users) == set(range(len(frame["user"].cat.categories)))
    order = np.lexsort((frame["timestamp"], users))
    assert np.array_equal(order, np.arange(len(frame))) and frame["timestamp"].between(0, 4102444799).all()
    assert read.titles.map(lambda title: 0 < len(title) <= 160 and len(title.splitlines()) == 1).all()
    for name, columns in (("interactions.csv", ("user", "item")), ("items.csv", ("item", "title"))):
        try:
            (_, header), *slow = TextFile(folder / name).rows()
        except KitError as error:  # in a column that is not read
            assert "is not UTF-8" in str(error)
            return None
        places = [[cell.strip() for cell in header].index(column) for column in columns]
        engine = Engine()
        table = TextFile(folder / name).read(engine, {c: c for c in columns}).name
        quick = engine.frame(f"SELECT bare({columns[0]}), bare({columns[1]}) FROM {table}").to_numpy().tolist()
        assert quick == [[trimmed(fields[place]) for place in places] for _, fields in slow]
        if name == "interactions.csv":
            counts = [
                int(notice.split()[0]) for notice in read.notices if re.search("lacks dropped|repeated rows", notice)
            ]
            assert len(frame) + sum(counts) == len(slow)
    return read


BYTES = st.binary(max_size=60) | st.lists(st.sampled_from([*b'a1,"\n\r\t ;\0', 0xE9, 0x1F, 0x8B]), max_size=40).map(
    bytes
)


@given(BYTES, st.booleans())
@example(b'"a"b,1,1\n', True)
@example(b'""b,1,1\n', True)
@example(b'a, "",1\n', True)
@example(b'1,","e,1\n', True)
@example(b"\xef\xbb\xbf", False)
@settings(max_examples=90)
def test_any_bytes_as_interactions(folder, content, below):
    holds(lay(folder, rows(H.encode() + content if below else content)))


@given(BYTES, st.booleans())
@settings(max_examples=60)
def test_any_bytes_as_a_catalogue(folder, content, below):
    holds(lay(folder, items(C.encode() + content if below else content)))


WHOLE_FILE = (
    H[:-1] + ',note\na,1,881250949,"x, y"\na,2,881250950,\nb,3,881250951,"say ""hi"""\nc d,1,5,"two\nlines"\n'
).encode()


@given(st.integers(0, len(WHOLE_FILE) - 1), st.integers(0, 255) | st.sampled_from(b'",\n\r 1'), st.integers(0, 2))
@settings(max_examples=120)
def test_one_byte_changed_removed_or_inserted(folder, place, byte, how):
    middle = [bytes([byte]), b"", bytes([byte]) + WHOLE_FILE[place : place + 1]][how]
    read = holds(lay(folder, rows(WHOLE_FILE[:place] + middle + WHOLE_FILE[place + 1 :])))
    if read is not None:
        assert len(as_frame(read)) + sum("lacks dropped" in notice for notice in read.notices) in (4, 5, 3)


MOMENTS = st.lists(st.integers(0, 10**6), min_size=12, max_size=40, unique=True)


@given(MOMENTS, st.randoms(use_true_random=False), st.sampled_from([1, 1000]))
@settings(max_examples=12)
def test_the_order_of_rows_changes_nothing(folder, moments, random, unit):
    lines = [f"u{n % 3},{moment % 30 + 1},{1600000000 * unit + moment}\n" for n, moment in enumerate(moments)]
    catalogue = ["item,title\n", *(f"{i},Title {i}\n" for i in range(1, 81))]
    lay(folder, {"interactions.csv": H + "".join(lines), "items.csv": "".join(catalogue)})
    config = DataConfig(dataset="custom", data_dir=str(folder), candidates=5)
    one = prepare(config, 0)
    random.shuffle(lines)
    head, *rest = catalogue
    random.shuffle(rest)
    lay(folder, {"interactions.csv": H + "".join(lines), "items.csv": head + "".join(rest)})
    other = prepare(config, 0)
    assert one.split.train == other.split.train and one.split.user_keys == other.split.user_keys
    assert one.split.titles == other.split.titles and one.split.item_keys == other.split.item_keys
    for part in ("valid", "test"):
        mine, theirs = getattr(one.split, part), getattr(other.split, part)
        assert mine.history == theirs.history and np.array_equal(mine.target, theirs.target)
    assert np.array_equal(one.valid_candidates, other.valid_candidates)
    assert np.array_equal(one.test_candidates, other.test_candidates)
    assert (one.statistics, one.notices) == (other.statistics, other.notices)
    assert one.timeline.equals(other.timeline)
