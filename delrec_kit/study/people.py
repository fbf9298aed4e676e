"""For whom is recommended: users of the data, or people who are brought, with what they had by item id or by title."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.data import Cases, Ragged, Split
from delrec_kit.data.titles import items_of
from delrec_kit.settings.errors import KitError
from delrec_kit.study.study import Study

READERS = {
    ".csv": lambda path: pd.read_csv(path, dtype=str, keep_default_na=False),
    ".parquet": pd.read_parquet,
    ".jsonl": lambda path: pd.read_json(path, lines=True, dtype=False),
}


@dataclass(frozen=True)
class People:
    """keys: U ids as their owner writes them; cases (U): whole histories, oldest first; had (U): items that are not
    recommended again, those of the history among them, each once."""

    keys: list[str]
    cases: Cases
    had: Ragged

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: np.ndarray) -> "People":
        return People([self.keys[row] for row in rows], self.cases.take(rows), self.had.take(rows))


def asked_for(
    study: Study, history: Sequence[str] | None, histories: Path | None, users: Sequence[str] | None
) -> People:
    """One person by titles, those of a file, users by id, or all users, whichever is named first."""
    if history:
        return person_of(study, history)
    return people_from(study, histories) if histories else users_of(study, users)


def users_of(study: Study, keys: Sequence[str] | None = None) -> People:
    """Users of the data, by default all. Raises KitError for an unknown one, naming the nearest.

    The history is all that is known of a user, test target included: what is asked for is the future.
    """
    split = study.data.split
    rows = np.arange(len(split.user_keys))
    if keys is not None:
        keys = list(dict.fromkeys(keys))
        rows = pd.Index(split.user_keys).get_indexer(keys)
        if (rows < 0).any():
            unknown = next(key for key, row in zip(keys, rows, strict=True) if row < 0)
            raise KitError(f"no user '{str(unknown)[:80]}' in the data{_near(unknown, split.user_keys)}")
    cases = Cases.of_histories(whole_histories(split).take(rows), rows)
    return People([split.user_keys[row] for row in rows], cases, study.consumed.take(rows))


def whole_histories(split: Split) -> Ragged:
    """(U) each user's items, oldest first: up to the test target, else up to the validation target, else those that
    train."""
    sources = [split.train, *(_with_target(cases) for cases in (split.valid, split.test))]
    values, lengths = (np.concatenate([getattr(s, name) for s in sources]) for name in ("values", "lengths"))
    U = len(split.user_keys)
    source = np.arange(U)
    source[split.valid.user] = U + np.arange(len(split.valid))
    source[split.test.user] = U + len(split.valid) + np.arange(len(split.test))
    return Ragged.of_lengths(values, lengths).take(source)


def people_from(study: Study, path: str | Path) -> People:
    """People from a ``.csv``, ``.parquet`` or ``.jsonl`` file, as ``people_of`` reads its rows. Raises KitError also
    for a file that is not there, or is none of these."""
    path = Path(path).expanduser()
    if path.suffix not in READERS:
        raise KitError(f"{path}: histories are read from files that end in {', '.join(READERS)}")
    if not path.is_file():
        raise KitError(f"no file {path} with histories")
    try:
        frame = READERS[path.suffix](path)
    except (ValueError, OSError) as error:  # pandas' and pyarrow's own errors are ValueErrors
        raise KitError(f"{path} cannot be read: {(str(error).splitlines() or [''])[0][:200]}") from error
    return people_of(study, frame, path.name)


def people_of(study: Study, frame: pd.DataFrame, name: str = "histories") -> People:
    """People from a table with a row an item that somebody had: user, item or title, and timestamp where rows do not
    stand oldest first. The ids are the caller's; nothing else is known of these people.

    Raises KitError for a column that is missing, an empty field, an unknown item, or a time that is none, naming the
    first row.
    """
    frame = whole_ids(frame, name)
    by = next((column for column in ("item", "title") if column in frame), None)
    if "user" not in frame or by is None:
        raise KitError(f"{name} has columns {', '.join(map(str, frame.columns))}; it needs user, and item or title")
    for column in ("user", by):
        empty = frame[column].isna() | (frame[column].astype(str) == "")
        if empty.any():
            raise KitError(f"{name}: row {int(empty.to_numpy().argmax()) + 1} has no {column}")
    if frame.empty:
        raise KitError(f"{name} has no row: it names nobody to recommend to")
    items = _items(study, frame[by].astype(str).tolist(), by, name)
    codes, keys = pd.factorize(frame["user"].astype(str))
    if len(keys) < frame["user"].nunique():
        raise KitError(f"{name}: users mix types, such as 7 and '7'; write all ids as numbers, or all as text")
    if "timestamp" in frame:
        order = np.argsort(_times(frame["timestamp"], name), kind="stable")
        codes, items = codes[order], items[order]
    histories = Ragged.from_groups(codes, items, len(keys))
    had = Ragged.from_lists([sorted(set(history.tolist())) for history in histories])
    return People(list(keys), Cases.of_histories(histories), had)


def whole_ids(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The frame with ids that a merge has turned into floats as whole numbers again. Raises KitError for ids with
    fractions, or none, and for two columns of one name."""
    columns = pd.Index([str(column) for column in frame.columns])
    if columns.has_duplicates:
        twice = ", ".join(sorted(set(columns[columns.duplicated()])))
        raise KitError(f"{name}: several columns are called {twice}; rename or drop all but one")
    found = {}
    for column in {"user", "item"} & set(frame.columns):
        if pd.api.types.is_float_dtype(frame[column]):
            values = frame[column]
            if values.isna().any() or (values % 1 != 0).any():
                row = int((values.isna() | (values % 1 != 0)).to_numpy().argmax()) + 1
                raise KitError(f"{name}: row {row} has {column} {values.iloc[row - 1]}; ids are whole numbers or text")
            found[column] = values.astype(np.int64)
    return frame.assign(**found)


