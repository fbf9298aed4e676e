"""Which interactions the settings ask for: the made world, a published dataset, or a folder of the user's own."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from delrec_kit.data.amazon import read_amazon
from delrec_kit.data.custom import read_custom
from delrec_kit.data.interactions import Interactions
from delrec_kit.data.llara import read_llara
from delrec_kit.data.movielens import read_movielens, read_movielens_1m
from delrec_kit.data.recbole import read_recbole
from delrec_kit.data.split import Split
from delrec_kit.data.steam import read_steam
from delrec_kit.run.inputs import check_data_dir
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError

if TYPE_CHECKING:
    from delrec_kit.data.world import World

READERS: dict[str, Callable[[str], Interactions]] = {
    "ml-100k": read_movielens,
    "ml-1m": read_movielens_1m,
    "beauty": partial(read_amazon, dataset="beauty"),
    "home-kitchen": partial(read_amazon, dataset="home-kitchen"),
    "steam": read_steam,
    "recbole": read_recbole,
    "llara": read_llara,
    "custom": read_custom,
}


def read_source(config: DataConfig, seed: int) -> "tuple[Interactions, World | None]":
    """Validated interactions, and for ``demo`` the world that made them, from ``seed``."""
    check_data_dir(config)
    if config.dataset == "custom":
        return read_custom(config.data_dir, columns=config.columns), None
    if config.dataset in READERS:
        return READERS[config.dataset](config.data_dir), None
    if config.data_dir is not None:
        raise KitError("the dataset demo reads no folder; choose another dataset, or leave data.data_dir out")
    from delrec_kit.data.world import make_world

    world = make_world(config.world_users, config.world_items, seed)
    return world.interactions, world


def true_probabilities(world: "World", split: Split, candidates: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """(U, m) what the world gives each test candidate as the next item, over its whole catalogue; and of each test case
    the pattern that most likely led to the answer."""
    place = world.interactions.titles.index.get_indexer(split.item_keys)  # -1 for padding, never asked for
    person = {key: number for number, key in enumerate(world.interactions.frame["user"].cat.categories)}
    rows, patterns = np.empty(candidates.shape), []
    for row, (user, history) in enumerate(zip(split.test.user, split.test.history)):
        parts = world.parts_of_next(person[split.user_keys[user]], place[history])
        rows[row] = sum(parts.values())[place[candidates[row]]]
        patterns.append(world.likeliest(parts, place[split.test.target[row]]))
    return rows, patterns
