"""Interactions of the caller's own as a run directory, in which everything later is made."""

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from delrec_kit.data import PreparedData
from delrec_kit.run.directory import RunDirectory
from delrec_kit.run.files import Damage, read_marker
from delrec_kit.run.inputs import digest, settled, sha256
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve
from delrec_kit.study.people import whole_ids
from delrec_kit.study.stages import prepare_stage

FRAMES = "frames"  # in the run directory: what the caller brought, as Parquet
NAMES = ("interactions", "items")
FILES = {f"{name}.parquet" for name in NAMES}
PROFILE = "demo"
TINY = (
    "NOTE: this run takes the tiny T5 that ships. It is for trying the kit out, and cannot read real titles;\n"
    '      for these take from_frame(..., profile="minilm"), which needs no GPU, or profile="gemma".'
)


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Interactions that are validated, split and ready for training, in the run directory ``run``."""

    run: RunDirectory
    _temporary: tempfile.TemporaryDirectory | None = field(default=None)  # lives as long as somebody uses the data

    @classmethod
    def from_frame(
        cls,
        interactions: pd.DataFrame,
        items: pd.DataFrame,
        profile: str = PROFILE,
        settings: Mapping[str, Any] | Sequence[str] | None = None,
        run_dir: str | Path | None = None,
    ) -> "Dataset":
        """The data of a run of one's own.

        Args:
            interactions: a row a choice: user, item, and timestamp (a number of seconds, or a date); without it, rows
                stand oldest first. Ids are whole numbers or text. More columns as in docs/data.md.
            items: a row an item: item, title.
            profile: a name in profiles/, or a YAML file. The demo's language model, the tiny T5, cannot read real
                titles: take "minilm" or "gemma" for these.
            settings: over the profile, {"distill.k": 20} or ["distill.k=20"]; all in docs/settings.md.
                None: those of the profile.
            run_dir: where all is kept; by default a folder that goes when nothing refers to the data any more.

        Raises:
            KitError: for an unknown profile or setting, for whatever is wrong with the frames, and where ``run_dir``
                holds a run of other data or settings, or cannot be made.
        """
        temporary = tempfile.TemporaryDirectory(prefix="delrec_kit-") if run_dir is None else None
        folder = Path(temporary.name if temporary else run_dir).expanduser().resolve()
        pairs = settings.items() if isinstance(settings, Mapping) else None
        overrides = (
            list(settings or ()) if pairs is None else [f"{key}={json.dumps(_plain(value))}" for key, value in pairs]
        )
        frames = folder / FRAMES
        overrides += ["data.dataset=custom", f"data.data_dir={json.dumps(str(frames))}"]
        resolve(profile, overrides)  # what is wrong with the settings is said before anything is written
        _keep(folder, {"interactions": interactions, "items": items})
        config, _ = settled(profile, overrides)
        if config.llm.name != "tiny":  # before a teacher is trained for nothing
            from delrec_kit.llm import check_reachable

            check_reachable(config.llm)
        else:
            print(TINY, flush=True)
        try:
            dataset = cls(RunDirectory.create(folder, config), temporary)
            prepare_stage(dataset.run)
        except KitError as error:  # in the words of whoever brought frames, not files or flags
            said = str(error)
            for name in NAMES:
                said = said.replace(str(frames / f"{name}.parquet"), name)
            said = re.sub(r"--redo \w+ to replace (.+) there", r"delete \1 there to have them made anew", said)
            raise KitError(said.replace("--run-dir", "run_dir=")) from None
        return dataset

    @classmethod
    def open(cls, run_dir: str | Path) -> "Dataset":
        """The data of a run that is there, whoever made it. Raises KitError where there is none."""
        dataset = cls(RunDirectory.open(run_dir))
        dataset.check_frames()
        dataset.run.require("data")
        return dataset

    @property
    def prepared(self) -> PreparedData:
        """Split, candidate sets and statistics."""
        return PreparedData.load(self.run.require("data"))

    @property
    def notices(self) -> list[str]:
        """What was cleaned or left out, counted."""
        return self.prepared.notices

    def __repr__(self) -> str:
        split = self.prepared.split
        return f"Dataset({len(split.user_keys)} users, {split.n_items} items, in {self.run.path})"

    def check_frames(self) -> None:
        """Raise KitError where the frames that were brought are not there as they were kept."""
        for name, recorded in _brought(self.run).items():
            file = self.run.path / FRAMES / name
            if not file.is_file() or digest(file) != recorded:
                what = "is damaged" if file.is_file() else "is missing"
                raise KitError(
                    f"{file} {what}; call Dataset.from_frame again with the same frames and settings, and "
                    f"run_dir={str(self.run.path)!r}: what is done is kept"
                )

    def as_given(self, keys: Sequence[str] | pd.Series, column: str) -> pd.Series | np.ndarray:
        """Ids of the ``column`` user or item as the caller wrote them: whole numbers, or text. Raises KitError as
        ``check_frames`` does."""
        self.check_frames()
        file = self.run.path / FRAMES / "interactions.parquet"
        whole = file.is_file() and pa.types.is_integer(pq.read_schema(file).field(column).type)
        return pd.Series(keys).astype(np.int64) if whole else pd.Series(keys)


def check_given(given: Any, kind: type, call: str) -> None:
    """Raise KitError where ``given`` is no ``kind``; call: how the function is called rightly."""
    if not isinstance(given, kind):
        raise KitError(f"needs a {kind.__name__}, not {type(given).__name__}: {call}")


def _plain(value: Any) -> Any:
    """A number of numpy's as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


