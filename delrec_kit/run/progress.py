"""Progress that can be read everywhere: a bar where someone watches, plain lines where a log is kept."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from tqdm import tqdm

from delrec_kit.run.heartbeat import NOW, beat

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 5.0  # before the first; then twice as many each time, so that a log stays short
LONGEST_PAUSE = 60.0
SECONDS_BEFORE_A_BAR = 2.0  # what is quicker shows none
_reached = ""  # what the last loop was at


def reached(where: str | None = None) -> str:
    """Keep how far the work is, such as "stage 1, step 90 of 150", which an interrupt tells; without a word, what was
    kept last."""
    global _reached
    if where is not None:
        _reached = where
    return _reached


def watched() -> bool:
    """Whether a bar would be seen: a terminal, or a notebook opened in a front-end.

    A kernel that papermill starts has no front-end, and bars in its output never move (papermill#617); a Jupyter
    server tells its kernels their notebook's name. ``DELREC_KIT_PROGRESS=lines`` or ``=bar`` decides by hand.
    """
    choice = os.environ.get("DELREC_KIT_PROGRESS")
    if choice in ("bar", "lines"):
        return choice == "bar"
    if "ipykernel" in sys.modules:
        return "JPY_SESSION_NAME" in os.environ or "google.colab" in sys.modules
    return sys.stderr.isatty()


class progress(Generic[Item]):
    """Iterate over ``iterable`` and report as ``what``: ``for x in progress(xs, "scoring"): …``.

    ``total`` is the number of steps where ``len(iterable)`` is unknown. ``note(text)`` shows a word on the present
    state (a loss, a metric) in the bar or in the next line. The first line comes after five seconds, the next
    after ten, and so on up to a minute, and a last one only if one came before, so that quick loops stay silent.
    """

    def __init__(self, iterable: Iterable[Item], what: str, total: int | None = None) -> None:
        self.iterable = iterable
        self.what = what
        self.total = len(iterable) if total is None and hasattr(iterable, "__len__") else total
        self._note = ""
        self._bar: tqdm | None = None

    def note(self, text: str) -> None:
        self._note = text
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)

    def __iter__(self) -> Iterator[Item]:
        of = f" of {self.total}" if self.total else ""
        for done, item in enumerate(self._with_bar() if watched() else self._with_lines(), 1):
            reached(f"{self.what}, {done}{of}")
            yield item

    def _with_bar(self) -> Iterator[Item]:
        looks = {"mininterval": 0.5, "delay": SECONDS_BEFORE_A_BAR, "file": sys.stderr}
        with tqdm(self.iterable, desc=self.what, total=self.total, **looks) as self._bar:
            for done, item in enumerate(self._bar, start=1):
                yield item
                beat(NOW, self.what, done, self.total, self._note)
        self._bar = None

    def _with_lines(self) -> Iterator[Item]:
        started = last = time.monotonic()
        done, lines, pause = 0, 0, SECONDS_BETWEEN_LINES
        for item in self.iterable:
            yield item
            done += 1
            beat(NOW, self.what, done, self.total, self._note)
            now = time.monotonic()
            if now - last >= pause and done != self.total:
                self._line(done, now - started)
                last, lines, pause = now, lines + 1, min(2 * pause, LONGEST_PAUSE)
        if lines and time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            self._line(done, time.monotonic() - started, ended=True)

    def _line(self, done: int, seconds: float, ended: bool = False) -> None:
        share = f"{done}/{self.total}" if self.total else f"{done}"
        left = f", {seconds / done * (self.total - done):.0f} s left" if self.total and not ended else ""
        note = f"; {self._note}" if self._note else ""
        print(f"{self.what}: {share} in {seconds:.0f} s{left}{note}", flush=True)
