"""Whether runs that stand in one table were made from the same data, by the same versions, on the same machine."""

from collections.abc import Sequence
from pathlib import Path

from delrec_kit.run.files import Damage, read_marker, read_record
from delrec_kit.run.stages import DEPENDS
from delrec_kit.run.surroundings import FILE

SHOWN = 3  # values of a thing that a line names
Values = dict[str, dict[str, None]]  # what -> its values, in order


def mixture(runs: Sequence[Path]) -> str | None:
    """One line that names what differs among the runs, None where nothing does. Stages of an older kit, which did not
    record it, say nothing."""
    found: Values = {}
    for stage in DEPENDS:
        hardware: Values = {}  # of each stage by itself: not every one uses a GPU
        for run in runs:
            _add_versions(found, read_record(run / stage / FILE))
            for name, value in read_record(run / stage / FILE).get("hardware", {}).items():
                hardware.setdefault(name, {})[str(value)] = None
            for name, value in _inputs(run / stage).items():
                found.setdefault(f"the file {name}", {})[value[:8]] = None
        for name, values in hardware.items():
            found.setdefault(name, {}).update(values if len(values) > 1 else {})
    unlike = {name: list(values) for name, values in found.items() if len(values) > 1}
    if not unlike:
        return None
    parts = [
        f"{name} ({', '.join(values[:SHOWN])}{', …' if values[SHOWN:] else ''})" for name, values in unlike.items()
    ]
    return f"what is compared here was not all made alike; it differs in {', '.join(parts)}"


def _add_versions(found: Values, said: dict) -> None:
    kit = said.get("kit", {})
    commit = kit["commit"][:8] + (" with changes" if kit.get("dirty") else "") if "commit" in kit else None
    versions = {"the kit": kit.get("version"), "commit": commit}
    versions |= {"Python": said.get("python"), "system": said.get("system")}
    for name, value in {**versions, **said.get("packages", {})}.items():
        if value is not None:
            found.setdefault(name, {})[str(value)] = None


def _inputs(folder: Path) -> dict[str, str]:
    marker = read_marker(folder)
    return {} if isinstance(marker, Damage) else marker.get("inputs", {})
