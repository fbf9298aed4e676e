"""MovieLens-100K, from a folder in GroupLens' layout, or downloaded. Its terms forbid redistribution."""

import hashlib
import os
import zipfile
import zlib
from pathlib import Path

import pooch

from delrec_kit.data.domain import FILMS
from delrec_kit.data.files import find_file, find_folder
from delrec_kit.data.interactions import Interactions, validate
from delrec_kit.data.tables import DAMAGE, TextFile, brief
from delrec_kit.errors import KitError

URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
ZIP_HASH = "md5:0e33842e24a9c977be4e0107933c0723"  # the one that GroupLens publishes
SHA256 = {
    "u.data": "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
    "u.item": "553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701",
}
MEMBER_LIMIT = 16 * 2**20  # bytes; both files are far smaller


def read_movielens(data_dir: str | Path | None = None) -> Interactions:
    """Read and validate ``u.data`` (user, item, rating, timestamp by tabs) and ``u.item`` (id|title|…, latin-1).

    Every rating counts as an interaction, whatever its value. ``data_dir`` None downloads once, with progress, into
    the user's cache. Raises KitError as ``validate`` does, and when the download fails or is not the known data.
    """
    folder = find_folder(data_dir) if data_dir is not None else download()
    ratings = TextFile(find_file(folder, ["u.data"]), ("user", "item", "rating", "timestamp"), "\t", quoted=False)
    path = find_file(folder, ["u.item"])
    films = TextFile(path, ("item", "title"), "|", quoted=False, encoding=_encoding(path))
    return validate(
        ratings.read(("user", "item", "rating", "timestamp"), numbers=("rating", "timestamp")),
        films.read(("item", "title")),
        FILMS,
    )


def download(cache: Path | None = None) -> Path:
    """A folder with ``u.data`` and ``u.item`` of MovieLens-100K, checked against their SHA-256.

    The archive is fetched over https by pooch and checked against GroupLens' MD5; only the two members are taken out
    of it, by name. A folder that already holds both is used as it is.
    """
    cache = Path(cache or pooch.os_cache("delrec_kit"))
    folder = cache / "ml-100k"
    if all((folder / name).is_file() and _digest((folder / name).read_bytes()) == SHA256[name] for name in SHA256):
        return folder
    try:
        archive = pooch.retrieve(URL, ZIP_HASH, fname="ml-100k.zip", path=cache, progressbar=True)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise KitError(
            f"could not download {URL} ({reason[:200]}); fetch it by hand and give its folder as data.data_dir"
        ) from error
    extract(Path(archive), folder)
    return folder


def extract(archive: Path, folder: Path) -> None:
    """Take ``u.data`` and ``u.item`` out of the archive into ``folder``, if they are what they should be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive) as packed:
            for name, expected in SHA256.items():
                with packed.open(f"ml-100k/{name}") as member:
                    content = member.read(MEMBER_LIMIT)
                if _digest(content) != expected:
                    raise KitError(f"{archive}: {name} is not MovieLens-100K's (SHA-256 differs); delete it and retry")
                draft = folder / f".{name}.{os.getpid()}"
                draft.write_bytes(content)
                draft.replace(folder / name)
    except (KeyError, zipfile.BadZipFile, EOFError, zlib.error, RuntimeError, ValueError) as error:
        reason = brief(str(error), 100)
        raise KitError(f"{archive} is not MovieLens-100K's archive ({reason}); delete it and retry") from error
    except OSError as error:
        raise KitError(f"{archive} could not be unpacked into {folder}: {error.strerror or error}") from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _encoding(path: Path) -> str:
    """GroupLens' file is latin-1; a copy that someone saved as UTF-8 is told by its bytes."""
    with TextFile(path).open() as raw:
        try:
            raw.read().decode("utf-8")
        except UnicodeDecodeError:
            return "latin-1"
        except DAMAGE:  # told with its line when the rows are read
            pass
    return "utf-8-sig"
