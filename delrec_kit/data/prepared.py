"""Everything that later stages read of the data, and how it lies on disk."""

from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from delrec_kit.data import filters
from delrec_kit.data.candidates import check_room, draw_candidates
from delrec_kit.data.cold import FILE as COLD_FILE
from delrec_kit.data.cold import ColdItems, choose, cold_items, without
from delrec_kit.data.domain import Domain
from delrec_kit.data.fonts import use_fonts_for
from delrec_kit.data.interactions import Interactions
from delrec_kit.data.made_world.world import make_world, true_probabilities
from delrec_kit.data.ragged import Ragged
from delrec_kit.data.sources import read_source
from delrec_kit.data.split import Split, brought_split, by_user, knowing_all, leave_one_out, of_few, temporal
from delrec_kit.data.statistics import describe, timeline, told_of_ties
from delrec_kit.data.stored import case_table, lists, matrix, read_cases, read_table
from delrec_kit.run.directory import read_json, write_json
from delrec_kit.run.inputs import check_data_dir
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError

MIN_INTERACTIONS = 3  # of a user: one to train on, one to validate, one to test
WORLD_ITEMS = 360
FILTERS_OFF = {"core": 0, "positive": None, "repeats": "keep", "max_length": 0, "untitled": "name", "cold_items": 0.0}


@dataclass(frozen=True)
class PreparedData:
    """Split, candidate sets (U, m) of its validation and test cases, and what is told about the data.

    oracle: (U_test, m) true next-item probabilities of the test candidates, where they are known (demo), as they are
    over the whole catalogue; patterns: of each test case the one that most likely led to its answer.
    timeline: interactions over time (see ``statistics.timeline``). cold: items that were withheld from all of it.
    """

    split: Split
    domain: Domain
    valid_candidates: np.ndarray
    test_candidates: np.ndarray
    statistics: dict
    notices: list[str]
    oracle: np.ndarray | None = None
    timeline: pd.DataFrame = field(default_factory=pd.DataFrame)
    patterns: list[str] | None = None
    cold: ColdItems | None = None

    def save(self, folder: str | Path) -> None:
        """Write items, train, valid and test as Parquet; statistics, domain and notices as JSON; timeline as CSV."""
        folder, split = Path(folder), self.split
        folder.mkdir(parents=True, exist_ok=True)
        cut = {} if split.cut is None else {"cut": split.cut.to_arrow()}
        test = case_table(split.test, self.test_candidates)
        if self.oracle is not None:
            test = test.append_column("oracle", lists(self.oracle)).append_column("pattern", pa.array(self.patterns))
        tables = {
            "items": pa.table({"item": split.item_keys[1:], "title": split.titles[1:]}),
            "train": pa.table({"user": split.user_keys, "items": split.train.to_arrow(), **cut}),
            "valid": case_table(split.valid, self.valid_candidates),
            "test": test,
        }
        for name, table in tables.items():
            pq.write_table(table, folder / f"{name}.parquet")
        write_json(folder / "statistics.json", self.statistics)
        write_json(folder / "data.json", {"domain": asdict(self.domain), "notices": self.notices})
        if self.cold is not None:
            self.cold.save(folder)
        if len(self.timeline):
            self.timeline.to_csv(folder / "timeline.csv", index=False)

    @classmethod
    def load(cls, folder: str | Path) -> "PreparedData":
        """What ``save`` wrote. Raises KitError where a file is missing or a table is damaged."""
        folder = Path(folder)
        for name in ("data.json", "statistics.json"):
            if not (folder / name).is_file():
                raise KitError(f"{folder} has no {name}; run notebook 01 again")
        items, train, valid, test = (
            read_table(folder / f"{name}.parquet") for name in ("items", "train", "valid", "test")
        )
        titles, keys = (["", *items[name].to_pylist()] for name in ("title", "item"))
        cut = Ragged.from_arrow(train["cut"]) if "cut" in train.column_names else None
        sequences, users = Ragged.from_arrow(train["items"]), train["user"].to_pylist()
        about, times = read_json(folder / "data.json"), folder / "timeline.csv"
        use_fonts_for(titles)
        (validates, valid_candidates), (tests, test_candidates) = (read_cases(table) for table in (valid, test))
        return cls(
            Split(titles, keys, users, sequences, validates, tests, cut),
            Domain(**about["domain"]),
            valid_candidates,
            test_candidates,
            read_json(folder / "statistics.json"),
            about["notices"],
            matrix(test["oracle"]) if "oracle" in test.column_names else None,
            pd.read_csv(times, parse_dates=["start"]) if times.is_file() else pd.DataFrame(),
            test["pattern"].to_pylist() if "pattern" in test.column_names else None,
            ColdItems.load(folder) if (folder / COLD_FILE).is_file() else None,
        )


