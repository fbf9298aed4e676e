"""Finding the raw files, and saying what is there when they are not."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from delrec_kit.run.inputs import matching
from delrec_kit.settings.errors import KitError


def find_folder(data_dir: str | Path) -> Path:
    """``data_dir`` as a folder that exists; else a KitError that names the nearest folder beside it."""
    if "\0" in str(data_dir):
        raise KitError(f"data folder {str(data_dir)!r} cannot be: the name holds a NUL byte")
    try:
        folder = Path(data_dir).expanduser()
        if folder.is_file():
            raise KitError(f"data folder {folder} is a file; give the folder that holds it")
        there = folder.is_dir()
        if there:
            next(folder.iterdir(), None)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise KitError(f"data folder {str(data_dir)[:200]} cannot be read: {reason}") from error
    if not there:
        raise KitError(f"no data folder {folder}{_nearest_in(folder.parent, folder.name, folders=True)}")
    return folder


def find_file(folder: Path, names: Sequence[str]) -> Path:
    """The first of ``names`` that lies in ``folder``; else a KitError that names the nearest file there."""
    if found := [folder / name for name in names if (folder / name).is_file()]:
        return found[0]
    for name in names:
        if (folder / name).is_symlink():
            raise KitError(f"{folder / name} is a link that leads to no file; put the file itself there")
        if (folder / name).exists() and not (folder / name / name).exists():
            raise KitError(f"{folder / name} is a folder or a device, not a file; put the file itself there")
    for below in sorted(p for p in folder.iterdir() if p.is_dir()):
        if any((below / name).is_file() for name in names):
            raise KitError(f"{folder} has no file {names[0]}, but its folder {below.name} has; give {below} instead")
    raise KitError(f"{folder} has no file {' or '.join(names)}{_nearest_in(folder, names[0])}")


def find_one(folder: Path, patterns: Sequence[str], what: str) -> Path:
    """The one file of ``what``, such as "reviews", that matches one of ``patterns``; else a KitError that says what is
    there."""
    found = matching(folder, patterns)
    if len(found) > 1:
        raise KitError(f"{folder} holds several files of {what}: {', '.join(p.name for p in found)}; keep one of them")
    if found:
        return found[0]
    for below in sorted(p for p in folder.iterdir() if p.is_dir()):
        if there := matching(below, patterns):
            raise KitError(f"{folder} has no {what}, but its folder {below.name} has {there[0].name}; give {below}")
    some = f"{' or '.join(patterns[:4])}{' or …' if len(patterns) > 4 else ''}"
    raise KitError(f"{folder} has no {what}, a file {some}{_nearest_in(folder, patterns[0])}")


def _nearest_in(folder: Path, name: str, folders: bool = False) -> str:
    if not folder.is_dir():
        return f"; nor is there {folder}"
    there = sorted(p.name for p in folder.iterdir() if p.is_dir() == folders and not p.name.startswith("."))
    if not there:
        return "" if folders else "; it holds no files"
    close = get_close_matches(name, there, n=1, cutoff=0.5)
    if close:
        return f"; the nearest there is '{close[0]}'"
    return f"; it holds {', '.join(there[:5])}{' …' if len(there) > 5 else ''}"
