"""Leaving out users and items with too few interactions; every such step is counted."""

from dataclasses import replace

import numpy as np
import pandas as pd

from delrec_kit.data.interactions import Interactions
from delrec_kit.errors import KitError


def drop_short_users(interactions: Interactions, minimum: int) -> Interactions:
    """Without the users of fewer than ``minimum`` interactions. Raises KitError if no user remains."""
    frame = interactions.frame
    user, keys = pd.factorize(frame["user"])
    counts = np.bincount(user, minlength=len(keys))
    short = counts < minimum
    if short.all():
        longest = counts.max() if len(counts) else 0
        raise KitError(
            f"no user has {minimum} interactions or more (the most is {longest}); leave-one-out needs at least 3: "
            "one to train on, one to validate, one to test"
        )
    if not short.any():
        return interactions
    notice = f"{short.sum()} users with fewer than {minimum} interactions left out"
    return replace(
        interactions,
        frame=frame[~short[user]].reset_index(drop=True),
        notices=[*interactions.notices, notice],
    )


def k_core(interactions: Interactions, core: int) -> Interactions:
    """The largest part in which every user and every item has at least ``core`` interactions.

    Users and items are dropped in turn until nothing changes; dropped items leave the catalogue too. 0 and 1 drop
    only catalogue items that nobody has. Raises KitError if nothing remains.
    """
    frame = interactions.frame
    user, users = pd.factorize(frame["user"])
    item = interactions.titles.index.get_indexer(frame["item"])
    keep = np.ones(len(frame), dtype=bool)
    while True:
        per_user = np.bincount(user[keep], minlength=len(users))
        per_item = np.bincount(item[keep], minlength=len(interactions.titles))
        still = keep & (per_user[user] >= core) & (per_item[item] >= core)
        if still.sum() == keep.sum():
            break
        keep = still
    if not keep.any():
        raise KitError(f"data.core={core} leaves no interactions; take a smaller number")
    kept_items = per_item > 0
    gone = (len(users) - (per_user > 0).sum(), (~kept_items).sum(), (~keep).sum())
    notice = f"{core}-core: {gone[0]} users, {gone[1]} items and {gone[2]} interactions left out"
    return replace(
        interactions,
        frame=frame[keep].reset_index(drop=True),
        titles=interactions.titles[kept_items],
        notices=[*interactions.notices, notice],
    )
