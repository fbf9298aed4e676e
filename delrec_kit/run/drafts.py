"""The two folders beside a stage while it is replaced: the new one until it is whole, and the old one until then."""

import shutil
from pathlib import Path

from delrec_kit.run.files import Damage, damages, read_marker, to_disk


def draft_of(run: Path, stage: str) -> Path:
    return run / f".{stage}.draft"


def old_of(run: Path, stage: str) -> Path:
    return run / f".{stage}.old"


def put_in_place(run: Path, stage: str) -> None:
    """The whole draft, on the disk by then, becomes the stage. ``recover`` mends what a kill between the two steps
    leaves."""
    draft, old, folder = draft_of(run, stage), old_of(run, stage), run / stage
    for path in (*draft.rglob("*"), draft):
        to_disk(path)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    draft.rename(folder)
    to_disk(run)
    shutil.rmtree(old, ignore_errors=True)


def recover(run: Path, stage: str) -> bool:
    """After a kill: a draft that was whole becomes the stage, else the old stage comes back; what is then left over is
    deleted. Whether a draft was put in place."""
    draft, old, folder = draft_of(run, stage), old_of(run, stage), run / stage
    whole = not isinstance(read_marker(draft), Damage) and not damages(draft)
    if whole:
        put_in_place(run, stage)
    elif old.exists() and not folder.exists():
        old.rename(folder)
    for leftover in (draft, old):
        shutil.rmtree(leftover, ignore_errors=True)
    return whole


def forget(run: Path, stage: str) -> None:
    """Delete what the stage would resume from."""
    for folder in run.glob(f".checkpoints/{stage}-*"):
        shutil.rmtree(folder, ignore_errors=True)