def prepare(config: DataConfig, seed: int) -> PreparedData:
    """Read or make the interactions, validate, filter, split, and draw the candidate sets from ``seed``.

    A split that the data brings is taken as it is, unless ``split`` asks for another: no filter may be set then.
    Raises KitError for whatever is wrong with the settings or the files.
    """
    check_data_dir(config)
    world = make_world(config.world_users, WORLD_ITEMS, seed) if config.dataset == "demo" else None
    interactions = read_source(config, seed) if world is None else world.interactions
    interactions, split, withheld = _split(interactions, config, seed)
    consumed = split.consumed()
    if config.train_users:
        split = of_few(split, config.train_users, seed)
    check_room(split, config.candidates, consumed)
    valid, test = (
        draw_candidates(split, cases, config.candidates, [seed, part], consumed, config.distractors)
        for part, cases in ((1, split.valid), (2, split.test))
    )
    oracle, patterns, cold, truth = None, None, None, None
    if world is not None:
        truth = partial(true_probabilities, world, split.user_keys)
        oracle, patterns = truth(split.item_keys, split.test, test)
    if withheld:
        cold = cold_items(*withheld, split, config.candidates, seed, truth)
    found = describe(interactions, split)
    notices = [*interactions.notices, *told_of_ties(interactions, found, config.ties)]
    return PreparedData(
        split, interactions.domain, valid, test, found, notices, oracle, timeline(interactions), patterns, cold
    )


def _split(
    interactions: Interactions, config: DataConfig, seed: int
) -> tuple[Interactions, Split, tuple[Interactions, dict[str, np.ndarray]] | None]:
    """Filtered interactions, their split, and where items were withheld, the interactions before and which ones."""
    withheld = None
    if interactions.brings_split:  # which is read where data.split=auto alone
        for name, idle in FILTERS_OFF.items():
            if getattr(config, name) != idle:
                raise KitError(
                    f"data.{name}={getattr(config, name)} would break the split that the data brings; set it to "
                    f"{idle}, or data.split=leave-one-out to have another split"
                )
        return interactions, brought_split(interactions), None
    source = interactions
    if config.untitled == "drop":
        interactions = filters.with_titles(interactions)
    if config.positive is not None:
        interactions = filters.positive_only(interactions, config.positive)
    if config.repeats != "keep":
        interactions = filters.one_of_repeats(interactions, config.repeats)
    interactions = _dense_enough(interactions, config)
    if config.cold_items and config.split == "temporal":
        raise KitError(
            "data.cold_items does not know the moments of data.split=temporal; take data.cold_items=newest "
            "with data.split=leave-one-out"
        )
    if config.cold_items:
        withheld = interactions, choose(interactions, config.cold_items, config.candidates, seed)
        interactions = without(*withheld)
    if config.split == "temporal":
        split, notices = temporal(interactions)
        interactions = interactions.noting(*notices)
    elif config.split == "by-user":
        split = by_user(interactions, seed)
    else:
        split = leave_one_out(interactions)
    leaves_out = config.positive is not None or config.max_length or config.split == "temporal"
    return interactions, knowing_all(split, source) if leaves_out else split, withheld


def _dense_enough(interactions: Interactions, config: DataConfig) -> Interactions:
    """Core, shortest and longest sequence, until all three hold at once: each can undo another."""
    rounds = 0
    while True:
        before, rounds = interactions, rounds + 1
        if config.core:
            interactions = filters.k_core(interactions, config.core)
        interactions = filters.drop_short_users(interactions, MIN_INTERACTIONS)
        if config.max_length:
            interactions = filters.last_of_each(interactions, config.max_length)
        if len(interactions) == len(before) and rounds > 1:
            return before  # without the notice of a round that left nothing out
        if not (config.core and config.max_length):
            return interactions
