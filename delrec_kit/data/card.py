"""The dataset card: what the data is like after all that was dropped, beside what has been published of it."""

import pandas as pd

PUBLISHED = {
    "ml-100k": [("GroupLens, README of ml-100k", 943, 1682, 100_000)],
    "ml-1m": [
        ("GroupLens, ml-1m, rated items", 6040, 3706, 1_000_209),
        ("SASRec, arXiv 1808.09781 (5-core)", 6040, 3416, 1_000_000),
    ],
    "steam": [("SASRec, arXiv 1808.09781 (5-core)", 334_730, 13_047, 3_700_000)],
    "beauty": [
        ("SASRec, arXiv 1808.09781 (2014, 5-core)", 52_024, 57_289, 400_000),
        ("Amazon Reviews 2023, Beauty_and_Personal_Care, 5-core", 729_600, 207_600, 6_600_000),
    ],
    "home-kitchen": [("Amazon Reviews 2023, Home_and_Kitchen, 5-core", 2_900_000, 763_600, 28_200_000)],
}
ROWS = {
    "rows_read": "rows in the file",
    "users": "users",
    "items": "items in the catalogue",
    "items_nobody_had": "  of them nobody had",
    "interactions": "interactions",
    "density": "density",
    "length.median": "interactions a user, median",
    "length.min": "  least",
    "length.max": "  most",
    "first_day": "first day",
    "last_day": "last day",
    "days": "days between them",
    "ties_in_time": "neighbours with the same time",
    "last_two_tie": "users whose last two have the same time",
    "repeated_choices": "choices of an item had before",
    "duplicate_titles": "titles that several items bear",
    "training_users": "users that train",
    "training_interactions": "interactions that train",
    "valid_cases": "validation cases",
    "test_cases": "test cases",
    "cold_users": "  of users that do not train",
    "cold_items": "  with a target that does not train",
}
SHARES = {"density", "ties_in_time", "last_two_tie"}


def dataset_card(statistics: dict, dataset: str) -> pd.DataFrame:
    """What ``statistics.describe`` found, as text to read, with a column a published count of the same data.

    Published counts differ from these where filters do: they are there to be compared, not to be met.
    """
    flat = pd.json_normalize(statistics).iloc[0].to_dict()
    shown = {label: _text(key, flat.get(key)) for key, label in ROWS.items() if key in flat or key != "rows_read"}
    card = pd.DataFrame({"this run": shown})
    if "first_day" not in flat:
        card.loc["days between them"] = ""
    for source, users, items, interactions in PUBLISHED.get(dataset, ()):
        counts = {"users": users, "items in the catalogue": items, "interactions": interactions}
        card[source] = [f"{counts[label]:,}" if label in counts else "" for label in card.index]
    return card


def _text(key: str, value: object) -> str:
    if value is None:
        return "unknown: the order of rows stands for time" if key in ("first_day", "last_day") else ""
    if key in SHARES:
        return f"{value:.2%}"
    return value if isinstance(value, str) else f"{value:,.0f}"


def left_out(notices: list[str]) -> pd.DataFrame:
    """What was read in another way, tidied, left out or is to be minded, each with its count where it has one."""
    parts = [notice.split(" ", 1) if notice[0].isdigit() else ["", notice] for notice in notices]
    return pd.DataFrame(parts, columns=["count", "what was done, and what to mind"])
