"""Files from outside a run that its stages read, and what stands for their content in a fingerprint."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from delrec_kit.settings.config import DataConfig, KitConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve


def _packed(*names: str) -> tuple[str, ...]:
    return tuple(name + end for name in names for end in ("", ".gz"))


def amazon_files(*categories: str) -> tuple[tuple[str, ...], ...]:
    """Patterns of reviews, ratings alone, benchmark splits and metadata of ``categories``: 2014 says
    reviews_Toys_and_Games_5.json.gz, 2018 Toys_and_Games_5.json.gz, 2023 Toys_and_Games.jsonl.gz."""
    kinds, names = ("json", "jsonl"), [start + name for name in categories for start in ("reviews_", "")]
    return (
        _packed(*(f"{name}*.{kind}" for name in names for kind in kinds)),
        _packed(*(f"{start}{name}.csv" for name in categories for start in ("ratings_", ""))),
        _packed(*(f"{name}.{part}.csv" for name in categories for part in ("train", "valid", "test"))),
        _packed(*(f"meta_{name}*.{kind}" for name in categories for kind in kinds)),
    )


def _amazon(*categories: str) -> tuple[str, ...]:
    return tuple(pattern for patterns in amazon_files(*categories) for pattern in patterns)


RAW_FILES = {  # names or patterns; what the readers look for, and what a fingerprint counts
    "ml-100k": ("u.data", "u.item"),
    "ml-1m": ("ratings.dat", "movies.dat"),
    "beauty": _amazon("Beauty", "All_Beauty", "Luxury_Beauty", "Beauty_and_Personal_Care"),
    "home-kitchen": _amazon("Home_and_Kitchen"),
    "amazon": _packed("*.json", "*.jsonl", "*.csv"),
    "steam": _packed("steam_reviews.json", "steam_new.json", "steam_games.json"),
    "recbole": ("*.inter", "*.item"),
    "llara": (
        *(f"{part}.{kind}" for part in ("train", "valid", "test") for kind in ("csv", "parquet")),
        *("id2name.txt", "items.csv"),
    ),
    "custom": tuple(f"{name}{end}" for name in ("interactions", "items") for end in (".csv", ".csv.gz", ".parquet")),
}
PUBLISHED = (
    "published at https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html (2014), "
    "https://cseweb.ucsd.edu/~jmcauley/datasets/amazon_v2/ (2018) or https://amazon-reviews-2023.github.io/ (2023)"
)
FOLDERS = {  # what the folder must hold of a dataset that the kit does not download
    "amazon": f"a folder with reviews (or ratings) and metadata of one category of Amazon's products, {PUBLISHED}",
    "beauty": f"a folder with reviews and metadata of Amazon's beauty products, {PUBLISHED}",
    "home-kitchen": f"a folder with reviews and metadata of Amazon's Home and Kitchen, {PUBLISHED}",
    "steam": "a folder with steam_reviews.json.gz and steam_games.json.gz, published at "
    "https://cseweb.ucsd.edu/~jmcauley/datasets.html#steam_data",
    "recbole": "a folder with NAME.inter and NAME.item, published at https://recbole.io/dataset_list.html",
    "llara": "a folder with train, valid and test as .csv or .parquet, and id2name.txt or items.csv",
    "custom": "a folder with interactions.csv and items.csv",
}
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar", ".xz", ".bz2", ".zst")
MODEL_SUFFIXES = (".json", ".model", ".safetensors")
TINY = Path(__file__).parents[1] / "llm" / "tiny"


def input_files(config: KitConfig, stage: str) -> list[Path]:
    """The files that ``stage`` reads from the user's disk and that are there now, in a fixed order."""
    if stage == "data" and config.data.data_dir:
        folder = Path(config.data.data_dir).expanduser()
        return matching(folder, RAW_FILES.get(config.data.dataset, ()))
    if stage == "prompt":
        folder = TINY if config.llm.name == "tiny" else Path(config.llm.name).expanduser()
        if is_gguf(config.llm.name) and folder.is_file():
            return [folder]
        if folder.is_dir():
            return sorted(path for path in folder.iterdir() if path.suffix in MODEL_SUFFIXES)
    return []


def matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """Files of ``folder`` that match one of ``patterns``, each once, in a fixed order; hidden files never do."""
    found = dict.fromkeys(path for pattern in patterns for path in sorted(folder.glob(pattern)))
    return [path for path in found if path.is_file() and not path.name.startswith(".")]


def find_folder(data_dir: str | Path) -> Path:
    """``data_dir`` as a folder that can be read; else a KitError that names the nearest folder beside it."""
    if "\0" in str(data_dir):
        raise KitError(f"data folder {str(data_dir)!r} cannot be: the name holds a NUL byte")
    try:
        folder = Path(data_dir).expanduser()
        if not folder.is_file() and folder.is_dir():
            next(folder.iterdir(), None)
            return folder
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise KitError(f"data folder {str(data_dir)[:200]!r} cannot be read: {reason}") from error
    if folder.is_file():
        raise KitError(f"data folder {folder} is a file; give the folder that holds it")
    raise KitError(f"no data folder {data_dir}{_nearest_folder(data_dir)}")


