"""What surrounded a stage while it was made: versions, code, hardware and time, in a file of their own, so that all
other files of two equal runs are equal."""

import os
import platform
import subprocess
import sys
import time
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from delrec_kit import __version__

FILE = "surroundings.json"
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "safetensors", "numpy", "pandas")
PACKAGES += ("pyarrow", "duckdb", "scipy", "scikit-learn", "tokenizers")
ROOT = Path(__file__).parents[2]
GIB = 2**30
_notes: list[str] = []


def noted(text: str) -> None:
    """Print what happened, and keep it for the record of the stage that is being made."""
    print(text, flush=True)
    _notes.append(text)


def surroundings(since: float) -> dict[str, Any]:
    """As of now; since: when the stage was begun, in seconds since 1970. What was noted goes into it once."""
    notes = _notes.copy()
    _notes.clear()
    return {
        **({"notes": notes} if notes else {}),
        "started": _moment(since),
        "ended": _moment(time.time()),
        "kit": {"version": __version__, **_git()},
        "packages": _packages(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "hardware": {**_cpu(), "gpu": _gpu(), "processes": int(os.environ.get("WORLD_SIZE", "1"))},
    }


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))


@lru_cache(maxsize=1)
def _git() -> dict[str, Any]:
    """Commit of a checkout and whether files differ from it; nothing for an installed kit."""
    if not (ROOT / "pyproject.toml").is_file():
        return {}
    asked = {"commit": ("rev-parse", "HEAD"), "dirty": ("status", "--porcelain", "--untracked-files=no")}
    found = {}
    for name, words in asked.items():
        try:
            command = ["git", "-C", str(ROOT), *words]
            done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        except (OSError, subprocess.SubprocessError):
            return {}
        found[name] = done.stdout.strip()
    return {"commit": found["commit"], "dirty": bool(found["dirty"])}


@lru_cache(maxsize=1)
def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


@lru_cache(maxsize=1)
def _cpu() -> dict[str, Any]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    memory = round(psutil.virtual_memory().total / GIB, 1)
    return {"cpu": name, "cores": os.cpu_count(), "threads": os.environ.get("OMP_NUM_THREADS"), "memory_gib": memory}


def _gpu() -> str | None:
    """Of a process that has torch loaded, which no stage that uses a GPU lacks."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None
