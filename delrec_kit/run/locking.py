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
WAIT = 15.0  # seconds for a kernel to end whose parent was killed


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process. Raises KitError, naming the process that holds it, if another does.

    The operating system drops the lock of a process that ends, however it ends, so that no lock is ever stale. Taking
    it again in the same process does nothing. A kernel started by the process that holds it takes a lock of its own,
    which outlives a parent that was killed: whoever comes next waits for it.
    """
    if folder in _held:
        yield
        return
    child = os.environ.get(HELD) == str(folder)
    lock, kernel = FileLock(folder / ".lock"), FileLock(folder / ".lock.kernel")
    try:
        if child:
            kernel.acquire(timeout=WAIT)
        else:
            lock.acquire(timeout=0)
            _wait_for(kernel, lock)
    except Timeout:
        raise KitError(f"{folder} is in use by {_owner(folder)}; wait for it to end or name another folder") from None
    except NotImplementedError:  # a file system without locks
        yield
        return
    except OSError as error:
        raise KitError(f"nothing can be written in {folder}: {error.strerror}; name another folder") from None
    _held.add(folder)
    if child:
        try:
            yield
        finally:
            _held.discard(folder)
            kernel.release()
        return
    owner = folder / ".lock.json"
    try:
        me = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        owner.write_text(json.dumps(me), encoding="utf-8")
        yield
    finally:
        _held.discard(folder)
        owner.unlink(missing_ok=True)
        lock.release()


def _wait_for(kernel: FileLock, lock: FileLock) -> None:
    """Until no kernel of a killed process writes any more. Raises Timeout, ``lock`` released, where one stays."""
    try:
        with kernel.acquire(timeout=WAIT):
            pass
    except Timeout:
        lock.release()
        raise


def _owner(folder: Path) -> str:
    try:
        owner = json.loads((folder / ".lock.json").read_text(encoding="utf-8"))
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
    except (OSError, ValueError, KeyError):
        return "another process"
