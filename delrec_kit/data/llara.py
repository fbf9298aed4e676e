"""Sequences that are cut into windows already, as LLaRA-like projects use them, exported as CSV or Parquet."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from delrec_kit.data.domain import ITEMS
from delrec_kit.data.files import find_file, find_folder
from delrec_kit.data.interactions import Interactions, validate
from delrec_kit.data.tables import Table, TextFile, brief
from delrec_kit.settings.errors import KitError, nearest

PICKLES = (".df", ".pkl", ".pickle")
LABELS = {"train": "train", "valid": "history", "test": "history"}  # of what precedes a row's next item


def read_llara(data_dir: str | Path) -> Interactions:
    """Read and validate train, valid and test (seq, next[, len_seq]) and ``id2name.txt`` (id::name) or ``items.csv``.

    A row of train is a training sequence, seq[:len_seq] and next, of a user ``train-0``, ``train-1`` …; a row of valid
    or test is a case: what ``valid-0`` chose, and next as its target. Timestamps are places in the sequence. Raises
    KitError with file, line (of Parquet: the row) and column for an id without a name, a length that does not fit, or
    a sequence that is none; where a file is missing; and where only pickled files are there, which are never opened.
    """
    folder = find_folder(data_dir)
    paths = {part: _part(folder, part) for part in LABELS}
    catalogue = _catalogue(folder)
    cases = [_cases(part, path, catalogue) for part, path in paths.items()]
    frame = pd.concat(
        [case.astype({"user": "str", "item": "str", "split": "str"}) for case in cases], ignore_index=True
    )
    frame = frame.astype({"user": "category", "item": "category", "split": "category"})
    return validate(Table(_Folder(folder), frame), catalogue, ITEMS)


@dataclass(frozen=True)
class _Rows:
    """A Parquet file: its lines are its rows."""

    path: Path

    def line(self, row: int) -> int:
        return row + 1


class _Folder(_Rows):
    """All three files together; each was checked by itself, so that no line in it is ever asked for."""


def _part(folder: Path, part: str) -> Path:
    names = [f"{part}.parquet", f"{part}.csv"]
    there = [name for name in names if (folder / name).is_file()]
    if len(there) > 1:
        raise KitError(f"{folder} holds both {names[0]} and {names[1]}; keep the one that is meant")
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICKLES)
    if not there and pickled:
        raise KitError(
            f"{folder} has no {part}.parquet or {part}.csv, but {', '.join(pickled)}: pickled files can run any code "
            "and are not opened; export each in the environment that it comes from, "
            f'pandas.read_pickle(f)[["seq", "len_seq", "next"]].to_parquet("{part}.parquet")'
        )
    return find_file(folder, names)


def _catalogue(folder: Path) -> Table:
    path = find_file(folder, ["id2name.txt", "items.csv"])
    if path.name == "items.csv":
        return TextFile(path).read(("item", "title"))
    return TextFile(path, ("item", "title"), "::", quoted=False).read(("item", "title"))


def _cases(part: str, path: Path, catalogue: Table) -> pd.DataFrame:
    """(interactions of all cases) user, item, timestamp, split; whatever is wrong with a row is said here."""
    rows = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    lists = _as_lists(rows)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype("int64")
    case = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(case)) - (np.cumsum(lengths) - lengths)[case]
    used = _used(rows, lengths)
    real = place < used[case]
    case, place, item = case[real], place[real], _text(lists.flatten())[real]
    target = _text(rows.frame["next"])
    _refuse_unknown(rows, case, item, target, catalogue)
    everyone = np.arange(len(lengths))
    return pd.DataFrame(
        {
            "user": f"{part}-" + pd.Series(np.concatenate([case, everyone])).astype("str"),
            "item": np.concatenate([item, target]),
            "timestamp": np.concatenate([place, used]),
            "split": [LABELS[part]] * len(item) + [part] * len(everyone),
        }
    )


def _read_csv(path: Path) -> Table:
    return TextFile(path).read(("seq", "next"), ("len_seq",), numbers=("len_seq",))


def _read_parquet(path: Path) -> Table:
    try:
        there = pq.read_schema(path)
        for name in ("seq", "next"):
            if name not in there.names:
                raise KitError(f"{path}: no column '{name}'{nearest(name, map(brief, there.names))}")
        table = pq.read_table(path, columns=[name for name in ("seq", "next", "len_seq") if name in there.names])
    except (pa.ArrowException, OSError) as error:
        raise KitError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    kind = there.field("seq").type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)) or pa.types.is_nested(kind.value_type):
        raise KitError(f"{path}, column 'seq': {brief(str(kind))} where lists of ids are expected")
    if not len(table):
        raise KitError(f"{path} has no rows")
    return Table(_Rows(path), table.to_pandas())


def _as_lists(rows: Table) -> pa.ListArray:
    """The column ``seq``, also where it stands as text such as "[1, 2, 3]" or "1 2 3"."""
    column = rows.frame["seq"]
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return pa.array(column)
    text = column.astype("str")
    rows.refuse(text.str.contains(r"[(){}]|\.\.\.", regex=True), "seq", "'{value}' is not a list of nothing but ids")
    bare = pc.utf8_trim_whitespace(pc.replace_substring_regex(pa.array(text, pa.string()), "[\\[\\],'\"]+", " "))
    return pc.if_else(pc.equal(bare, ""), pa.scalar([], pa.list_(pa.string())), pc.utf8_split_whitespace(bare))


def _used(rows: Table, lengths: np.ndarray) -> np.ndarray:
    """(cases,) how many ids of each sequence are no padding."""
    rows.refuse(lengths == 0, "seq", "the sequence is empty")
    if "len_seq" not in rows.frame:
        return lengths
    given = pd.to_numeric(rows.frame["len_seq"].astype("str"), errors="coerce").to_numpy(dtype="float64")
    fits = (given >= 1) & (given <= lengths) & (given % 1 == 0)
    rows.refuse(~fits, "len_seq", "'{value}' is not a number of ids from 1 to as many as seq holds")
    return given.astype("int64")


def _text(values: pa.Array | pd.Series) -> np.ndarray:
    return np.asarray(
        pd.Series(values if isinstance(values, pd.Series) else values.cast(pa.string())).astype("str"), object
    )


def _refuse_unknown(rows: Table, case: np.ndarray, item: np.ndarray, target: np.ndarray, catalogue: Table) -> None:
    names, where = catalogue.frame["item"].cat.categories, catalogue.file.path.name
    unknown = ~pd.Index(item).isin(names)
    if unknown.any():
        key = brief(str(item[int(unknown.argmax())]))
        wrong = np.bincount(case[unknown], minlength=len(rows.frame)) > 0
        hint = "" if "len_seq" in rows.frame else "; if it is padding, export len_seq too"
        rows.refuse(wrong, "seq", f"the id '{key}' is not in {where}{hint}")
    rows.refuse(~pd.Index(target).isin(names), "next", f"the id '{{value}}' is not in {where}")
