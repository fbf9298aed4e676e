"""From a profile, and what is set over it, to settings: ``distill.k=20`` changes one."""

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from delrec_kit.settings.config import KitConfig, StageConfig
from delrec_kit.settings.errors import KitError, nearest
from delrec_kit.settings.profiles import read_profile

NEXT = re.compile(r"\s+(?=[a-z_]+(?:\.[a-z_]+)?\s*=)")  # between two settings in one string


def resolve(profile: str = "demo", overrides: str | Sequence[str] | Mapping[str, Any] = (), **top: Any) -> KitConfig:
    """The settings of ``profile``, a name or a YAML file, with ``stage.field=value`` overrides on top.

    overrides: a list, one string with blanks between them, as papermill's ``-p`` hands it over, or a table by dotted
    name or by stage and field.
    ``top`` holds ready values by dotted name or top-level field, ``None`` meaning "not given":
    ``resolve("cpu", ["distill.k=20"], seed=3, **{"data.dataset": "ml-100k"})``.
    Raises KitError for an unknown profile, stage or field, or a value that does not fit.
    """
    name, values = read_profile(profile)
    values["profile"] = name
    if isinstance(overrides, Mapping):
        overrides, top = (), {**_dotted(overrides), **top}
    for text in filter(None, NEXT.split(overrides.strip())) if isinstance(overrides, str) else overrides:
        key, sign, raw = text.partition("=")
        if not sign:
            raise KitError(f"--set takes stage.field=value, not '{text}'")
        _place(values, key.strip(), _parsed(key.strip(), raw.strip()))
    for key, value in top.items():
        if value is not None:
            _place(values, key, value)
    return validated(values)


def _dotted(table: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for key, value in table.items():
        fields = value if isinstance(value, Mapping) and key in _stages() else None
        found |= {key: value} if fields is None else {f"{key}.{field}": each for field, each in fields.items()}
    return found


def renamed_columns(pairs: Sequence[str]) -> list[str]:
    """The override that pairs such as ``user=reviewer`` mean. Raises KitError for a pair that is none."""
    split = [text.partition("=")[::2] for text in pairs]
    for ours, theirs in split:
        if not theirs:
            raise KitError(f"--columns takes ours=theirs, such as user=reviewer, not '{ours}'")
    return [f"data.columns={json.dumps(dict(split))}"] if split else []


def validated(values: Mapping[str, Any]) -> KitConfig:
    """A KitConfig from plain values. Raises KitError with all misfits, each with its key."""
    if not isinstance(values, Mapping):
        raise KitError(f"settings are a table of stages, not {type(values).__name__}")
    try:
        return KitConfig.model_validate(values)
    except ValidationError as error:
        raise KitError("; ".join(dict.fromkeys(_misfit(each) for each in error.errors()))) from None


def settable_keys() -> list[str]:
    """Every key that ``--set`` takes."""
    return ["seed", *(f"{stage}.{field}" for stage, model in _stages().items() for field in model.model_fields)]


def _misfit(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return _unknown(".".join(map(str, error["loc"])))
    key = ".".join(map(str, error["loc"][:2]))  # what follows is pydantic's own name of a choice or a place
    if error["type"] == "tuple_type":
        return f"setting {key}={error['input']!r}: write a list, [{error['input']}]"
    text = str(error.get("ctx", {}).get("error", error["msg"]))
    return f"setting {key}={error['input']!r}: {text[0].lower()}{text[1:]}" if key else text


def _unknown(key: str) -> str:
    close = nearest(key, settable_keys()).partition(" (known:")[0]
    return f"unknown setting '{key}'{close or '; known stages: ' + ', '.join(_stages())}"


def _parsed(key: str, raw: str) -> Any:
    """A number, a truth value or null by YAML's rules, but text for a setting that is text."""
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError:
        raise KitError(f"--set {key}: '{raw}' is not a value; put text with signs in quotation marks") from None
    stage, _, field = key.partition(".")
    info = _stages()[stage].model_fields.get(field) if stage in _stages() else None
    textual = info is not None and info.annotation in (str, str | None)
    return raw if textual and isinstance(value, int | float | datetime.date) else value


def _place(values: dict[str, Any], key: str, value: Any) -> None:
    stage, _, field = key.partition(".")
    if key not in settable_keys():
        raise KitError(_unknown(key))
    if field:
        values.setdefault(stage, {})[field] = value
    else:
        values[key] = value


def _stages() -> dict[str, type[StageConfig]]:
    fields = KitConfig.model_fields.items()
    return {name: info.annotation for name, info in fields if name not in ("profile", "seed")}
