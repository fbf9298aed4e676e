"""Whether the Hugging Face hub answers, known in three seconds: its own clients try for most of a minute."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from huggingface_hub import constants

PATIENCE = 2.5  # seconds for one answer, names looked up and proxies asked


def answers() -> bool:
    """Whether the hub (HF_ENDPOINT) answers at all, through the proxies of the environment; no where HF_HUB_OFFLINE
    says that nobody should ask."""
    if constants.is_offline_mode():
        return False
    found: list[bool] = []
    # a name that is looked up in vain knows no timeout, so that the question is put in a thread that may be left behind
    asking = threading.Thread(target=lambda: found.append(_asked(constants.ENDPOINT)), daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return found == [True]


@contextmanager
def left_alone(alone: bool) -> Iterator[None]:
    """Within it no client of this process asks the hub anything, if ``alone``: not even what its users are called by,
    which takes another three seconds where nothing answers."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or alone
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _asked(endpoint: str) -> bool:
    """Any answer is one, but that of a server, or a proxy before it, that itself reaches nothing."""
    try:
        with requests.head(endpoint, timeout=PATIENCE, allow_redirects=False) as answer:
            return answer.status_code < 500
    except requests.RequestException:
        return False
