"""From tables of a publisher's or a user's files to interactions that can be trusted: checked, cleaned up, counted."""

import unicodedata
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from delrec_kit.data.brought import checked_split
from delrec_kit.data.domain import ITEMS, Domain
from delrec_kit.data.engine import Engine, quoted
from delrec_kit.data.filters import with_titles
from delrec_kit.data.interactions import LABELS, Interactions
from delrec_kit.data.tables import Table, brief
from delrec_kit.data.times import microseconds
from delrec_kit.data.titles import INVISIBLE, MISSING, clean_titles
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import nearest

YES, NO = "'true', 't', 'yes', 'y'", "'false', 'f', 'no', 'n'"  # as a label
ROUNDED = (
    r"\d(\.\d+)?[eE]\+\d\d+|(\d{17,}|9\d{15})\.\d+"  # as programs write numbers that have more digits than they keep
)
SEARCHED = 100_000  # ids of the catalogue that are searched for another spelling
TIES = {"file": "row", "random": "md5(concat_ws(' ', u.number, i.number, {seed})), row", "item": "i.number, row"}


@dataclass(frozen=True)
class Raw:
    """What a reader found. rows: user, item and perhaps timestamp, split, rating and label; catalogue: item, title and
    perhaps year.

    chosen_only: leave out what nobody chose, for shops publish many times what is reviewed; first_titles: of several
    titles of an item take the first, and leave out items without one; several: a user may have several targets.
    """

    rows: Table
    catalogue: Table
    domain: Domain = ITEMS
    notices: list[str] = field(default_factory=list)
    chosen_only: bool = False
    first_titles: bool = False
    several: bool = False


def validate(raw: Raw, config: DataConfig, seed: int = 0) -> Interactions:
    """Interactions from what a reader found.

    Titles are tidied, and rows left out that repeat another or have an item that the catalogue lacks; all is counted.
    Raises KitError with file, line and column for an empty id, a timestamp that cannot be one, an unknown split label,
    an item with two titles, most items unknown, or, where ``config.positive`` asks for it, a rating that is no number.
    """
    rows, engine, notices = raw.rows, raw.rows.engine, list(raw.notices)
    catalogue = raw.catalogue
    if raw.chosen_only:
        catalogue, found = _chosen_only(rows, catalogue)
        notices += found
    titles, untitled, found = _titles(catalogue, raw, config)
    notices += found
    user_ids, item_ids = (_ids(rows, name) for name in ("user", "item"))
    notices += [*_odd_ids(engine, user_ids, "user"), *_odd_ids(engine, item_ids, "item")]
    timed, found = microseconds(rows)
    notices += found
    items = engine.given(key=titles.index.to_numpy(object), number=np.arange(len(titles), dtype=np.int32))
    of_item = engine.table(f"SELECT raw, number FROM {item_ids} LEFT JOIN {items} ON bare(raw) = key")
    notices += _unknown(rows, of_item, raw.catalogue, titles.index)
    number = "(row_number() OVER (ORDER BY length(key), key) - 1)::INT AS number"
    users = engine.table(f"SELECT key, {number} FROM (SELECT DISTINCT bare(raw) AS key FROM {user_ids})")
    of_user = engine.table(f"SELECT raw, number FROM {user_ids} JOIN {users} ON bare(raw) = key")
    more, found = _more_columns(timed, config)
    notices += found
    picked = ", ".join(["u.number AS user", "i.number AS item", "time", *(f"{more[name]} AS {name}" for name in more)])
    joins = f"{timed.name} r JOIN {of_user} u ON r.user = u.raw JOIN {of_item} i ON r.item = i.raw"
    order = f"u.number, time, {TIES[config.ties].format(seed=seed)}"
    table = engine.table(f"SELECT {picked}, row FROM {joins} WHERE i.number IS NOT NULL ORDER BY {order}")
    notices += _without_repeats(engine, table, more)
    read = Interactions(engine, table, users, titles, np.arange(len(titles)), raw.domain, notices, untitled)
    read = replace(read, timed="timestamp" in rows.columns, rows_read=rows.count())
    if "split" in more:
        read = checked_split(read, rows, raw.several)
    return with_titles(read) if raw.first_titles else read


def _chosen_only(rows: Table, catalogue: Table) -> tuple[Table, list[str]]:
    """The catalogue without items that nobody chose, and their count; where no item is known it stays as it is, so that
    what is wrong with the ids can be told."""
    chosen = f"bare(item) IN (SELECT bare(item) FROM (SELECT DISTINCT item FROM {rows.name}))"
    known, every = catalogue.engine.one(
        f"SELECT count(DISTINCT bare(item)) FILTER ({chosen}), count(DISTINCT bare(item)) FROM {catalogue.name}"
    )
    if known in (0, every):
        return catalogue, []
    return catalogue.select("*", chosen), [f"{every - known} catalogue items that nobody chose left out"]