def find_file(folder: Path, patterns: Sequence[str], what: str = "") -> Path:
    """The one file (of ``what``, such as "reviews") that matches a name or pattern; else a KitError that says what is
    there."""
    found = matching(folder, patterns)
    if len(found) > 1:
        of = f" of {what}" if what else ""
        raise KitError(f"{folder} holds several files{of}: {', '.join(p.name for p in found)}; keep one of them")
    if found:
        return found[0]
    for path in (folder / name for name in patterns):
        if path.is_symlink():
            raise KitError(f"{path} is a link that leads to no file; put the file itself there")
        if path.exists() and not (path / path.name).exists():
            raise KitError(f"{path} is a folder or a device, not a file; put the file itself there")
    named = f"{f'{what}, a ' if what else ''}file {' or '.join(patterns[:4])}{' or …' if len(patterns) > 4 else ''}"
    for below in sorted(path for path in folder.iterdir() if path.is_dir()):
        if there := matching(below, patterns):
            raise KitError(f"{folder} has no {named}, but its folder {below.name} has {there[0].name}; give {below}")
    names = sorted(path.name for path in folder.iterdir() if not path.is_dir() and not path.name.startswith("."))
    close = get_close_matches(patterns[0], names, n=1, cutoff=0.5)
    packed = next((f"; if it is in {name}, unpack that" for name in names if name.lower().endswith(ARCHIVES)), "")
    holds = f"it holds {', '.join(names[:5]) or 'no files'}{' …' if len(names) > 5 else ''}"
    raise KitError(f"{folder} has no {named}; {f'the nearest there is {close[0]!r}' if close else holds}{packed}")


def reads_files(config: KitConfig, stage: str) -> bool:
    """Whether ``stage`` reads files from outside the run, there now or not."""
    if stage == "data":
        return config.data.dataset in RAW_FILES and config.data.data_dir is not None
    return stage == "prompt" and (config.llm.name == "tiny" or looks_like_path(config.llm.name))


def digests(config: KitConfig, stage: str) -> dict[str, str]:
    """File name -> SHA-256 of the content of what ``stage`` reads; a file is read once while it stays unchanged."""
    return {path.name: digest(path) for path in input_files(config, stage)}


def digest(path: Path) -> str:
    """SHA-256 of a file, read once a process while size and time of change stay the same."""
    return _digest(path, *version(path))


def sha256(*files: Path) -> str:
    """Of the files' bytes, one file behind the other, read by blocks: they may be larger than the memory."""
    found = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(2**22):
                found.update(block)
    return found.hexdigest()


def digest_of(folder: Path) -> str:
    """SHA-256 over the tensors, tables and prompt templates below ``folder``: what later stages read of it."""
    found = sorted(path for kind in ("*.safetensors", "*.parquet", "templates.json") for path in folder.rglob(kind))
    lines = [f"{path.relative_to(folder)} {digest(path)}" for path in found]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_folders(config: KitConfig) -> None:
    """Raise KitError for a raw-data folder, or a language model's folder or file, that is not there."""
    check_data_dir(config.data)
    if config.data.data_dir:
        find_folder(config.data.data_dir)
    name = config.llm.name
    if is_gguf(name):
        if not Path(name).expanduser().is_file():
            raise KitError(f"no language-model file {name}")
    elif looks_like_path(name) and not Path(name).expanduser().is_dir():
        raise KitError(f"no language-model folder {name}{_nearest_folder(name)}")


def absolute_folders(config: KitConfig) -> list[str]:
    """Overrides that name the folders as seen from where the user stands; notebooks run elsewhere."""
    folders = {"data.data_dir": config.data.data_dir}
    if looks_like_path(config.llm.name) or (config.llm.name != "tiny" and Path(config.llm.name).is_dir()):
        folders["llm.name"] = config.llm.name
    return [f"{key}={json.dumps(str(Path(f).expanduser().resolve()))}" for key, f in folders.items() if f is not None]


def settled(profile: str, overrides: Sequence[str]) -> tuple[KitConfig, list[str]]:
    """The settings of a run, whose folders are there, and the overrides that say where, whoever reads them from where.
    Raises KitError as ``resolve`` and ``check_folders`` do."""
    config = resolve(profile, overrides)
    check_folders(config)
    overrides = [*overrides, *absolute_folders(config)]
    return resolve(profile, overrides), overrides


def check_data_dir(data: DataConfig) -> None:
    """Raise KitError where a dataset that the kit cannot download is asked for without a folder, or a made one with."""
    if data.dataset == "demo" and data.data_dir:
        raise KitError("dataset demo is made by the kit and reads no --data-dir; add --dataset, such as custom")
    if not data.data_dir and data.dataset in FOLDERS:
        raise KitError(f"dataset {data.dataset} needs --data-dir (data.data_dir): {FOLDERS[data.dataset]}")


def looks_like_path(name: str) -> bool:
    """Whether a language model's name can only be a folder or a file: a hub id is ``name`` or ``owner/name``."""
    return is_gguf(name) or name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name


def is_gguf(name: str) -> bool:
    """Whether a language model's name is that of a GGUF file."""
    return name.lower().endswith(".gguf")


def _nearest_folder(folder: str | Path) -> str:
    path = Path(folder).expanduser().resolve()
    while not path.parent.is_dir():
        path = path.parent
    beside = [child.name for child in path.parent.iterdir() if child.is_dir()]
    match = get_close_matches(path.name, beside, n=1, cutoff=0.5)
    return f"; did you mean {path.parent / match[0]}?" if match else f"; {path.parent} has no folder '{path.name}'"


def version(path: Path) -> tuple[int, int]:
    """Size and time of change: a file that has both as before is not read again."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=4096)
def _digest(path: Path, size: int, changed: int) -> str:
    return sha256(path)


def check_writable(file: Path, *endings: str) -> None:
    """Raise KitError where ``file`` ends in none of ``endings`` (any will do if none is given), is a folder, or its
    folder is not there."""
    if endings and file.suffix not in endings:
        raise KitError(f"{file}: name a file that ends in {', '.join(endings)}")
    if not file.absolute().parent.is_dir() or file.is_dir():
        raise KitError(f"{file} cannot be written: name a file in a folder that is there")
