"""Fetching GroupLens' archives, over lines that break too, and taking out what the kit reads. Their terms forbid
redistribution."""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests

from delrec_kit.data.tables import brief
from delrec_kit.run.inputs import sha256
from delrec_kit.run.progress import progress
from delrec_kit.settings.errors import KitError

GROUPLENS = "https://files.grouplens.org/datasets/movielens"
MIRROR = "DELREC_KIT_MIRROR"  # environment: an https folder that holds the same archives
LICENCE = (
    "{called} is GroupLens' (University of Minnesota), for research: cite it, and do not pass it on or sell it; "
    "its README has the terms"
)
MEMBER_LIMIT = 64 * 2**20  # bytes; every file is far smaller
CHUNK = 2**16
TRIES = 3  # without progress
SECONDS = 30  # without a byte before a try counts as failed


@dataclass(frozen=True)
class Archive:
    """A zip file with one folder, ``name``. ``members``: what is taken out of it, and each one's SHA-256 or None where
    only the archive's own digest, ``known_hash``, is published."""

    name: str
    called: str
    known_hash: str
    members: Mapping[str, str | None]

    @property
    def urls(self) -> list[str]:
        """Where it may be had: in the folder that ``DELREC_KIT_MIRROR`` names, then at GroupLens."""
        mirror = os.environ.get(MIRROR, "").rstrip("/")
        if "@" in mirror.partition("//")[2].partition("/")[0]:
            raise KitError(f"{MIRROR} holds a name or password, which would be seen in logs; put them into ~/.netrc")
        if mirror and not mirror.startswith("https://"):
            raise KitError(f"{MIRROR}={mirror[:200]} is no https address; give one, or unset it")
        return [f"{folder}/{self.name}.zip" for folder in (mirror, GROUPLENS) if folder]


ML_100K = Archive(
    "ml-100k",
    "MovieLens-100K",
    "md5:0e33842e24a9c977be4e0107933c0723",  # the one that GroupLens publishes
    {
        "u.data": "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
        "u.item": "553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701",
    },
)
ML_1M = Archive(
    "ml-1m",
    "MovieLens-1M",
    "sha256:a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",  # TensorFlow Datasets publishes it
    {"ratings.dat": None, "movies.dat": None},
)


def download(archive: Archive, cache: Path | None = None) -> Path:
    """A folder with the archive's members, from the first address that has it, checked against the known digest.

    A folder whose members are known by their SHA-256 is used as it is; else the archive in the cache, which pooch
    checks each time, is unpacked anew, so that a spoilt file never stays. Raises KitError where no address has it.
    """
    cache = Path(cache or pooch.os_cache("delrec_kit"))
    folder, failed = cache / archive.name, []
    there = {folder / name: digest for name, digest in archive.members.items()}
    if all(digest and path.is_file() and sha256(path) == digest for path, digest in there.items()):
        return folder
    print(LICENCE.format(called=archive.called))
    for url in archive.urls:
        named = {"fname": f"{archive.name}.zip", "path": cache, "downloader": resuming}
        try:
            path = Path(pooch.retrieve(url, archive.known_hash, **named))
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            failed.append(f"could not download {url} ({reason[:200]})")
        else:
            extract(archive, path, folder)
            return folder
    raise KitError(
        f"{'; '.join(failed)}; fetch it by hand and give its folder as data.data_dir, or name an https folder that "
        f"holds it in {MIRROR}"
    )


def extract(archive: Archive, path: Path, folder: Path) -> None:
    """Take the members, by name and nothing else, out of the zip at ``path`` into ``folder``, if they are known."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path) as packed:
            for name, expected in archive.members.items():
                with packed.open(f"{archive.name}/{name}") as member:
                    content = member.read(MEMBER_LIMIT + 1)
                if len(content) > MEMBER_LIMIT:
                    raise KitError(f"{path}: {name} unpacks to more than {MEMBER_LIMIT >> 20} MiB; delete it and retry")
                if expected is not None and hashlib.sha256(content).hexdigest() != expected:
                    raise KitError(f"{path}: {name} is not {archive.called}'s (SHA-256 differs); delete it and retry")
                draft = folder / f".{name}.{os.getpid()}"
                draft.write_bytes(content)
                draft.replace(folder / name)
    except (KeyError, zipfile.BadZipFile, EOFError, zlib.error, RuntimeError, ValueError) as error:
        reason = brief(str(error), 100)
        raise KitError(f"{path} is not {archive.called}'s archive ({reason}); delete it and retry") from error
    except OSError as error:
        raise KitError(f"{path} could not be unpacked into {folder}: {error.strerror or error}") from error


def resuming(url: str, output_file: str, pooch: pooch.Pooch | None = None) -> None:
    """A downloader for pooch: what a failed call leaves lies beside ``output_file`` and is taken up by the next.

    Whether the whole is what it should be pooch tells by its digest. Raises OSError (requests' errors are) after three
    tries without progress.
    """
    part, failed = Path(output_file).parent / f".{url.rpartition('/')[2]}.part", 0
    part.touch()
    while True:
        before = part.stat().st_size
        try:
            _fetch_part(url, part)
            break
        except OSError:
            failed = 0 if part.stat().st_size > before else failed + 1
            if failed >= TRIES:
                raise
    part.replace(output_file)


def _fetch_part(url: str, part: Path) -> None:
    there, got = part.stat().st_size, 0
    asked = {"Accept-Encoding": "identity", **({"Range": f"bytes={there}-"} if there else {})}
    with requests.get(url, headers=asked, stream=True, timeout=SECONDS) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            part.write_bytes(b"")  # it was as long as the file or longer: no part of it
        answer.raise_for_status()
        left = int(answer.headers.get("Content-Length", 0))
        chunks = progress(answer.iter_content(CHUNK), f"downloading {part.stem[1:]}", total=-(-left // CHUNK) or None)
        with part.open("ab" if answer.status_code == requests.codes.partial_content else "wb") as file:
            for chunk in chunks:
                got += file.write(chunk)
        if got < left:
            raise requests.ConnectionError(f"{url} ended {left - got} bytes early")
