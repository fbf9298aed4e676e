"""JSON files of a run, and the checksums by which a damaged file of a stage is found."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from delrec_kit.run.inputs import digest

DONE = "done.json"  # of a stage: what it was made with and from, and the checksums of all that it wrote
READ = {".json", ".csv", ".parquet", ".safetensors", ".bin"}  # what the kit reads of a stage: a stray one may be taken


@dataclass(frozen=True)
class Damage:
    """file: below the stage's folder; what: is wrong with it, to be read after its name."""

    file: str
    what: str


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def read_record(path: Path) -> dict:
    """A JSON table, nothing where it is missing, damaged or no table."""
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: object, lasting: bool = True) -> None:
    """Whole or not at all: a reader never sees half a file."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8"), lasting)


def write_whole(path: Path, write: Callable[[Path], object], lasting: bool = True) -> None:
    """``write(draft)``, which then becomes ``path`` in one step. lasting: whether that must outlive a loss of power."""
    draft = path.with_name(f".{path.name.removeprefix('.')}.draft")
    try:
        write(draft)
        if lasting:
            to_disk(draft)
        os.replace(draft, path)
        if lasting:
            to_disk(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def to_disk(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk now. Not every system does so for folders."""
    try:
        descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        if not path.is_dir():
            raise


def write_marker(folder: Path, content: dict) -> None:
    """Write ``done.json`` with size and SHA-256 of every file below ``folder``, and a checksum of its own."""
    files = {name: {"bytes": path.stat().st_size, "sha256": digest(path)} for name, path in _files(folder).items()}
    content = {**content, "files": files}
    write_json(folder / DONE, {**content, "checksum": _checksum(content)})


def read_marker(folder: Path) -> dict | Damage:
    """What ``done.json`` says, or what is wrong with it. One of an older kit has neither ``files`` nor ``checksum``."""
    try:
        content = read_json(folder / DONE)
    except FileNotFoundError:
        return Damage(DONE, "is missing")
    except (OSError, ValueError):
        return Damage(DONE, "is empty, cut off or no JSON")
    if not isinstance(content, dict) or ("files" in content) != ("checksum" in content):
        return Damage(DONE, "is no record of a finished stage")
    if not all(isinstance(content.get(name, {}), dict) for name in ("settings", "inputs", "before")):
        return Damage(DONE, "is no record of a finished stage")
    checksum = content.pop("checksum", None)
    if checksum is not None and checksum != _checksum(content):
        return Damage(DONE, "has been changed: it does not agree with its own checksum")
    return content


def damages(folder: Path) -> list[Damage]:
    """What is wrong with the files of a finished stage: with its ``done.json`` alone, or with all others. Files of a
    stage without checksums cannot be judged. Content is read once a process while a file stays as it is."""
    marker = read_marker(folder)
    if isinstance(marker, Damage):
        return [marker]
    if "files" not in marker:
        return []
    there, found = _files(folder), []
    for name, recorded in marker["files"].items():
        what = _wrong(there.get(name), recorded)
        if what is not None:
            found.append(Damage(name, what))
    strange = [name for name, path in there.items() if name not in marker["files"] and path.suffix in READ]
    return found + [Damage(name, "was not written by this stage") for name in strange]


def is_undamaged(folder: Path) -> bool:
    """Whether all files in ``folder`` are as they were written; without checksums that is believed."""
    return not (folder / DONE).exists() or not damages(folder)


def _wrong(path: Path | None, recorded: dict) -> str | None:
    if path is None:
        return "is missing"
    try:
        size = path.stat().st_size
        if size != recorded["bytes"]:
            return "is empty" if not size else f"has {size} bytes, {recorded['bytes']} were written"
        return None if digest(path) == recorded["sha256"] else "has other content than was written (SHA-256)"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _files(folder: Path) -> dict[str, Path]:
    """Every file below ``folder`` by its name from there, ``done.json`` and hidden files apart."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name: p for name, p in found.items() if name != DONE and not any(part[0] == "." for part in name.split("/"))
    }


def _checksum(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
