"""Everything that later stages read of the data, and how it lies on disk."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from delrec_kit.data.candidates import draw_candidates
from delrec_kit.data.domain import Domain
from delrec_kit.data.filters import above_rating, drop_short_users, k_core, last_of_each, one_of_repeats, with_titles
from delrec_kit.data.interactions import Interactions
from delrec_kit.data.ragged import Ragged
from delrec_kit.data.sources import read_source, true_probabilities
from delrec_kit.data.split import Cases, Split, brought_split, by_user, knowing_all, leave_one_out, temporal
from delrec_kit.data.statistics import describe, timeline
from delrec_kit.run.directory import read_json, write_json
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError

FILTERS_OFF = {
    "core": 0,
    "min_rating": None,
    "repeats": "keep",
    "max_length": 0,
    "untitled": "name",
    "min_interactions": 3,
}


@dataclass(frozen=True)
class PreparedData:
    """Split, candidate sets (U, m) of its validation and test cases, and what is told about the data.

    oracle: (U_test, m) true next-item probabilities of the test candidates, where they are known (demo), as they are
    over the whole catalogue; patterns: of each test case the one that most likely led to its answer.
    timeline: interactions over time (see ``statistics.timeline``).
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

    def save(self, folder: str | Path) -> None:
        """Write items, train, valid and test as Parquet; statistics, domain and notices as JSON; timeline as CSV."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        split = self.split
        pq.write_table(pa.table({"item": split.item_keys[1:], "title": split.titles[1:]}), folder / "items.parquet")
        users = {"user": split.user_keys, "items": split.train.to_arrow()}
        if split.cut is not None:
            users["cut"] = split.cut.to_arrow()
        pq.write_table(pa.table(users), folder / "train.parquet")
        pq.write_table(_case_table(split.valid, self.valid_candidates), folder / "valid.parquet")
        test = _case_table(split.test, self.test_candidates)
        if self.oracle is not None:
            test = test.append_column("oracle", _lists(self.oracle)).append_column("pattern", pa.array(self.patterns))
        pq.write_table(test, folder / "test.parquet")
        write_json(folder / "statistics.json", self.statistics)
        write_json(folder / "data.json", {"domain": asdict(self.domain), "notices": self.notices})
        if len(self.timeline):
            self.timeline.to_csv(folder / "timeline.csv", index=False)

    @classmethod
    def load(cls, folder: str | Path) -> "PreparedData":
        """What ``save`` wrote. Raises KitError where a file is missing or a table is damaged."""
        folder = Path(folder)
        for name in ("items.parquet", "train.parquet", "valid.parquet", "test.parquet", "data.json", "statistics.json"):
            if not (folder / name).is_file():
                raise KitError(f"{folder} has no {name}; run notebook 01 again")
        items, train, valid, test = (_table(folder / f"{name}.parquet") for name in ("items", "train", "valid", "test"))
        split = Split(
            titles=["", *items["title"].to_pylist()],
            item_keys=["", *items["item"].to_pylist()],
            user_keys=train["user"].to_pylist(),
            train=Ragged.from_arrow(train["items"]),
            valid=_cases(valid),
            test=_cases(test),
            cut=Ragged.from_arrow(train["cut"]) if "cut" in train.column_names else None,
        )
        about, times = read_json(folder / "data.json"), folder / "timeline.csv"
        return cls(
            split,
            Domain(**about["domain"]),
            _matrix(valid["candidates"]),
            _matrix(test["candidates"]),
            read_json(folder / "statistics.json"),
            about["notices"],
            _matrix(test["oracle"]) if "oracle" in test.column_names else None,
            pd.read_csv(times, parse_dates=["start"]) if times.is_file() else pd.DataFrame(),
            test["pattern"].to_pylist() if "pattern" in test.column_names else None,
        )


def prepare(config: DataConfig, seed: int) -> PreparedData:
    """Read or make the interactions, validate, filter, split, and draw the candidate sets from ``seed``.

    A split that the data brings is taken as it is, unless ``split`` asks for another: no filter may be set then.
    Raises KitError for whatever is wrong with the settings or the files.
    """
    interactions, world = read_source(config, seed)
    interactions, split = _split(interactions, config, seed)
    consumed = split.consumed()
    valid, test = (
        draw_candidates(split, cases, config.candidates, [seed, part], consumed, config.distractors)
        for part, cases in ((1, split.valid), (2, split.test))
    )
    oracle, patterns = (None, None) if world is None else true_probabilities(world, split, test)
    return PreparedData(
        split,
        interactions.domain,
        valid,
        test,
        describe(interactions, split),
        list(interactions.notices),
        oracle,
        timeline(interactions),
        patterns,
    )


def _split(interactions: Interactions, config: DataConfig, seed: int) -> tuple[Interactions, Split]:
    if "split" in interactions.frame:
        if config.split == "auto":
            for name, idle in FILTERS_OFF.items():
                if getattr(config, name) != idle:
                    raise KitError(
                        f"data.{name}={getattr(config, name)} would break the split that the data brings; set it to "
                        f"{idle}, or data.split=leave-one-out to have another split"
                    )
            return interactions, brought_split(interactions)
        frame = interactions.frame.drop(columns="split").drop_duplicates(ignore_index=True)
        interactions = replace(interactions, frame=frame)
    source = interactions
    if config.untitled == "drop":
        interactions = with_titles(interactions)
    if config.min_rating is not None:
        interactions = above_rating(interactions, config.min_rating)
    if config.repeats != "keep":
        interactions = one_of_repeats(interactions, config.repeats)
    interactions = _dense_enough(interactions, config)
    if config.split == "temporal":
        split, notices = temporal(interactions)
        interactions = replace(interactions, notices=[*interactions.notices, *notices])
    elif config.split == "by-user":
        split = by_user(interactions, seed)
    else:
        split = leave_one_out(interactions)
    leaves_out = config.min_rating is not None or config.max_length or config.split == "temporal"
    return interactions, knowing_all(split, source) if leaves_out else split


def _dense_enough(interactions: Interactions, config: DataConfig) -> Interactions:
    """Core, shortest and longest sequence, until all three hold at once: each can undo another."""
    rounds = 0
    while True:
        before, rounds = interactions, rounds + 1
        if config.core:
            interactions = k_core(interactions, config.core)
        interactions = drop_short_users(interactions, config.min_interactions)
        if config.max_length:
            interactions = last_of_each(interactions, config.max_length)
        if len(interactions.frame) == len(before.frame) and rounds > 1:
            return before  # without the notice of a round that left nothing out
        if not (config.core and config.max_length):
            return interactions


def _table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise KitError(f"{path} is damaged or cut off; delete it and run notebook 01 again") from error


def _case_table(cases: Cases, candidates: np.ndarray) -> pa.Table:
    columns = {
        "user": cases.user,
        "history": cases.history.to_arrow(),
        "target": cases.target,
        "candidates": _lists(candidates),
    }
    return pa.table(columns)


def _lists(matrix: np.ndarray) -> pa.ListArray:
    rows, m = matrix.shape
    return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1) * m, pa.int32()), pa.array(matrix.ravel()))


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    return column.combine_chunks().flatten().to_numpy().reshape(len(column), -1)


def _cases(table: pa.Table) -> Cases:
    return Cases(table["user"].to_numpy(), Ragged.from_arrow(table["history"]), table["target"].to_numpy())
