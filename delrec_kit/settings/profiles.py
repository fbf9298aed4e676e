"""Profiles: YAML files whose head says what they are for and how to launch them."""

from pathlib import Path
from typing import Any

import yaml

from delrec_kit.settings.errors import KitError, nearest

PACKAGE = Path(__file__).parents[1]


def shipped(folder: str) -> Path:
    """A folder of the kit that is no code: in the installed package, or in the repository of an editable install.
    Raises KitError where it is missing."""
    for place in (PACKAGE / folder, PACKAGE.parent / folder):
        if place.is_dir():
            return place
    raise KitError(f"the kit's {folder} are missing; install it again, or run from a full checkout")


def profile_names() -> list[str]:
    return sorted(path.stem for path in shipped("profiles").glob("*.yaml"))


def read_profile(profile: str) -> tuple[str, dict[str, Any]]:
    """Name and values of a profile of the kit, or of a YAML file of one's own. Raises KitError for one that is not
    there, is no table of stages, or holds anything but plain values."""
    own = str(profile).endswith((".yaml", ".yml"))
    if not own and profile not in profile_names():
        raise KitError(f"unknown profile '{profile}'{nearest(str(profile), profile_names())}")
    path = Path(profile) if own else shipped("profiles") / f"{profile}.yaml"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise KitError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KitError(f"{path} is not YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(values, dict) or not all(isinstance(part, dict) for key, part in values.items() if key != "seed"):
        raise KitError(f"{path} is no profile: it holds stages, such as distill: {{k: 20}}")
    return path.stem, {key: dict(part) if isinstance(part, dict) else part for key, part in values.items()}
