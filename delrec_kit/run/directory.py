"""The run directory: all that travels between notebooks.

``runs/<name>/`` holds ``config.json`` and one folder a numbered notebook. A stage is written to a temporary folder
and renamed when whole; ``done.json`` carries a fingerprint of the settings and files it depends on, so that a changed
setting or a changed raw file makes it (and what follows from it) stale.
"""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from delrec_kit.run import drafts, redo
from delrec_kit.run.config_file import differing, read_config, write_config
from delrec_kit.run.files import Damage, damages, read_json, read_marker, write_marker
from delrec_kit.run.files import write_json as write_json
from delrec_kit.run.heartbeat import signs_of_life
from delrec_kit.run.inputs import digest_of, digests, reads_files
from delrec_kit.run.locking import only_writer
from delrec_kit.run.stages import DEPENDS, counted_settings, number_of, until, why_stale
from delrec_kit.run.stages import STAGES as STAGES
from delrec_kit.run.surroundings import FILE as SURROUNDINGS
from delrec_kit.run.surroundings import surroundings
from delrec_kit.run.trouble import trouble
from delrec_kit.settings.config import KitConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import validated

_told: set[Path] = set()  # runs without checksums of which that was said


@dataclass(frozen=True)
class RunDirectory:
    path: Path
    config: KitConfig

    @classmethod
    def create(cls, path: str | Path, config: KitConfig, anew: str | None = None) -> "RunDirectory":
        """Make ``path`` (or take up what lies there) with ``config`` as its settings.

        A run whose later stages are not done may get other settings for these. Raises KitError where a finished stage
        would become stale, naming the settings that differ; if the folder cannot be made; or if another process is
        writing in it with other settings. anew: a stage that is to be replaced with those after it, which may then get
        other settings; each old one stays until the new one is whole.
        """
        path = Path(path).expanduser().resolve()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise KitError(f"cannot make the run directory {path}: {error.strerror}; name another folder") from None
        run = cls(path, config)
        stored = run._settings_there()
        if stored != (asked := config.model_dump(mode="json")):
            replaced = {*redo.left(path), *(redo.following(anew) if anew else ())}
            stale = [s for s in DEPENDS if run._marker(s) and not run._current(s) and s not in replaced]
            if stored is not None and stale:
                says = differing(stored, asked, "{key} is {there} there, {asked} was asked for")
                raise KitError(
                    f"{path} was made with other settings: {says}; name another --run-dir, or "
                    f"--redo {stale[0]} to replace {', '.join(f'{stage}/' for stage in stale)} there"
                )
        if anew or stored != asked:
            with run.locked():
                if anew and redo.begin(path, anew):
                    for stage in redo.following(anew):
                        drafts.forget(path, stage)
                write_config(path, config)
        run.recover()
        return run

    @classmethod
    def open(cls, path: str | Path) -> "RunDirectory":
        """An existing run. Raises KitError where there is none."""
        path = Path(path).expanduser().resolve()
        stored = read_config(path)
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
        settings, before = counted_settings(self.config), until(stage)
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
        return self._current(stage) and stage not in redo.left(self.path)

    def require(self, stage: str) -> Path:
        """The folder of a stage that must be done by now, and whole: every file as the stage wrote it.

        Raises KitError with the first stage that is not done, and why, or with the file that is damaged.
        """
        if not self.is_done(stage):
            name, reason = next((name, why) for name in until(stage) if (why := self.undone(name)) is not None)
            number = number_of(name)
            raise KitError(
                f"{self.path.name}: stage {number} ({name}) {reason}; run notebook {number} first, or "
                "python -m delrec_kit run with the settings of this run"
            )
        self.check(stage)
        return self.folder(stage)

    def undone(self, stage: str) -> str | None:
        """Why a stage is not done, None where it is; its files are not looked at."""
        if not self.folder(stage).exists():
            return "has not been run"
        if stage in redo.left(self.path):
            return "is being made anew (--redo)"
        marker = read_marker(self.folder(stage))
        if isinstance(marker, Damage):
            return f"is damaged: {stage}/{marker.file} {marker.what}"
        if marker.get("fingerprint") == self.fingerprint(stage):
            return None
        return why_stale(marker, self._made_with(stage))

    def check(self, stage: str) -> None:
        """Raise KitError where a file of the finished ``stage`` is not as it was written. That a stage of an older
        kit has no checksums is told once a process."""
        found = damages(self.folder(stage))
        if found:
            more = f" (and {len(found) - 1} more; see python -m delrec_kit check)" if len(found) > 1 else ""
            raise KitError(
                f"{self.path / stage / found[0].file} {found[0].what}{more}; put it back, or delete {stage}/ there and "
                f"run stage {number_of(stage)} again: what follows stays if the same comes out"
            )
        if self._marker(stage) and "files" not in self._marker(stage) and self.path not in _told:
            _told.add(self.path)
            print(f"{self.path.name}: made by an older kit, without checksums of its files", file=sys.stderr)

    @contextmanager
    def writing(self, stage: str) -> Iterator[Path]:
        """A temporary folder that becomes ``folder(stage)`` if the block ends well, and vanishes if not.

        What the stage had before, and its checkpoints, go when the new content is whole.
        """
        with self.locked(), signs_of_life(self.path, stage):
            drafts.recover(self.path, stage)
            draft = drafts.draft_of(self.path, stage)
            draft.mkdir()
            done = {"fingerprint": self.fingerprint(stage), **self._made_with(stage)}
            started, since = time.monotonic(), time.time()
            try:
                yield draft
                write_json(draft / SURROUNDINGS, surroundings(since))
                seconds = round(time.monotonic() - started, 1)
                write_marker(draft, done | {"content": digest_of(draft), "seconds": seconds})
                drafts.put_in_place(self.path, stage)
            except Exception as error:
                if (line := trouble(error, self.path, stage)) is not None:
                    raise KitError(line) from error
                raise
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            redo.finish(self.path, stage)
            drafts.forget(self.path, stage)

    def adopt(self, other: "RunDirectory") -> list[str]:
        """Copy the stages that ``other`` has done for the same settings and inputs, and this run not; their names. What
        a notebook trained with a loss of its own stays where it is."""
        copied = []
        for stage in DEPENDS:
            if self._marker(stage) or other._marker(stage).get("fingerprint") != self.fingerprint(stage):
                continue
            if damages(other.folder(stage)):
                continue
            if any(read_json(path).get("own_loss") for path in other.folder(stage).rglob("metrics.json")):
                continue
            with self.locked():
                draft = drafts.draft_of(self.path, stage)
                shutil.rmtree(draft, ignore_errors=True)
                shutil.copytree(other.folder(stage), draft)
                drafts.put_in_place(self.path, stage)
            copied.append(stage)
        return copied

    def checkpoints(self, stage: str) -> Path:
        """Where a stage keeps what it resumes from; a change of settings gives another folder."""
        return self.path / ".checkpoints" / f"{stage}-{self.fingerprint(stage)[:12]}"

    def recover(self) -> None:
        """Mend what a process that was killed while it put a stage in its place has left, unless one writes now."""
        if any(self.path.glob(".*.draft/")) or any(self.path.glob(".*.old/")):
            with suppress(KitError), self.locked():
                for stage in DEPENDS:
                    if drafts.recover(self.path, stage):
                        redo.finish(self.path, stage)

    def _current(self, stage: str) -> bool:
        return self._marker(stage).get("fingerprint") == self.fingerprint(stage)

    def _marker(self, stage: str) -> dict:
        """What ``done.json`` says; nothing where there is none, or it is damaged: the stage is not done."""
        marker = read_marker(self.folder(stage))
        return {} if isinstance(marker, Damage) else marker

    def _made_with(self, stage: str) -> dict:
        """What ``undone`` compares: settings and files that the stage itself reads, and the results before it."""
        settings = counted_settings(self.config)
        before = {name: self._marker(name).get("content") for name in until(stage)[:-1]}
        return {
            "settings": {key: settings[key] for key in DEPENDS[stage]},
            "inputs": self.inputs(stage),
            "before": before,
        }

    def _settings_there(self) -> dict | None:
        """What ``config.json`` holds, None where there is none, or one that nothing depends on is damaged."""
        try:
            return read_config(self.path)
        except KitError:
            if (self.path / "config.json").exists() and any(self._marker(stage) for stage in DEPENDS):
                raise KitError(
                    f"{self.path / 'config.json'} is damaged, and stages of that run are finished; put it back, or "
                    "name another --run-dir"
                ) from None
        return None
