"""What a publisher or a user calls the columns, and what ``data.columns`` says instead."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from delrec_kit.data.engine import Engine
from delrec_kit.data.tables import DataFile, Table
from delrec_kit.run.inputs import find_file, matching
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError, nearest

SPELLED = {"tab": "\t", "\\t": "\t", "blank": " ", "comma": ","}  # separators that a shell hardly lets through
MOMENTS = ("time", "date", "when", "stamp")


def check_columns(config: DataConfig, known: Iterable[str]) -> None:
    """Raises KitError for a name in ``data.columns`` that this dataset's files have no column for."""
    for name in config.columns:
        if name not in (known := list(known)):
            raise KitError(f"data.columns: no column '{name}' in the files of {config.dataset}{nearest(name, known)}")


def separator(config: DataConfig, usual: str) -> str:
    """What ``data.columns`` says separates columns, or the usual. Raises KitError for what cannot."""
    said = config.columns.get("separator", usual)
    sign = SPELLED.get(said, said)
    if not 1 <= len(sign.encode()) <= 4 or set(sign) & set('"\r\n\0'):
        raise KitError(f"data.columns: {said!r} cannot be a separator; take one to four signs, no quotation mark")
    return sign


def files_of_split(folder: Path, patterns: Iterable[str]) -> dict[str, Path]:
    """The file of each part of a split that comes as several, validation or not; none unless it trains and tests.
    patterns: each with its part, as ``*.train.csv``. Raises KitError where a part has two files."""
    names = {part: [name for name in patterns if f".{part}." in name] for part in ("train", "valid", "test")}
    there = [part for part in names if matching(folder, names[part])]
    return {part: find_file(folder, names[part], f"{part} rows") for part in there if {"train", "test"} <= {*there}}


def passed_over(folder: Path, patterns: Iterable[str], read: Sequence[Path]) -> list[str]:
    """The notice that files beside those that are ``read`` could have been meant."""
    others = ", ".join(path.name for path in matching(folder, patterns) if path not in read)
    return [f"not read: {others}, for {', '.join(path.name for path in read)} goes before"] if others else []


def read_named(
    file: DataFile,
    engine: Engine,
    config: DataConfig,
    names: Mapping[str, Sequence[str]],
    optional: Collection[str] = (),
) -> Table:
    """The columns under the kit's own names.

    names: each with what files usually call it, the first that is there counts; what ``data.columns`` says goes before,
    and alone but for the items of a catalogue. ``optional`` ones may be missing unless ``data.columns`` names them, and
    so may times where no column looks like them.
    """
    header, spelled, own = list(file.header()), {}, config.columns
    for name, usual in names.items():
        if name in own:
            usual = (own[name], *(usual if name == "item" and "title" in names else ()))
        spelled[name] = next((theirs for theirs in usual if theirs in header), usual[0])
        if name in optional and spelled[name] not in header:  # whoever writes "Label" means it
            folded = (column for column in header if column.casefold() == spelled[name].casefold())
            spelled[name] = next(folded, spelled[name])
    lacking = {name for name in optional if name not in own or own[name] in header}
    if "timestamp" not in own and not any(word in column.lower() for column in header for word in MOMENTS):
        lacking.add("timestamp")
    return file.read(engine, spelled, lacking)
