"""Which interactions the settings ask for: the made world, a published dataset, or a folder of the user's own."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb

from delrec_kit.data.engine import stopped
from delrec_kit.data.interactions import Interactions
from delrec_kit.data.sources.amazon import read_amazon
from delrec_kit.data.sources.custom import read_custom
from delrec_kit.data.sources.llara import read_llara
from delrec_kit.data.sources.movielens import read_movielens, read_movielens_1m
from delrec_kit.data.sources.recbole import read_recbole
from delrec_kit.data.sources.steam import read_steam
from delrec_kit.data.validation import Raw, validate
from delrec_kit.run.inputs import check_data_dir, find_folder
from delrec_kit.settings.config import DataConfig

READERS: dict[str, Callable[[Path | None, DataConfig], Raw]] = {
    "ml-100k": read_movielens,
    "ml-1m": read_movielens_1m,
    "amazon": partial(read_amazon, categories=()),
    "beauty": partial(read_amazon, categories=("Beauty", "All_Beauty", "Luxury_Beauty", "Beauty_and_Personal_Care")),
    "home-kitchen": partial(read_amazon, categories=("Home_and_Kitchen",)),
    "steam": read_steam,
    "recbole": read_recbole,
    "llara": read_llara,
    "custom": read_custom,
}


def read_source(config: DataConfig, seed: int = 0) -> Interactions:
    """Validated interactions of a dataset that lies in files, or is downloaded. Raises KitError for what is wrong."""
    check_data_dir(config)
    folder = None if config.data_dir is None else find_folder(config.data_dir)
    try:
        return validate(READERS[config.dataset](folder, config), config, seed)
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        raise stopped(error) from error
