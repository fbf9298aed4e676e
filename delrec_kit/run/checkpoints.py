"""Which checkpoint a Trainer may resume from: a process that is killed while it writes one leaves a torn one."""

import json
import shutil
from pathlib import Path

from delrec_kit.run.processes import main_only, wait

LAST_WRITTEN = "trainer_state.json"


def last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint in ``folder``, None where there is none; newer torn ones are deleted."""
    found = sorted(folder.glob("checkpoint-*"), key=_step, reverse=True)
    newest = next((path for path in found if _is_whole(path)), None)
    torn = found if newest is None else found[: found.index(newest)]
    wait()  # every process has looked before one of them changes what there is
    main_only(lambda: [shutil.rmtree(path) for path in torn])
    return None if newest is None else str(newest)


def _is_whole(path: Path) -> bool:
    try:
        json.loads((path / LAST_WRITTEN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _step(path: Path) -> int:
    tail = path.name.rpartition("-")[2]
    return int(tail) if tail.isdigit() else -1
