"""Folders of raw files, written as a test wants them."""

import gzip

import pandas as pd
import pytest
from hypothesis import settings

from delrec_kit.data import Domain, Interactions

settings.register_profile("kit", derandomize=True, deadline=None)
settings.load_profile("kit")

ROWS = "user,item,timestamp\n" + "".join(f"a,{i},{i}\n" for i in range(1, 6))
ITEMS = "item,title\n" + "".join(f"{i},Title {i}\n" for i in range(1, 31))


@pytest.fixture
def write(tmp_path):
    """write(interactions, items): a custom folder; text or bytes; None leaves a file out."""

    def _write(interactions=ROWS, items=ITEMS, packed=False):
        def store(name, content):
            if content is not None:
                content = content.encode() if isinstance(content, str) else content
                (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)

        store("interactions.csv.gz" if packed else "interactions.csv", interactions)
        store("items.csv", items)
        return tmp_path

    return _write


@pytest.fixture(scope="session")
def made():
    """made(rows, items): Interactions of (user, item, timestamp[, split]) rows, sorted as the contract says."""

    def _made(rows, items=30):
        columns = ["user", "item", "timestamp", "split"][: len(rows[0])]
        frame = pd.DataFrame(rows, columns=columns).astype({"user": "str", "item": "str", "timestamp": "int64"})
        titles = pd.Series({str(i): f"Title {i}" for i in range(1, items + 1)})
        return Interactions.of_frame(frame, titles, Domain(), [])

    return _made
