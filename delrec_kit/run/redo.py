"""Stages that are to be made anew on purpose: the old ones stay where they are until the new ones are whole."""

from pathlib import Path

from delrec_kit.run.files import read_record, write_json
from delrec_kit.run.stages import DEPENDS, STAGES
from delrec_kit.settings.errors import KitError, nearest

FILE = ".redo.json"


def stage_named(name: str) -> str:
    """A stage by its name, or by the number of its notebook. Raises KitError for neither."""
    stage = STAGES.get(name.strip().zfill(2), name.strip())
    if stage not in DEPENDS:
        raise KitError(f"--redo: no stage '{name}'{nearest(name, DEPENDS)}, or a number: {', '.join(STAGES)}")
    return stage


def following(stage: str) -> list[str]:
    """``stage`` and those after it."""
    return list(DEPENDS)[list(DEPENDS).index(stage) :]


def left(run: Path) -> list[str]:
    """The stages that are still to be made anew."""
    return _content(run).get("left", [])


def begin(run: Path, stage: str) -> bool:
    """Mark ``stage`` and those after it, as far as they are there, as to be made anew. False where none is, or where
    that was begun before and is not through: the same command after a kill goes on with it."""
    there = [name for name in following(stage) if (run / name).exists()]
    if not there or _content(run).get("stage") == stage:
        return False
    write_json(run / FILE, {"stage": stage, "left": there})
    return True


def finish(run: Path, stage: str) -> None:
    """``stage`` has been made anew."""
    content = _content(run)
    if stage not in content.get("left", []):
        return
    content["left"].remove(stage)
    if content["left"]:
        write_json(run / FILE, content)
    else:
        (run / FILE).unlink(missing_ok=True)


def _content(run: Path) -> dict:
    content = read_record(run / FILE)
    left = content.get("left")
    return content if isinstance(left, list) and left and set(map(str, left)) <= set(DEPENDS) else {}
