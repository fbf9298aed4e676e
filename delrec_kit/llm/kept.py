"""Folders that are made once and kept in the user's cache, and made again where they were spoilt since."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pooch

from delrec_kit.run.inputs import sha256, version
from delrec_kit.run.locking import taken

RECORD = "kept.json"  # file name -> size, time of its last change (ns), SHA-256


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The folder ``name`` of the cache, which ``make(draft)`` fills if it is not there, or not whole. It appears whole
    or not at all, and is made once however many processes ask."""
    folder = Path(pooch.os_cache("delrec_kit")) / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if folder.exists() and not is_whole(folder):
            print(f"{folder} is damaged, or an older version made it: it is made again", flush=True)
            shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
        if not folder.exists():
            draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{name}-draft-"))
            try:
                make(draft)
                _record(draft)
                draft.rename(folder)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return folder


def is_whole(folder: Path) -> bool:
    """Whether every file is as it was made. One with the size and time of change on record is not read."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return all(_is_same(folder / name, *known) for name, known in record.items())
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def _record(folder: Path) -> None:
    found = {path.name: [*version(path), sha256(path)] for path in sorted(folder.iterdir())}
    (folder / RECORD).write_text(json.dumps(found, indent=1), encoding="utf-8")


def _is_same(path: Path, size: int, changed: int, digest: str) -> bool:
    now = version(path)
    return now == (size, changed) or (now[0] == size and sha256(path) == digest)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time."""
    lock = taken(folder.with_name(f"{folder.name}.lock"), -1)
    try:
        yield
    finally:
        lock.release()
