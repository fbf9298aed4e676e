"""The run directory: all that travels between notebooks.

``runs/<name>/`` holds ``config.json`` and one folder a numbered notebook. A stage is written to a temporary folder
and renamed when whole; ``done.json`` carries a fingerprint of the settings and files it depends on, so that a changed
setting or a changed raw file makes it (and what follows from it) stale.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from delrec_kit.run.inputs import digest_of, digests, reads_files
from delrec_kit.run.locking import only_writer
from delrec_kit.settings.config import KitConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import validated

STAGES = {  # number of the notebook -> what it makes
    "01": "data", "02": "teacher", "03": "prompt", "04": "adapter", "05a": "evaluation", "05b": "interpretation",
}  # fmt: skip
DEPENDS = {  # settings that a stage reads, beyond those of the stages before it
    "data": ("seed", "data"),
    "teacher": ("teacher",),
    "prompt": ("llm", "train", "distill"),
    "adapter": ("finetune",),
    "evaluation": ("evaluation",),
    "interpretation": (),
}

DIFFERENCES = 4  # settings that an error names


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, content: object) -> None:
    """Whole or not at all: a reader never sees half a file."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)


@dataclass(frozen=True)
class RunDirectory:
    path: Path
    config: KitConfig

    @classmethod
    def create(cls, path: str | Path, config: KitConfig) -> "RunDirectory":
        """Make ``path`` (or take up what lies there) with ``config`` as its settings.

        A run whose later stages are not done may get other settings for these. Raises KitError where a finished stage
        would become stale, naming the settings that differ; if the folder cannot be made; or if another process is
        writing in it with other settings.
        """
        path = Path(path).expanduser().resolve()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise KitError(f"cannot make the run directory {path}: {error.strerror}; name another folder") from None
        run = cls(path, config)
        stored = _stored(path)
        if stored is None and (path / "config.json").exists() and any(run._marker(stage) for stage in DEPENDS):
            raise KitError(
                f"{path / 'config.json'} is damaged, and stages of that run are finished; put it back, or name another "
                "--run-dir"
            )
        if stored != config.model_dump(mode="json"):
            stale = [stage for stage in DEPENDS if run._marker(stage) and not run.is_done(stage)]
            if stored is not None and stale:
                raise KitError(
                    f"{path} was made with other settings: {_differing(stored, config)}; name another --run-dir, or "
                    f"delete {', '.join(f'{stage}/' for stage in stale)} there to make them anew"
                )
            with run.locked():
                write_json(path / "config.json", config.model_dump(mode="json"))
        return run

    @classmethod
    def open(cls, path: str | Path) -> "RunDirectory":
        """An existing run. Raises KitError where there is none."""
        path = Path(path).expanduser().resolve()
        if not (path / "config.json").is_file():
            raise KitError(f"no run in {path}: config.json is missing; make one with 'python -m delrec_kit run'")
        stored = _stored(path)
        if stored is None:
            raise KitError(f"{path / 'config.json'} is not JSON; run again with the settings you want")
        try:
            return cls(path, validated(stored))
        except KitError as error:
            raise KitError(
                f"{path / 'config.json'}: {error}. It is of another version of the kit, or was edited; take that "
                "version, or make the run anew in another folder"
            ) from None

    def locked(self) -> AbstractContextManager[None]:
        """Hold the directory for this process; KitError if another one writes in it."""
        return only_writer(self.path)

    def folder(self, stage: str) -> Path:
        return self.path / stage

    @property
    def figures(self) -> Path:
        (self.path / "figures").mkdir(exist_ok=True)
        return self.path / "figures"

    def fingerprint(self, stage: str) -> str:
        """SHA-256 over the settings and the files' content that ``stage`` and the stages before it depend on, and over
        the tensors and tables that those have made: a P of another loss makes what follows from it stale.

        What counts of a raw-data folder is what lies in it, not where it lies.
        """
        names = list(DEPENDS)
        settings = self.config.model_dump(mode="json")
        settings["data"].pop("data_dir")
        before = names[: names.index(stage) + 1]
        used = [[key, settings[key]] for name in before for key in DEPENDS[name]]
        read = [[name, self.inputs(name)] for name in before]
        made = [[name, self._marker(name).get("content")] for name in before[:-1]]
        return hashlib.sha256(json.dumps([used, read, made], sort_keys=True).encode()).hexdigest()

    def inputs(self, stage: str) -> dict[str, str]:
        """File name -> SHA-256 of what ``stage`` reads from outside; as recorded once the files are out of reach."""
        now = digests(self.config, stage)
        gone = not now and reads_files(self.config, stage)
        return self._marker(stage).get("inputs", {}) if gone else now

    def is_done(self, stage: str) -> bool:
        return self._marker(stage).get("fingerprint") == self.fingerprint(stage)

    def require(self, stage: str) -> Path:
        """The folder of a stage that must be done by now."""
        if not self.is_done(stage):
            missing = next((name for name in DEPENDS if not self.is_done(name)), stage)  # the first, which comes first
            number = next(n for n, name in STAGES.items() if name == missing)
            state = (
                "was made with other settings, or from other results,"
                if self.folder(missing).exists()
                else "has not been run"
            )
            raise KitError(
                f"{self.path.name}: stage {number} ({missing}) {state}; run notebook {number} first, or "
                "python -m delrec_kit run with the settings of this run"
            )
        return self.folder(stage)

    @contextmanager
    def writing(self, stage: str) -> Iterator[Path]:
        """A temporary folder that becomes ``folder(stage)`` if the block ends well, and vanishes if not.

        What the stage had before, and its checkpoints, go when the new content is whole.
        """
        with self.locked():
            draft, old = self.path / f".{stage}.draft", self.path / f".{stage}.old"
            for leftover in (draft, old):
                shutil.rmtree(leftover, ignore_errors=True)
            draft.mkdir()
            done = {"fingerprint": self.fingerprint(stage), "inputs": self.inputs(stage)}
            started = time.monotonic()
            try:
                yield draft
                seconds = round(time.monotonic() - started, 1)
                write_json(draft / "done.json", done | {"content": digest_of(draft), "seconds": seconds})
                if self.folder(stage).exists():
                    self.folder(stage).rename(old)
                draft.rename(self.folder(stage))
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            for folder in (old, *self.path.glob(f".checkpoints/{stage}-*")):
                shutil.rmtree(folder, ignore_errors=True)

    def adopt(self, other: "RunDirectory") -> list[str]:
        """Copy the stages that ``other`` has done for the same settings and inputs, and this run not; their names. What
        a notebook trained with a loss of its own stays where it is."""
        copied = []
        for stage in DEPENDS:
            if self._marker(stage) or other._marker(stage).get("fingerprint") != self.fingerprint(stage):
                continue
            if any(read_json(path).get("own_loss") for path in other.folder(stage).rglob("metrics.json")):
                continue
            with self.locked():
                draft = self.path / f".{stage}.draft"
                shutil.rmtree(draft, ignore_errors=True)
                shutil.copytree(other.folder(stage), draft)
                draft.rename(self.folder(stage))
            copied.append(stage)
        return copied

    def checkpoints(self, stage: str) -> Path:
        """Where a stage keeps what it resumes from; a change of settings gives another folder."""
        return self.path / ".checkpoints" / f"{stage}-{self.fingerprint(stage)[:12]}"

    def _marker(self, stage: str) -> dict:
        marker = self.folder(stage) / "done.json"
        try:
            content = read_json(marker)
        except (OSError, ValueError):  # none, or damaged: not done
            return {}
        return content if isinstance(content, dict) else {}


def _differing(stored: dict, config: KitConfig) -> str:
    """The settings that differ, each as "key is a there, b was asked for"."""
    there, asked = (_flat(values) for values in (stored, config.model_dump(mode="json")))
    keys = [key for key in dict.fromkeys([*asked, *there]) if there.get(key) != asked.get(key) and key != "profile"]
    said = [f"{key} is {there.get(key)!r} there, {asked.get(key)!r} was asked for" for key in keys]
    more = len(said) - DIFFERENCES
    return ", ".join(said[:DIFFERENCES]) + (f", and {more} more" if more > 0 else "")


def _flat(values: dict) -> dict:
    parts = ({f"{s}.{k}": v for k, v in of.items()} if isinstance(of, dict) else {s: of} for s, of in values.items())
    return {key: value for part in parts for key, value in part.items()}


def _stored(path: Path) -> dict | None:
    try:
        return read_json(path / "config.json")
    except (OSError, ValueError):
        return None
