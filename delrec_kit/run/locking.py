"""One writer at a time in a run directory."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from delrec_kit.settings.errors import KitError

HELD = "DELREC_KIT_LOCKED"  # environment variable: the folder that the parent process holds for this one
_held: set[Path] = set()


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process. Raises KitError, naming the process that holds it, if another does.

    The operating system drops the lock of a process that ends, however it ends, so that no lock is ever stale. Taking
    it again in the same process, or in a kernel started by the process that holds it, does nothing.
    """
    if folder in _held or os.environ.get(HELD) == str(folder):
        yield
        return
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise KitError(f"{folder} is in use by {_owner(folder)}; wait for it to end or name another folder") from None
    except NotImplementedError:  # a file system without locks
        yield
        return
    owner = folder / ".lock.json"
    _held.add(folder)
    try:
        me = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        owner.write_text(json.dumps(me), encoding="utf-8")
        yield
    finally:
        _held.discard(folder)
        owner.unlink(missing_ok=True)
        lock.release()


def _owner(folder: Path) -> str:
    try:
        owner = json.loads((folder / ".lock.json").read_text(encoding="utf-8"))
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
    except (OSError, ValueError, KeyError):
        return "another process"
