"""What a notebook prints, as it is shown while it runs."""

import re
from typing import TextIO


class Indented:
    """Passes a notebook's text on, each line set in under its notebook's name."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.fresh = True

    def write(self, text: str) -> None:
        for line in plain(text).replace("\r", "\n").splitlines(keepends=True):
            if line.strip() or not self.fresh:
                self.out.write(f"    {line}" if self.fresh else line)
                self.fresh = line.endswith("\n")

    def flush(self) -> None:
        self.out.flush()

    def end(self) -> None:
        if not self.fresh:
            self.write("\n")
        self.out.flush()


def plain(text: str) -> str:
    """Without the signs that colour it on a terminal."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
