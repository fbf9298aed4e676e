import os
from pathlib import Path

import pytest

from delrec_kit.runs import RunDirectory


@pytest.fixture(scope="session")
def produced() -> RunDirectory:
    """A whole run, made by ``python -m delrec_kit run`` and named in DELREC_KIT_RUN_DIR."""
    folder = os.environ.get("DELREC_KIT_RUN_DIR")
    if not folder:
        pytest.skip(
            "no run to look at: python -m delrec_kit run --profile smoke --run-dir runs/smoke, "
            "then DELREC_KIT_RUN_DIR=runs/smoke"
        )
    return RunDirectory.open(Path(folder))
