"""One writer at a time in a run directory."""

import errno
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from delrec_kit.run.files import read_record
from delrec_kit.settings.errors import KitError

HELD = "DELREC_KIT_LOCKED"  # environment variable: the folder that the parent process holds for this one
_held: set[Path] = set()
_told: set[Path] = set()
WAIT = 15.0  # seconds for a kernel to end whose parent was killed
PATIENCE = 1.0  # seconds in which a file that a killed process left is seen to be one
LOCKLESS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


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
    child, lock = os.environ.get(HELD) == str(folder), None
    try:
        if child:
            lock = taken(folder / ".lock.kernel", WAIT)
        else:
            lock = taken(folder / ".lock", 0)
            taken(folder / ".lock.kernel", WAIT).release()  # of a killed process, which may still write
    except Timeout:
        if lock is not None:
            lock.release()
        raise KitError(f"{folder} is in use by {_owner(folder)}; wait for it to end or name another folder") from None
    except OSError as error:
        raise KitError(f"nothing can be written in {folder}: {error.strerror}; name another folder") from None
    _held.add(folder)
    owner = folder / ".lock.json"
    try:
        if not child:
            me = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
            owner.write_text(json.dumps(me), encoding="utf-8")
        yield
    finally:
        _held.discard(folder)
        if not child:
            owner.unlink(missing_ok=True)
        lock.release()


def taken(path: Path, timeout: float) -> BaseFileLock:
    """The lock ``path``, held. Where a file system knows no locks, a file stands for it while it is held, which is
    told; one that a killed process of this machine left behind does not count. Raises Timeout after ``timeout``
    seconds; -1 waits for ever."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout)
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in LOCKLESS:
            raise
        soft = path.with_name(f"{path.name}.soft")
        if path not in _told:
            _told.add(path)
            says = f"{path.parent} cannot be locked; while a process writes there, {soft.name} says so"
            print(f"{says}: delete it if it stays behind from another machine", file=sys.stderr)
        lock = SoftFileLock(soft)
        lock.acquire(timeout if timeout < 0 else max(timeout, PATIENCE))
    return lock


def _owner(folder: Path) -> str:
    owner = read_record(folder / ".lock.json")
    known = {"pid", "host", "since"} <= owner.keys()
    return f"process {owner['pid']} on {owner['host']} since {owner['since']}" if known else "another process"
