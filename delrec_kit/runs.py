"""The run directory: all that travels between notebooks.

``runs/<name>/`` holds ``config.json`` and one folder a numbered notebook. A stage is written to a temporary folder
and renamed when whole; ``done.json`` carries a fingerprint of the settings it depends on, so that a changed setting
makes it (and what follows from it) stale.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from delrec_kit.config import KitConfig, validated
from delrec_kit.errors import KitError

STAGES = {"01": "data", "02": "teacher", "03": "prompt", "04": "adapter", "05": "evaluation"}
DEPENDS = {  # settings that a stage reads, beyond those of the stages before it
    "data": ("seed", "data"),
    "teacher": ("teacher",),
    "prompt": ("llm", "distill"),
    "adapter": ("finetune",),
    "evaluation": ("evaluation",),
}


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class RunDirectory:
    path: Path
    config: KitConfig

    @classmethod
    def create(cls, path: str | Path, config: KitConfig) -> "RunDirectory":
        """Make ``path`` (or take up what lies there) with ``config`` as its settings."""
        path = Path(path).expanduser().resolve()
        if path.exists() and not path.is_dir():
            raise KitError(f"the run directory {path} is a file; name another with --run-dir")
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / "config.json", config.model_dump())
        return cls(path, config)

    @classmethod
    def open(cls, path: str | Path) -> "RunDirectory":
        """An existing run. Raises KitError where there is none."""
        path = Path(path).expanduser().resolve()
        if not (path / "config.json").is_file():
            raise KitError(f"no run in {path}: config.json is missing; make one with 'python -m delrec_kit run'")
        return cls(path, validated(read_json(path / "config.json")))

    def folder(self, stage: str) -> Path:
        return self.path / stage

    @property
    def figures(self) -> Path:
        (self.path / "figures").mkdir(exist_ok=True)
        return self.path / "figures"

    def fingerprint(self, stage: str) -> str:
        """SHA-256 over every setting that ``stage`` and the stages before it depend on."""
        names = list(DEPENDS)
        settings = self.config.model_dump()
        used = [(key, settings[key]) for name in names[: names.index(stage) + 1] for key in DEPENDS[name]]
        return hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()

    def is_done(self, stage: str) -> bool:
        marker = self.folder(stage) / "done.json"
        return marker.is_file() and read_json(marker)["fingerprint"] == self.fingerprint(stage)

    def require(self, stage: str) -> Path:
        """The folder of a stage that must be done by now."""
        if not self.is_done(stage):
            number = next(n for n, name in STAGES.items() if name == stage)
            state = "was made with other settings" if self.folder(stage).exists() else "has not been run"
            raise KitError(f"{self.path.name}: stage {number} ({stage}) {state}; run notebook {number} first")
        return self.folder(stage)

    @contextmanager
    def writing(self, stage: str) -> Iterator[Path]:
        """A temporary folder that becomes ``folder(stage)`` if the block ends well, and vanishes if not."""
        draft = self.path / f".{stage}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        started = time.monotonic()
        try:
            yield draft
            done = {"fingerprint": self.fingerprint(stage), "seconds": round(time.monotonic() - started, 1)}
            write_json(draft / "done.json", done)
            shutil.rmtree(self.folder(stage), ignore_errors=True)
            draft.rename(self.folder(stage))
            shutil.rmtree(self.checkpoints(stage), ignore_errors=True)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def checkpoints(self, stage: str) -> Path:
        """Where a stage keeps what it resumes from; a change of settings gives another folder."""
        return self.path / ".checkpoints" / f"{stage}-{self.fingerprint(stage)[:12]}"
