"""Leaving out users, items and interactions; every such step is counted."""

from dataclasses import replace

import numpy as np

from delrec_kit.data.interactions import Interactions
from delrec_kit.data.titles import EMPTY_TITLES
from delrec_kit.settings.errors import KitError


def drop_short_users(interactions: Interactions, minimum: int) -> Interactions:
    """Without the users of fewer than ``minimum`` interactions. Raises KitError if no user remains."""
    counts = f"SELECT user, count(*) AS n FROM {interactions.table} GROUP BY user"
    short, users, most = interactions.engine.one(
        f"SELECT count(*) FILTER (n < {minimum}), count(*), max(n) FROM ({counts})"
    )
    if short == users:
        raise KitError(
            f"no user has {minimum} interactions or more (the most is {most or 0}); a user needs at least "
            "3: one to train on, one to validate, one to test"
        )
    if not short:
        return interactions
    few = f"SELECT user FROM ({counts}) WHERE n < {minimum}"
    return interactions.keep(f"user NOT IN ({few})", f"{short} users with fewer than {minimum} interactions left out")


def k_core(interactions: Interactions, core: int) -> Interactions:
    """The largest part in which every user and every item has at least ``core`` interactions.

    Users and items are dropped in turn until nothing changes; dropped items leave the catalogue too. 0 and 1 drop
    only catalogue items that nobody has. Raises KitError if nothing remains.
    """
    engine, rows = interactions.engine, len(interactions)
    users = engine.one(f"SELECT count(DISTINCT user) FROM {interactions.table}")[0]
    left = interactions
    while True:
        few = [
            engine.table(f"SELECT {name} FROM {left.table} GROUP BY {name} HAVING count(*) < {core}")
            for name in ("user", "item")
        ]
        if not sum(map(engine.count, few)):
            break
        if left is interactions:
            left = interactions.keep("true")
        for name, table in zip(("user", "item"), few):
            engine.run(f"DELETE FROM {left.table} WHERE {name} IN (SELECT {name} FROM {table})")
    if not len(left):
        raise KitError(f"data.core={core} leaves no interactions; take a smaller number")
    kept = np.isin(interactions.places, engine.frame(f"SELECT DISTINCT item FROM {left.table}")["item"])
    gone = users - engine.one(f"SELECT count(DISTINCT user) FROM {left.table}")[0]
    notice = f"{core}-core: {gone} users, {(~kept).sum()} items and {rows - len(left)} interactions left out"
    return replace(left, titles=left.titles[kept], places=left.places[kept]).noting(notice)


def positive_only(interactions: Interactions, least: float) -> Interactions:
    """Only interactions whose label, or where there is none rating, is at least ``least``.

    Raises KitError where there is neither, or nothing so high.
    """
    there = interactions.engine.columns(interactions.table)
    name = next((name for name in ("label", "rating") if name in there), None)
    if name is None:
        raise KitError(f"data.positive={least:g}, but this data has neither labels nor ratings; set it to null")
    gone = len(interactions) - (kept := interactions.engine.count(interactions.table, f"{name} >= {least}"))
    if not kept:
        raise KitError(f"data.positive={least:g} leaves no interactions; take a smaller number")
    what = "labelled" if name == "label" else "rated"
    return _kept(interactions, f"{name} >= {least}", f"{gone} interactions {what} below {least:g}")


def with_titles(interactions: Interactions) -> Interactions:
    """Without the items whose title is empty. Raises KitError if nothing remains."""
    titled = ~interactions.titles.index.isin(list(interactions.untitled))
    lost = interactions.engine.given(item=interactions.places[~titled])
    condition = f"item NOT IN (SELECT item FROM {lost})"
    kept = interactions.engine.count(interactions.table, condition)
    if not kept:
        raise KitError("no interaction is with an item that has a title; do the items bear titles in their file?")
    if titled.all():
        return interactions
    named = [notice for notice in interactions.notices if EMPTY_TITLES not in notice]
    gone = len(interactions) - kept
    what = f"{(~titled).sum()} items without a title and their {gone} interactions"
    return _kept(replace(interactions, notices=named), condition, what, titled)


def one_of_repeats(interactions: Interactions, which: str) -> Interactions:
    """Of a user's interactions with the same item only the ``first`` or the ``last`` by time."""
    end = "min" if which == "first" else "max"
    chosen = f"rowid IN (SELECT {end}(rowid) FROM {interactions.table} GROUP BY user, item)"
    gone = len(interactions) - interactions.engine.count(interactions.table, chosen)
    if not gone:
        return interactions
    return interactions.keep(chosen, f"{gone} choices of an item that the user had before or after left out")


def last_of_each(interactions: Interactions, length: int) -> Interactions:
    """Of each user only the last ``length`` interactions."""
    ends = f"SELECT user, max(rowid) AS last, count(*) AS n FROM {interactions.table} GROUP BY user"
    users = interactions.engine.count(f"({ends})", f"n > {length}")
    if not users:
        return interactions
    number = "row_number() OVER (PARTITION BY user ORDER BY rowid DESC) AS n"
    ranked = f"SELECT rowid AS place, {number} FROM {interactions.table}"
    kept = interactions.keep(f"rowid IN (SELECT place FROM ({ranked}) WHERE n <= {length})")
    gone = len(interactions) - len(kept)
    return kept.noting(f"{gone} interactions of {users} users before their last {length} left out")


def _kept(interactions: Interactions, condition: str, what: str, items: np.ndarray | None = None) -> Interactions:
    """The rows, with a notice that tells how many users go with the others."""
    users = f"SELECT count(DISTINCT user), count(DISTINCT user) FILTER ({condition}) FROM {interactions.table}"
    before, after = interactions.engine.one(users)
    also = f", and with them {before - after} users," if before > after else ""
    return interactions.keep(condition, f"{what}{also} left out", items)
