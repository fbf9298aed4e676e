"""Sequences that are cut into windows already, as LLaRA-like projects use them, exported as CSV or Parquet."""

from pathlib import Path

from delrec_kit.data.engine import Engine
from delrec_kit.data.parquet import ParquetFile
from delrec_kit.data.sources.naming import check_columns, read_named
from delrec_kit.data.tables import Table, brief
from delrec_kit.data.text import TextFile
from delrec_kit.data.validation import Raw
from delrec_kit.run.inputs import find_file, matching
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError

SEQUENCES = {name: (name,) for name in ("seq", "next", "len_seq")}
PICKLES = (".df", ".pkl", ".pickle")
LABELS = {"train": "train", "valid": "history", "test": "history"}  # of what precedes a row's next item
LIST = r"string_split_regex(bare(regexp_replace(seq, '[\[\],''\"\s]+', ' ', 'g')), ' +')"


def read_llara(folder: Path, config: DataConfig) -> Raw:
    """train, valid and test (seq, next[, len_seq]) and ``id2name.txt`` (id::name) or ``items.csv``.

    A row of train is a training sequence, seq[:len_seq] and next, of a user ``train-0``, ``train-1`` …; a row of valid
    or test is a case: what ``valid-0`` chose, and next as its target. Timestamps are places in the sequence. Raises
    KitError with file, line (of Parquet: the row) and column for an id without a name, a length that does not fit, or
    a sequence that is none; where a file is missing; and where only pickled files are there, which are never opened.
    """
    check_columns(config, SEQUENCES)
    paths = {part: _part(folder, part) for part in LABELS}
    engine = Engine(sum(path.stat().st_size for path in paths.values()))
    path = find_file(folder, ["id2name.txt", "items.csv"])
    names = TextFile(path) if path.name == "items.csv" else TextFile(path, ("item", "title"), "::", quoted=False)
    catalogue = names.read(engine, {"item": "item", "title": "title"})
    parts = [_cases(engine, part, path, catalogue, config) for part, path in paths.items()]
    rows = engine.table(" UNION ALL ".join(f"SELECT * FROM {part}" for part in parts))
    return Raw(
        Table(engine, engine.view(f"SELECT rowid AS row, * FROM {rows}"), names),
        catalogue,
        notices=_leaks(engine, rows),
    )


def _leaks(engine: Engine, rows: str) -> list[str]:
    """The count of cases that stand in train too, item by item. Raises KitError where most do."""
    whole = f"SELECT split_part(user, '-', 1) AS part, list(item ORDER BY timestamp) AS ids FROM {rows} GROUP BY user"
    known, cases = engine.one(
        f"WITH whole AS ({whole}), known AS (SELECT ids FROM whole WHERE part = 'train') "
        "SELECT count(*) FILTER (ids IN (FROM known)), count(*) FROM whole WHERE part <> 'train'"
    )
    if 2 * known > cases:
        raise KitError(f"{known} of {cases} cases of valid and test are rows of train too, and would leak the test")
    return [f"{known} cases of valid and test are rows of train too"] if known else []


def _part(folder: Path, part: str) -> Path:
    names = [f"{part}.parquet", f"{part}.csv"]
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICKLES)
    if pickled and not matching(folder, names):
        raise KitError(
            f"{folder} has no {part}.parquet or {part}.csv, but {', '.join(pickled)}: pickled files can run any code "
            "and are not opened; export each in the environment that it comes from, "
            f'pandas.read_pickle(f)[["seq", "len_seq", "next"]].to_parquet("{part}.parquet")'
        )
    return find_file(folder, names)


def _cases(engine: Engine, part: str, path: Path, catalogue: Table, config: DataConfig) -> str:
    """The engine's table of user, item, timestamp, split; whatever is wrong with a row is said here."""
    file = ParquetFile(path) if path.suffix == ".parquet" else TextFile(path)
    rows = read_named(file, engine, config, SEQUENCES, ("len_seq",))
    kind = rows.columns["seq"]
    if path.suffix == ".parquet":
        if not kind.endswith("[]") or kind.endswith("[][]") or kind.startswith("STRUCT"):
            raise KitError(f"{path}, column 'seq': {brief(kind)} where lists of ids are expected")
        rows = rows.select("*, seq::VARCHAR[] AS ids")
    else:
        rows.refuse(r"regexp_matches(seq, '[(){}]|\.\.\.')", "seq", "'{value}' is not a list of nothing but ids")
        rows = rows.select(f"*, list_filter({LIST}, lambda id: id <> '') AS ids")
    rows.refuse("COALESCE(len(ids), 0) = 0", "seq", "the sequence is empty")
    used = "len(ids)"
    if "len_seq" in rows.columns:
        used = "TRY_CAST(len_seq AS DOUBLE)"
        fits = f"{used} >= 1 AND {used} <= len(ids) AND {used} = floor({used})"
        rows.refuse(
            f"NOT COALESCE({fits}, false)", "len_seq", "'{value}' is not a number of ids from 1 to as many as seq holds"
        )
        used += "::INT"
    rows = rows.select(f"row, seq, next, ids[:{used}] AS ids")
    names = f"SELECT bare(item) FROM {catalogue.name}"
    where = catalogue.file.path.name
    hint = "" if "::INT" in used else "; if it is padding, export len_seq too"
    each = rows.select("row, unnest(ids) AS id").select("DISTINCT ON (row) row, id AS seq", f"id NOT IN ({names})")
    each.refuse("true", "seq", f"the id '{{value}}' is not in {where}{hint}")
    rows.refuse(f"next IS NULL OR bare(next) NOT IN ({names})", "next", f"the id '{{value}}' is not in {where}")
    user = f"'{part}-' || row AS user"
    known = f"SELECT {user}, unnest(ids) AS item, unnest(range(len(ids))) AS timestamp, '{LABELS[part]}' AS split"
    target = f"SELECT {user}, next AS item, len(ids) AS timestamp, '{part}' AS split"
    return engine.table(f"{known} FROM {rows.name} UNION ALL {target} FROM {rows.name}")
