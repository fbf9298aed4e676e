"""``config.json`` of a run: its settings, resolved, and the version of what a run directory looks like."""

from pathlib import Path
from typing import Any

from delrec_kit.run.files import read_record, write_json
from delrec_kit.settings.config import KitConfig
from delrec_kit.settings.errors import KitError

SCHEMA = 1  # of run directories; a kit reads those of its own version, and those from before there were versions
DIFFERENCES = 4  # settings that an error names


def write_config(run: Path, config: KitConfig) -> None:
    write_json(run / "config.json", {"schema": SCHEMA, **config.model_dump(mode="json")})


def read_config(run: Path) -> dict[str, Any]:
    """The settings of the run in the folder ``run``, as plain values. Raises KitError where there are none, they are no
    JSON, or a newer kit wrote them."""
    path = run / "config.json"
    if not path.is_file():
        raise KitError(f"no run in {run}: config.json is missing; make one with 'python -m delrec_kit run'")
    if not (stored := read_record(path)):
        raise KitError(f"{path} is not JSON; run again with the settings you want")
    schema = stored.pop("schema", SCHEMA)
    if schema != SCHEMA:
        raise KitError(
            f"{path} says schema {str(schema)[:20]!r}, and this kit reads {SCHEMA}: it is of another version of the "
            "kit, or was edited; take that version, or make the run anew in another folder"
        )
    return stored


def differing(there: dict, asked: dict, says: str) -> str:
    """The settings that differ between two tables of stages, each as ``says`` puts it: of {key}, {there}, {asked}."""
    there, asked = _flat(there), _flat(asked)
    keys = [key for key in dict.fromkeys([*asked, *there]) if there.get(key) != asked.get(key) and key != "profile"]
    said = [says.format(key=key, there=repr(there.get(key)), asked=repr(asked.get(key))) for key in keys]
    more = len(said) - DIFFERENCES
    return ", ".join(said[:DIFFERENCES]) + (f", and {more} more" if more > 0 else "")


def _flat(values: dict) -> dict:
    parts = ({f"{s}.{k}": v for k, v in of.items()} if isinstance(of, dict) else {s: of} for s, of in values.items())
    return {key: value for part in parts for key, value in part.items()}