def _titles(catalogue: Table, raw: Raw, config: DataConfig) -> tuple[pd.Series, frozenset[str], list[str]]:
    _ids(catalogue, "item")
    year = ", bare(year) AS year" if "year" in catalogue.columns else ""
    frame = catalogue.engine.frame(
        f"SELECT row, bare(item) AS item, COALESCE(bare(title), '') AS title{year} FROM {catalogue.name} ORDER BY row"
    ).astype({"item": "str", "title": "str"})
    every, frame = len(frame), frame.drop_duplicates(["item", "title"])
    notices = [f"{every - len(frame)} repeated catalogue rows dropped"] if len(frame) < every else []
    if raw.first_titles:
        first = frame[frame["title"] != ""].drop_duplicates("item").set_index("item")["title"]
        other = frame["title"] != frame["item"].map(first).fillna("")
        frame = frame[~other]
        if other.any():
            notices.append(f"{other.sum()} catalogue rows with a second title for an item, or none, left out")
    clash = frame["row"][frame.duplicated("item")]
    if len(clash):
        what = "item '{value}' already has another title; give each item one row"
        catalogue.refuse(f"row IN ({', '.join(map(str, clash[:1000]))})", "item", what)
    if year:
        years = frame["year"].fillna("").astype("str").str.extract(r"^(\d{4})(?:\.0)?$")[0]
        lacks = years.notna() & ~frame["title"].str.contains(r"\(\d{4}\)\s*$")
        lacks &= ~frame["title"].str.lower().isin(MISSING)
        frame.loc[lacks, "title"] += " (" + years[lacks] + ")"
        if lacks.any():
            notices.append(f"{lacks.sum()} titles got the year that stands beside them")
    raw_titles = frame.set_index("item")["title"]
    order = np.lexsort((raw_titles.index.to_numpy(object), raw_titles.index.str.len()))
    titles, empty, found = clean_titles(raw_titles.iloc[order], raw.domain, config.title_length)
    return titles, frozenset(empty), notices + found


def _ids(table: Table, column: str) -> str:
    """The engine's table of the different ids as written, ``raw``. Raises KitError for what cannot be an id."""
    wrong = {
        f"{column} IS NULL": "a value is missing",
        f"bare({column}) = ''": "the id is empty",
        f"contains({column}, chr(0))": "the id holds a NUL byte; the file is damaged",
        f"contains({column}, chr(65279))": "the id holds a byte-order mark; were two files joined?",
    }
    names = table.engine.table(f"SELECT DISTINCT {column} AS raw FROM {table.name}")
    any_of = ", ".join(f"bool_or({condition.replace(column, 'raw')})" for condition in wrong)
    for (condition, what), is_there in zip(wrong.items(), table.engine.one(f"SELECT {any_of} FROM {names}")):
        if is_there:
            table.refuse(condition, column, what)
    return names


def _odd_ids(engine: Engine, ids: str, noun: str) -> list[str]:
    """What is odd among ids, counted: some are another's but for blanks around them, and so are taken for the same;
    numbers lost digits before they came here; words for a missing value stand for a user, by which whoever wrote them
    meant nobody, or several people."""
    notices = []
    count, example = engine.one(
        f"SELECT sum(n - 1), min(key) FROM (SELECT bare(raw) AS key, count(*) AS n FROM {ids} GROUP BY key) WHERE n > 1"
    )
    if count:
        what = f"{noun} ids differ from another by blanks alone, and are taken for it"
        notices.append(f"{count} {what} (as '{brief(example)}')")
    count, example = engine.one(f"SELECT count(*), min(raw) FROM {ids} WHERE regexp_full_match(bare(raw), '{ROUNDED}')")
    if count:
        what = f"{noun} ids are numbers that lost digits on the way (as '{brief(example)}')"
        notices.append(f"{count} {what}: several may have become one; write ids as text")
    words = ", ".join(map(quoted, sorted(MISSING)))
    found = engine.one(f"SELECT list(DISTINCT bare(raw)) FROM {ids} WHERE lower(bare(raw)) IN ({words})")[0]
    if found and noun == "user":
        named = " and ".join(f"'{brief(word)}'" for word in sorted(found))
        notices.append(f"the user id {named} means nobody as a rule; its rows are taken as one person's")
    return notices


