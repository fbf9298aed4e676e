"""Tables for people, whom a spreadsheet program must not surprise."""

import re

import pandas as pd

FORMULA = re.compile(r"[=+\-@\t\r]")


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before each text that a spreadsheet would take for a formula: a title may begin with
    "=" and do what its author likes (OWASP, CSV injection). Numbers, as text too, stay as they are."""
    texts = [column for column in table if not pd.api.types.is_numeric_dtype(table[column])]
    return table.assign(**{column: table[column].map(_harmless) for column in texts}) if texts else table


def _harmless(value: object) -> object:
    if not isinstance(value, str) or not FORMULA.match(value):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