def _check_ids(table: pa.Table, name: str) -> None:
    """Raises KitError for ids that are no whole numbers and no text: as text, two of them could become one."""
    for column in {"user", "item"} & set(table.column_names):
        kind = table.schema.field(column).type
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_integer(plain) or pa.types.is_string(plain) or pa.types.is_large_string(plain)):
            raise KitError(f"{name}: the column {column} holds {kind}; ids are whole numbers or text")


def _as_table(frame: pd.DataFrame, name: str) -> pa.Table:
    if not isinstance(frame, pd.DataFrame):
        raise KitError(f"{name} must be a pandas DataFrame, not {type(frame).__name__}")
    try:
        table = pa.Table.from_pandas(whole_ids(frame, name), preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise KitError(f"{name}: a column mixes types ({str(error).splitlines()[0][:200]})") from None
    _check_ids(table, name)
    return table


def _brought(run: RunDirectory) -> dict[str, str]:
    """Name -> SHA-256 of the frames' files that the data of a run was made of; nothing where it was made of others."""
    given, marker = Path(run.config.data.data_dir or ""), read_marker(run.folder("data"))
    of_a_run = not given.is_dir() or (given.parent / "config.json").is_file()  # gone, moved, or that of a copied run
    if given.name != FRAMES or not of_a_run or isinstance(marker, Damage):
        return {}
    return {name: found for name, found in marker.get("inputs", {}).items() if name in FILES}


def _keep(folder: Path, frames: Mapping[str, pd.DataFrame]) -> None:
    """Write the frames into the run directory. Raises KitError where others lie there, they are no tables, or the
    folder cannot be made. A file that is missing or damaged is put back where its run was made of the same."""
    to = folder / FRAMES
    there = (folder / "config.json").is_file()
    brought = _brought(RunDirectory.open(folder)) if there and (folder / "data").is_dir() else {}
    if there and not to.is_dir() and not brought:
        raise KitError(f"{folder} holds a run that was made of no frames; name another run_dir")
    tables = {name: _as_table(frame, name) for name, frame in frames.items()}
    whole = {pa.types.is_integer(t.schema.field("item").type) for t in tables.values() if "item" in t.column_names}
    if len(whole) > 1:
        print("item ids are numbers in one frame and text in the other: 1 and '1' are taken as the same")
    try:
        to.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            file, draft = to / f"{name}.parquet", to / f".{name}.draft"
            try:
                pq.write_table(table, draft)
                as_made = sha256(draft) == brought.get(file.name)
                if not (as_made or _same(file, draft)) and (folder / "data").is_dir():
                    raise KitError(f"{folder} holds a run of other {name}; name another run_dir, or delete that folder")
                if as_made or not _same(file, draft):
                    os.replace(draft, file)
            finally:
                draft.unlink(missing_ok=True)
    except OSError as error:
        raise KitError(
            f"cannot write in the run directory {folder}: {error.strerror or error}; name another run_dir"
        ) from None


def _same(file: Path, draft: Path) -> bool:
    """Whether both hold the same table; a file that is missing or damaged holds none."""
    try:
        return pq.read_table(file).equals(pq.read_table(draft))
    except (OSError, pa.ArrowException):
        return False
