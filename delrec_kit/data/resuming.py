"""A downloader for pooch that takes up a file where an earlier try was cut off, in the same call or days later."""

from pathlib import Path

import requests
from pooch import Pooch

from delrec_kit.run.progress import progress

CHUNK = 2**16
TRIES = 3  # without progress
SECONDS = 30  # without a byte before a try counts as failed


def resuming(url: str, output_file: str, pooch: Pooch | None = None) -> None:
    """Fetch ``url`` into ``output_file``; what a failed call leaves behind lies beside it and is taken up by the next.

    Whether the whole is what it should be is not for this to say: pooch checks the digest of what it is given, and a
    part that does not belong to the rest fails there. Raises OSError (requests' errors are) after three tries without
    progress.
    """
    part = Path(output_file).parent / f".{url.rpartition('/')[2]}.part"
    failed = 0
    while True:
        before = _size(part)
        try:
            _fetch(url, part)
            break
        except OSError:
            failed = 0 if _size(part) > before else failed + 1
            if failed >= TRIES:
                raise
    part.replace(output_file)


def _fetch(url: str, part: Path) -> None:
    there = _size(part)
    asked = {"Accept-Encoding": "identity", **({"Range": f"bytes={there}-"} if there else {})}
    with requests.get(url, headers=asked, stream=True, timeout=SECONDS) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink()  # as long as the file or longer: no part of it
        answer.raise_for_status()
        continues = answer.status_code == requests.codes.partial_content
        left, got = int(answer.headers.get("Content-Length", 0)), 0
        chunks = progress(answer.iter_content(CHUNK), f"downloading {part.stem[1:]}", total=-(-left // CHUNK) or None)
        with part.open("ab" if continues else "wb") as file:
            for chunk in chunks:
                got += file.write(chunk)
        if got < left:
            raise requests.ConnectionError(f"{url} ended {left - got} bytes early")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
