"""Items that no training has seen: withheld before the split, so that nothing that is learned from can know of them.

Two parts are withheld, each of them drawn like the other: ``test`` items are ranked at the end, ``valid`` items, half
as many, tell how far each ranker is to be trusted where no choice was ever seen.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from delrec_kit.data.cold_questions import ColdQuestions
from delrec_kit.data.interactions import Interactions
from delrec_kit.data.ragged import Ragged
from delrec_kit.data.split import Cases, Split
from delrec_kit.data.stored import case_table, lists, matrix, read_cases, read_table
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.streams import stream

NEWEST = 0.1  # share of the items where cold_items=newest
LEAST = 10  # choices of an item that may be withheld: enough to be asked for
PARTS = ("valid", "test")
Truth = Callable[[list[str], Cases, np.ndarray], tuple[np.ndarray, list[str]]]
COLD, MIXED = "cold", "mixed"
FILE = "cold_items.parquet"


@dataclass(frozen=True)
class ColdItems:
    """M items that stand behind the N of the split, as N+1 … N+M.

    part (M,): "valid" or "test"; counts (M,): choices of each in all the data, which no ranker is told; sets: protocol
    -> part -> cases and their candidates (U, m); oracle: protocol -> (U, m) true probabilities of the test candidates,
    where they are known, of people all of whose choices are.

    Asked are the people of whom the split asks something in that part.
    ``cold``: the answer and the others are items of that part. ``mixed``: for one half of the people the answer is
    cold, for the other it is the split's; about half of the candidates are cold either way, and of those that could be
    drawn the nearest to the answer in popularity, so that neither "new" nor "popular" tells it.
    """

    titles: list[str]
    item_keys: list[str]
    part: list[str]
    counts: np.ndarray
    sets: dict[str, dict[str, tuple[Cases, np.ndarray]]]
    oracle: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.titles)

    def save(self, folder: Path) -> None:
        """Write ``cold_items.parquet`` and a table for each set, such as ``cold_test.parquet``."""
        table = {"item": self.item_keys, "title": self.titles, "part": self.part, "count": self.counts}
        pq.write_table(pa.table(table), folder / FILE)
        for name, parts in self.sets.items():
            for part, (cases, candidates) in parts.items():
                table = case_table(cases, candidates)
                if part == "test" and name in self.oracle:
                    table = table.append_column("oracle", lists(self.oracle[name]))
                pq.write_table(table, folder / f"{name}_{part}.parquet")

    @classmethod
    def load(cls, folder: Path) -> "ColdItems":
        """What ``save`` wrote. Raises KitError where a table is missing or damaged."""
        items = read_table(folder / FILE)
        tables = {
            name: {part: read_table(folder / f"{name}_{part}.parquet") for part in PARTS} for name in (COLD, MIXED)
        }
        sets = {name: {part: read_cases(table) for part, table in parts.items()} for name, parts in tables.items()}
        known = {name: parts["test"] for name, parts in tables.items() if "oracle" in parts["test"].column_names}
        columns = [items[name].to_pylist() for name in ("title", "item", "part", "count")]
        oracle = {name: matrix(table["oracle"]) for name, table in known.items()}
        return cls(*columns[:3], np.array(columns[3]), sets, oracle)


def choose(interactions: Interactions, wanted: float | str, m: int, seed: int) -> dict[str, np.ndarray]:
    """Places in the catalogue (rising) of the items to withhold, by part.

    wanted: the share that tests, drawn evenly over popularity, or "newest": those that were first chosen last. An item
    needs a title of its own, and ``LEAST`` choices where enough have as many. Raises KitError where that leaves too
    few for m candidates.
    """
    share = NEWEST if wanted == "newest" else wanted
    query = f"SELECT item, count(*) AS n, min(time) AS first FROM {interactions.table} GROUP BY item"
    each = interactions.engine.frame(query).set_index("item").reindex(interactions.places)
    counts, first = (each[name].fillna(0).to_numpy(np.int64) for name in ("n", "first"))
    tests = round(share * len(counts))
    total = tests + max(tests // 2, 2 * m)  # a user may have had many of them
    least = min(LEAST, max(2, np.sort(counts)[::-1][: 2 * total].min()))  # where few are popular, less will do
    fit = np.flatnonzero((counts >= least) & ~interactions.titles.duplicated(keep=False).to_numpy())
    if tests < 2 * m or total > len(fit):
        raise KitError(
            f"data.cold_items={wanted} would withhold {tests} of {len(counts)} items for the test and {total - tests} "
            f"for validation; {len(fit)} have {least} choices and a title of their own. The test needs twice "
            f"data.candidates={m}, and both together no more than these; take another share, or 0"
        )
    rng = stream(seed, "cold items")
    if wanted == "newest":
        chosen = fit[np.argsort(first[fit], kind="stable")][-total:]
    else:
        ordered = fit[np.lexsort((rng.random(len(fit)), counts[fit]))]
        chosen = np.array([rng.choice(group) for group in np.array_split(ordered, total)])
    chosen = chosen[np.lexsort((rng.random(total), counts[chosen]))]  # both parts over all popularities
    places = np.floor(np.arange(total - tests) * total / (total - tests)).astype(int)
    validates = np.isin(np.arange(total), places)
    return {"valid": np.sort(chosen[validates]), "test": np.sort(chosen[~validates])}


def without(interactions: Interactions, chosen: dict[str, np.ndarray]) -> Interactions:
    """The interactions, and the catalogue, without the chosen items."""
    gone = np.sort(np.concatenate(list(chosen.values())))
    places = interactions.engine.given(item=interactions.places[gone].astype(np.int32))
    kept = ~np.isin(np.arange(len(interactions.titles)), gone)
    rows = len(interactions)
    left = interactions.keep(f"item NOT IN (SELECT item FROM {places})", items=kept)
    return left.noting(
        f"{len(gone)} items withheld from all training (data.cold_items), with {rows - len(left)} interactions: "
        f"{len(chosen['test'])} are ranked at the end, {len(chosen['valid'])} tell whom to trust there"
    )


def cold_items(
    interactions: Interactions,
    chosen: dict[str, np.ndarray],
    split: Split,
    m: int,
    seed: int,
    truth: Truth | None = None,
) -> ColdItems:
    """The withheld items of ``interactions``, behind those of a split that was made without them, and what is asked.

    truth: (keys of the items, cases with all that their users had, candidates) -> true probabilities, where known.
    """
    order = np.concatenate([chosen[part] for part in PARTS])
    titles, keys = (values[order].tolist() for values in (interactions.titles.to_numpy(), interactions.titles.index))
    part = np.repeat(PARTS, [len(chosen[name]) for name in PARTS])
    number = pd.Index([*split.item_keys, *keys]).get_indexer(interactions.titles.index)  # of each in the catalogue
    sequences, users = interactions.sequences()
    everyone = Ragged(number[sequences.values - 1], sequences.offsets)
    everyone = everyone.take(pd.Index(users).get_indexer(split.user_keys))
    whole = [*split.titles, *titles]
    asked = ColdQuestions(
        everyone, len(split.titles), whole, np.bincount(everyone.values, minlength=len(whole)), m, seed
    )
    sets = {COLD: {}, MIXED: {}}
    for name in PARTS:
        new = len(split.titles) + np.flatnonzero(part == name)
        cases, people = asked.cases(new, name), getattr(split, name).user
        cases = cases.take(np.flatnonzero(np.isin(cases.user, people)))
        if not len(cases):
            raise KitError("nobody who is asked chose a withheld item after any other; take a larger data.cold_items")
        sets[COLD][name] = cases, asked.among_cold(cases, new, name)
        sets[MIXED][name] = asked.mixed(cases, getattr(split, name), new, name)
    oracle = {}
    if truth is not None:
        names = [*split.item_keys, *keys]
        oracle = {name: truth(names, asked.whole(of["test"][0]), of["test"][1])[0] for name, of in sets.items()}
    return ColdItems(titles, keys, part.tolist(), asked.counts[len(split.titles) :], sets, oracle)
