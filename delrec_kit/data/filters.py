"""Leaving out users, items and interactions; every such step is counted."""

from dataclasses import replace

import numpy as np

from delrec_kit.data.interactions import Interactions
from delrec_kit.data.titles import EMPTY_TITLES
from delrec_kit.settings.errors import KitError


def drop_short_users(interactions: Interactions, minimum: int) -> Interactions:
    """Without the users of fewer than ``minimum`` interactions. Raises KitError if no user remains."""
    counts = np.bincount(interactions.users)
    short = counts < minimum
    if short.all():
        raise KitError(
            f"no user has {minimum} interactions or more (the most is {counts.max(initial=0)}); a user needs at least "
            "3: one to train on, one to validate, one to test"
        )
    if not short.any():
        return interactions
    notice = f"{short.sum()} users with fewer than {minimum} interactions left out"
    return interactions.keep(~short[interactions.users], notice)


def k_core(interactions: Interactions, core: int) -> Interactions:
    """The largest part in which every user and every item has at least ``core`` interactions.

    Users and items are dropped in turn until nothing changes; dropped items leave the catalogue too. 0 and 1 drop
    only catalogue items that nobody has. Raises KitError if nothing remains.
    """
    user, item = interactions.users, interactions.items
    users, items = int(user.max()) + 1, len(interactions.titles)
    rows = np.ones(len(user), dtype=bool)
    left = len(rows)
    while True:
        per_user, per_item = np.bincount(user[rows], minlength=users), np.bincount(item[rows], minlength=items)
        rows &= (per_user >= core)[user]
        rows &= (per_item >= core)[item]
        if (now := int(rows.sum())) == left:
            break
        left = now
    if not left:
        raise KitError(f"data.core={core} leaves no interactions; take a smaller number")
    kept = per_item > 0
    gone = (users - (per_user > 0).sum(), (~kept).sum(), len(rows) - left)
    notice = f"{core}-core: {gone[0]} users, {gone[1]} items and {gone[2]} interactions left out"
    return interactions.keep(rows, notice, kept)


def above_rating(interactions: Interactions, threshold: float) -> Interactions:
    """Only interactions rated ``threshold`` or higher. Raises KitError where there are no ratings, or none so high."""
    if "rating" not in interactions.frame:
        raise KitError(f"data.min_rating={threshold:g}, but this data has no ratings; set it to null")
    high = interactions.frame["rating"].to_numpy() >= threshold
    if not high.any():
        raise KitError(f"data.min_rating={threshold:g} leaves no interactions; take a smaller number")
    notice = f"{(~high).sum()} interactions rated below {threshold:g}{_and_users(interactions, high)} left out"
    return interactions.keep(high, notice)


def with_titles(interactions: Interactions) -> Interactions:
    """Without the items whose title is empty. Raises KitError if nothing remains."""
    titled = ~interactions.titles.index.isin(list(interactions.untitled))
    rows = titled[interactions.items]
    if not rows.any():
        raise KitError("no interaction is with an item that has a title; do the items bear titles in their file?")
    if titled.all():
        return interactions
    named = [notice for notice in interactions.notices if EMPTY_TITLES not in notice]
    interactions = replace(interactions, notices=named)
    notice = (
        f"{(~titled).sum()} items without a title and their {(~rows).sum()} interactions"
        f"{_and_users(interactions, rows)} left out"
    )
    return interactions.keep(rows, notice, titled)


def _and_users(interactions: Interactions, rows: np.ndarray) -> str:
    """How many users go with the other rows, in words."""
    user = interactions.users
    gone = len(interactions.frame["user"].cat.categories) - np.count_nonzero(np.bincount(user[rows]))
    return f", and with them {gone} users," if gone else ""


def one_of_repeats(interactions: Interactions, which: str) -> Interactions:
    """Of a user's interactions with the same item only the ``first`` or the ``last`` by time."""
    code = interactions.users.astype(np.int64) * len(interactions.titles) + interactions.items
    order = np.argsort(code, kind="stable")
    again = code[order][1:] == code[order][:-1]
    dropped = np.zeros(len(code), dtype=bool)
    dropped[order] = np.append(False, again) if which == "first" else np.append(again, False)
    if not dropped.any():
        return interactions
    return interactions.keep(~dropped, f"{dropped.sum()} choices of an item that the user had before or after left out")


def last_of_each(interactions: Interactions, length: int) -> Interactions:
    """Of each user only the last ``length`` interactions."""
    user = interactions.users
    counts = np.bincount(user)
    from_end = counts.cumsum()[user] - np.arange(len(user))
    kept = from_end <= length
    if kept.all():
        return interactions
    notice = f"{(~kept).sum()} interactions of {(counts > length).sum()} users before their last {length} left out"
    return interactions.keep(kept, notice)
