"""Signs that the quotation marks or the separator of a file are not what they seem."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import IO

import numpy as np

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "'|'"}
LINE_END = re.compile(r"\r\n|\r|\n")
MOMENT = re.compile(r"\s*\d[-+\d.:eTZ\s]*")  # a number or an ISO date
BLANK_QUOTE = re.compile(r'\s+"')


@dataclass(frozen=True)
class Survey:
    """What the bytes of a file hold: line ends, whether its quotes need a look row by row, whether ``0x`` occurs."""

    lines: int
    doubtful: bool
    hexadecimal: bool


def survey(raw: IO[bytes], delimiter: str) -> Survey:
    """One quick pass. It may count a line end too many and doubt quotes that are sound, never the other way round.

    In a sound file quotes take turns: each first of two stands at a value's beginning, each second at its end, but for
    doubled ones, which touch.
    """
    edge = np.zeros(256, dtype=bool)
    edge[list(f'{delimiter}\r\n"'.encode())] = True
    lines, quotes, doubtful, hexadecimal, held = 0, 0, False, False, b"\n"
    for chunk in chain(iter(lambda: raw.read(2**20), b""), [b"\n"]):
        lines += chunk.count(b"\n") + chunk.count(b"\r") - chunk.count(b"\r\n")
        both = held + chunk  # all but the last byte are looked at, with their neighbours
        hexadecimal = hexadecimal or b"0x" in both or b"0X" in both
        if b'"' in both:
            codes = np.frombuffer(both, dtype=np.uint8)
            places = np.flatnonzero(codes[1:-1] == ord('"')) + 1
            opens = (np.arange(len(places)) + quotes) % 2 == 0
            neighbours = codes[places + np.where(opens, -1, 1)]
            doubtful = doubtful or not edge[neighbours].all()
            quotes += len(places)
        held = both[-2:]
    return Survey(lines - 1, doubtful or quotes % 2 == 1, hexadecimal)


def holds_rows(value: str, column: int, width: int, delimiter: str, moment: int | None) -> bool:
    """Whether the value of a ``column`` (of ``width``) is what a quotation mark left open makes of several rows.

    ``moment``: the column of numbers or dates, where there is one. It tells rows from text of many lines.
    """
    lines = [line.split(delimiter) for line in LINE_END.split(value)]
    if len(lines) == 1 or width == 1:
        return False

    def fits(fields: list[str], first: int, length: int) -> bool:
        place = -1 if moment in (None, column) else moment - first
        return len(fields) == length and (not 0 <= place < length or MOMENT.fullmatch(fields[place]) is not None)

    around = fits(lines[0], column, width - column) and fits(lines[-1], 0, column + 1)
    return around or any(fits(fields, 0, width) for fields in lines[1:-1])


def separator_hint(fields: Sequence[str], delimiter: str, width: int) -> str:
    """A hint where a line that should have ``width`` columns has them with another separator."""
    line = delimiter.join(fields)
    other = max(SEPARATORS, key=line.count)
    if other != delimiter and line.count(other) >= max(width - 1, 1) > line.count(delimiter):
        ours = SEPARATORS.get(delimiter, repr(delimiter))
        return f"; it looks separated by {SEPARATORS[other]}, but {ours} are expected"
    return ""
