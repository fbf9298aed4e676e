"""Which interactions the settings ask for: the made world, MovieLens-100K, or a folder of the user's own."""

from typing import TYPE_CHECKING

import numpy as np

from delrec_kit.config import DataConfig
from delrec_kit.data.custom import read_custom
from delrec_kit.data.interactions import Interactions
from delrec_kit.data.movielens import read_movielens
from delrec_kit.data.split import Split
from delrec_kit.errors import KitError

if TYPE_CHECKING:
    from delrec_kit.data.world import World


def read_source(config: DataConfig, seed: int) -> "tuple[Interactions, World | None]":
    """Validated interactions, and for ``demo`` the world that made them, from ``seed``."""
    if config.dataset == "ml-100k":
        return read_movielens(config.data_dir), None
    if config.dataset == "custom":
        if config.data_dir is None:
            raise KitError("the dataset custom needs data.data_dir: a folder with interactions.csv and items.csv")
        return read_custom(config.data_dir, columns=config.columns), None
    if config.data_dir is not None:
        raise KitError("the dataset demo reads no folder; choose ml-100k or custom, or leave data.data_dir out")
    from delrec_kit.data.world import make_world

    world = make_world(config.world_users, config.world_items, seed)
    return world.interactions, world


def true_probabilities(world: "World", split: Split, candidates: np.ndarray) -> np.ndarray:
    """(U, m) what the world gives each test candidate as the next item, over its whole catalogue."""
    place = world.interactions.titles.index.get_indexer(split.item_keys)  # -1 for padding, never asked for
    person = {key: number for number, key in enumerate(world.interactions.frame["user"].cat.categories)}
    rows = np.empty(candidates.shape)
    for row, (user, history) in enumerate(zip(split.test.user, split.test.history)):
        chances = world.next_distribution(person[split.user_keys[user]], place[history])
        rows[row] = chances[place[candidates[row]]]
    return rows
