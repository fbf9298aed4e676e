"""Files from outside a run that its stages read, and what stands for their content in a fingerprint."""

import hashlib
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from delrec_kit.config import KitConfig
from delrec_kit.errors import KitError

RAW_FILES = {
    "ml-100k": ("u.data", "u.item"),
    "custom": tuple(f"{name}{end}" for name in ("interactions", "items") for end in (".csv", ".csv.gz", ".parquet")),
}
MODEL_SUFFIXES = (".json", ".model", ".safetensors")
TINY = Path(__file__).parent / "llm" / "tiny"


def input_files(config: KitConfig, stage: str) -> list[Path]:
    """The files that ``stage`` reads from the user's disk and that are there now, in a fixed order."""
    if stage == "data" and config.data.data_dir:
        folder = Path(config.data.data_dir).expanduser()
        return [folder / name for name in RAW_FILES.get(config.data.dataset, ()) if (folder / name).is_file()]
    if stage == "prompt":
        folder = TINY if config.llm.name == "tiny" else Path(config.llm.name).expanduser()
        if folder.is_dir():
            return sorted(path for path in folder.iterdir() if path.suffix in MODEL_SUFFIXES)
    return []


def reads_files(config: KitConfig, stage: str) -> bool:
    """Whether ``stage`` reads files from outside the run, there now or not."""
    if stage == "data":
        return config.data.dataset in RAW_FILES and config.data.data_dir is not None
    return stage == "prompt" and (config.llm.name == "tiny" or looks_like_path(config.llm.name))


def digests(config: KitConfig, stage: str) -> dict[str, str]:
    """File name -> SHA-256 of the content of what ``stage`` reads; a file is read once while it stays unchanged."""
    return {path.name: _digest(path, *_version(path)) for path in input_files(config, stage)}


def check_folders(config: KitConfig) -> None:
    """Raise KitError for a raw-data folder or a language-model folder that is not there."""
    if config.data.dataset == "custom" and not config.data.data_dir:
        raise KitError("dataset custom needs --data-dir: a folder with interactions.csv and items.csv")
    if config.data.dataset == "demo" and config.data.data_dir:
        raise KitError("dataset demo is made by the kit and reads no --data-dir; add --dataset ml-100k or custom")
    if config.data.data_dir and not Path(config.data.data_dir).expanduser().is_dir():
        raise KitError(f"no data folder {config.data.data_dir}{_nearest_folder(config.data.data_dir)}")
    name = config.llm.name
    if looks_like_path(name) and not Path(name).expanduser().is_dir():
        raise KitError(f"no language-model folder {name}{_nearest_folder(name)}")


def looks_like_path(name: str) -> bool:
    """Whether a language model's name can only be a folder: a hub id is ``name`` or ``owner/name``."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name


def _nearest_folder(folder: str) -> str:
    path = Path(folder).expanduser().resolve()
    while not path.parent.is_dir():
        path = path.parent
    beside = [child.name for child in path.parent.iterdir() if child.is_dir()]
    match = get_close_matches(path.name, beside, n=1, cutoff=0.5)
    return f"; did you mean {path.parent / match[0]}?" if match else f"; {path.parent} has no folder '{path.name}'"


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