def person_of(study: Study, titles: Sequence[str]) -> People:
    """One person who had ``titles``, oldest first. Raises KitError for an unknown title, naming the nearest."""
    frame = pd.DataFrame({"user": f"a person after {list(titles)}", "title": list(titles)})
    return people_of(study, frame)


def items_by_id(split: Split, wanted: Sequence[str], name: str) -> np.ndarray:
    """(n,) the items with these ids. Raises KitError for an unknown one, naming its row in ``name`` and the nearest."""
    items = pd.Index(split.item_keys[1:]).get_indexer(wanted) + 1
    if (items == 0).any():
        row = int((items == 0).argmax())
        near = _near(wanted[row], split.item_keys[1:])
        raise KitError(
            f"{name}: {(items == 0).sum()} of {len(items)} rows name no item of the catalogue; the first is row "
            f"{row + 1}, '{wanted[row][:80]}'{near}"
        )
    return items


def _items(study: Study, wanted: list[str], by: str, name: str) -> np.ndarray:
    split, cold = study.data.split, study.data.cold
    if by == "title":
        for title in wanted if cold is not None else ():
            if title in cold.titles:
                raise KitError(f"'{title}' was withheld from all training (data.cold_items); name other titles")
        return np.array(items_of(split.titles, wanted), dtype=np.int64)
    return items_by_id(split, wanted, name)


def _times(column: pd.Series, name: str) -> np.ndarray:
    """(rows,) what the times are sorted by: numbers, or dates."""
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().all():
        return numbers.to_numpy()
    dates = pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")
    if dates.isna().any():
        neither = (dates.isna() & numbers.isna()).to_numpy()
        few = numbers.isna() if numbers.notna().sum() > dates.notna().sum() else dates.isna()
        row = int((neither if neither.any() else few.to_numpy()).argmax())
        raise KitError(f"{name}: row {row + 1} has timestamp '{str(column.iloc[row])[:80]}', no number and no ISO date")
    return dates.to_numpy()


def _with_target(cases: Cases) -> Ragged:
    rows = np.concatenate([cases.history.rows, np.arange(len(cases))])
    return Ragged.from_groups(rows, np.concatenate([cases.history.values, cases.target]), len(cases))


def _near(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(str(word), known, n=1, cutoff=0) if known else []
    return f"; the nearest is '{close[0]}'" if close else ""