def _unknown(rows: Table, of_item: str, catalogue: Table, known: pd.Index) -> list[str]:
    """The count of interactions with items that the catalogue lacks. Raises KitError where they are most."""
    engine = rows.engine
    lost = f"SELECT raw FROM {of_item} WHERE number IS NULL"
    if not engine.count(f"({lost})"):
        return []
    unknown = f"item IN ({lost})"
    count, row = engine.one(f"SELECT count(*), min(row) FROM {rows.name} WHERE {unknown}")
    key = engine.one(f"SELECT bare(item) FROM {rows.name} WHERE row = {row}")[0]
    hint = _alike(key, known)
    if count * 2 > rows.count():
        name = catalogue.file.path.name
        rows.refuse(unknown, "item", f"'{{value}}' is not in {name}, nor are most{hint or '; do the ids match?'}")
    example = f"the first is '{brief(key)}' in {rows.file.at(row)[1]}"
    return [f"{count} interactions with items that the catalogue lacks dropped ({example}{hint})"]


def _alike(key: str, known: pd.Index) -> str:
    """A hint where an id is there in another spelling: "7.0" or "007" for "7", "b00x" for "B00X", "a b" for "ab"."""
    spelled = next((other for other in known[:SEARCHED] if _plain(other) == _plain(key)), None)
    return "" if spelled is None else f"; the catalogue spells it '{brief(spelled)}'"


def _plain(key: str) -> str:
    """An id without what programs add or lose: case, blanks, leading zeros, a decimal point with nothing behind it."""
    key = "".join(unicodedata.normalize("NFKC", INVISIBLE.sub("", key)).casefold().split())
    return key.removesuffix(".0").lstrip("0")


def _more_columns(rows: Table, config: DataConfig) -> tuple[dict[str, str], list[str]]:
    """What else the engine's table holds, and the notice that a column of labels is there.

    Raises KitError for an unknown part of a split, and where numbers are asked for that are none.
    """
    there, more, notices = rows.columns, {}, []
    for name in ("label", "rating"):
        if name in there:
            value = f"TRY_CAST(bare({name}) AS FLOAT)"
            number = f"CASE WHEN is_number(bare({name})) AND isfinite({value}) THEN {value} END"
            word = f"lower(bare({name}))"
            number = f"CASE WHEN {word} IN ({YES}) THEN 1 WHEN {word} IN ({NO}) THEN 0 ELSE {number} END"
            if name == "label" and not rows.count(f"({number}) IS NOT NULL"):  # words, such as a genre
                called = rows.spelled.get(name, name)
                notices.append(f"the column '{called}' holds words, no labels: it says nothing of what was chosen")
                continue
            if config.positive is not None and "label" not in more:
                what = "'{value}' is not a number; mend it, or set data.positive to null"
                rows.refuse(f"({number}) IS NULL", name, what)
            more[name] = number
    if "label" in more and config.positive is None:
        low = rows.count(f"COALESCE(({more['label']}) <= 0, true)")
        if low:
            notices.append(
                f"a column '{rows.spelled.get('label', 'label')}' is there, and {low} of {rows.count()} rows have 0, "
                "less or nothing in it: all rows count as choices; data.positive=1 keeps those of 1 and more"
            )
    if "split" in there and config.split == "auto":
        label = "lower(bare(split))"
        wrong = f"{label} IS NULL OR {label} NOT IN {LABELS[:-1]}"
        first = rows.engine.one(f"SELECT arg_min({label}, row) FROM {rows.name} WHERE {wrong}")[0]
        rows.refuse(wrong, "split", "'{value}' is no part of a split" + nearest(first or "", LABELS[:-1]))
        names = ", ".join(map(quoted, LABELS))
        more["split"] = f"(list_position([{names}], {label}) - 1)::TINYINT"
    return more, notices


def _without_repeats(engine, table: str, more: dict[str, str]) -> list[str]:
    """Rows that repeat another in every column are dropped: only neighbours of the same user and time can."""
    beside = f"SELECT user, time, lag(user) OVER () AS u, lag(time) OVER () AS t FROM {table}"
    tied = engine.table(f"SELECT user, time FROM ({beside}) WHERE user = u AND time = t GROUP BY ALL")
    if not engine.count(tied):
        return []
    same = ", ".join(["user", "item", "time", *more])
    order = f"row_number() OVER (PARTITION BY {same} ORDER BY row) AS n"
    near = f"SELECT row, {order} FROM {table} SEMI JOIN {tied} USING (user, time)"
    again = engine.table(f"SELECT row FROM ({near}) WHERE n > 1")
    count = engine.count(again)
    if count:
        engine.run(f"DELETE FROM {table} WHERE row IN (SELECT row FROM {again})")
    return [f"{count} repeated rows dropped"] if count else []
