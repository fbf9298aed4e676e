"""Signs of life of a stage while it is made: how far it is, for another terminal, and for who comes after a death."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from delrec_kit.run.files import write_json

FILE = ".working.json"
SECONDS = 2.0  # between two signs, at least
TRAINING, NOW = "training", "now"  # a training's steps; and what is being counted, inside a training too


class _Stage:
    """The stage that this process makes, if any."""

    def __init__(self) -> None:
        self.file: Path | None = None
        self.content: dict[str, Any] = {}
        self.last = 0.0
        self.begun: dict[str, tuple[str, int, float]] = {}

    def write(self) -> None:
        self.last = time.monotonic()
        with suppress(OSError):  # a full disk stops what must be written, and not this
            write_json(self.file, {**self.content, "at": time.time()}, lasting=False)


_stage = _Stage()


@contextmanager
def signs_of_life(run: Path, stage: str) -> Iterator[None]:
    """While the block runs, ``beat`` writes into ``run``. The file goes when the block ends well; after an error it
    says which."""
    before = vars(_stage).copy()
    _stage.file, _stage.begun, since = run / FILE, {}, time.time()
    _stage.content = {"stage": stage, "pid": os.getpid(), "host": socket.gethostname(), "since": since}
    _stage.write()
    try:
        yield
    except BaseException as error:
        _stage.content["ended"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(": ")
        _stage.write()
        raise
    else:
        _stage.file.unlink(missing_ok=True)
    finally:
        vars(_stage).update(before)


def beat(kind: str, what: str, done: int, total: int | None, note: str = "") -> None:
    """Say that ``done`` of ``total`` steps of ``what`` are done; note: the last metrics. Written every two seconds."""
    if _stage.file is None:
        return
    now = time.monotonic()
    if _stage.begun.get(kind, ("",))[0] != what:
        _stage.begun[kind] = what, done, now  # after a resume not from 0: what went before says nothing of the rate
    _, first, started = _stage.begun[kind]
    rate = (done - first) / (now - started) if done > first and now > started else None
    _stage.content[kind] = {"what": what, "done": done, "total": total, "rate": rate, "note": note}
    if now - _stage.last >= SECONDS or done == total:
        _stage.write()
