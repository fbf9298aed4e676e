"""Checks on a split that the data brings, in a column of its own or as files of its own."""

from delrec_kit.data.interactions import LABELS, Interactions
from delrec_kit.data.tables import Table

TRAIN, HISTORY, VALID, TEST, UNUSED = range(len(LABELS))
TARGET = f"split IN ({VALID}, {TEST})"


def checked_split(read: Interactions, rows: Table, several: bool) -> Interactions:
    """The interactions without targets that nothing precedes, and with what was done, counted.

    Where a user may have ``several`` targets of a kind, as in the files of other projects, the first that is not
    earlier than what is known before it counts; the others are only known of the user. Where nothing validates, the
    last training row of users that are tested does. Raises KitError with file, line and column where a target's row
    stands under a second label, a user has two targets of one kind, or one is earlier than what is known before it.
    """
    engine, table, notices = read.engine, read.table, []

    def refuse(query: str, what: str) -> None:
        found = engine.table(f"SELECT row FROM ({query})")
        if engine.count(found):
            rows.refuse(f"row IN (SELECT row FROM {found})", "split", what)

    def change(condition: str, label: int, what: str) -> None:
        count = engine.count(table, condition)
        if count:
            engine.run(f"UPDATE {table} SET split = {label} WHERE {condition}")
            notices.append(f"{count} {what}")

    if not read.timed:
        notices += _in_training(read, rows)
    twice = f"SELECT user, item, time FROM {table} GROUP BY ALL HAVING count(*) > 1"
    refuse(
        f"SELECT row FROM {table} SEMI JOIN ({twice}) USING (user, item, time) WHERE {TARGET}",
        "the same user, item and timestamp stand under another label, beside '{value}'",
    )
    if not engine.count(table, f"split = {VALID}"):
        tested = (
            f"SELECT max(rowid) FILTER (split = {TRAIN}) FROM {table} GROUP BY user HAVING bool_or(split = {TEST}) AND "
            f"NOT bool_or(split = {HISTORY}) AND count(*) FILTER (split = {TRAIN}) > 1"
        )
        change(f"rowid IN ({tested})", VALID, "users' last 'train' row validates: the split has no validation rows")
    if several:
        early = "targets are earlier than what is known before them: they are only kept from being distractors"
        late = "targets come after a user's first of their kind: they are only kept from being distractors"
        for label in (VALID, TEST):
            change(f"split = {label} AND time < ({_before(table, label)})", UNUSED, early)
            first = f"SELECT min(rowid) FROM {table} WHERE split = {label} GROUP BY user"
            change(f"split = {label} AND rowid NOT IN ({first})", UNUSED, late)
    again = f"SELECT row, row_number() OVER (PARTITION BY user, split ORDER BY rowid) AS n FROM {table} WHERE {TARGET}"
    refuse(
        f"SELECT row FROM ({again}) WHERE n > 1", "a second row marked '{value}' for this user; a user has at most one"
    )
    for label in (VALID, TEST):
        refuse(
            f"SELECT row FROM {table} WHERE split = {label} AND time < ({_before(table, label)})",
            "this row marked '{value}' is earlier than what is known of the user before it",
        )
    alone = f"{TARGET} AND user NOT IN (SELECT user FROM {table} WHERE split IN ({TRAIN}, {HISTORY}))"
    count = engine.count(table, alone)
    if count:
        engine.run(f"DELETE FROM {table} WHERE {alone}")
        notices.append(f"{count} targets with nothing known before them left out")
    later = f"max(time) FILTER (split = {TRAIN}) > min(time) FILTER ({TARGET})"
    ahead = engine.count(f"(SELECT user FROM {table} GROUP BY user HAVING {later})")
    if ahead:
        notices.append(f"{ahead} users have 'train' rows later than their own target: the training sees their future")
    return read.noting(*notices)


def _in_training(read: Interactions, rows: Table) -> list[str]:
    """The count of targets that their user has in training too. Without times nobody can tell whether that is another
    choice; raises KitError where it is so of most."""
    known = f"SELECT user, item FROM {read.table} WHERE split IN ({TRAIN}, {HISTORY})"
    found = read.engine.table(f"SELECT row FROM {read.table} SEMI JOIN ({known}) USING (user, item) WHERE {TARGET}")
    count = read.engine.count(found)
    if 2 * count > read.engine.count(read.table, TARGET):
        what = "most targets, as of this '{value}' row, stand among their user's 'train' rows too, and leak the test"
        rows.refuse(f"row IN (SELECT row FROM {found})", "split", what)
    same = "targets are items that their user has in training too; without times it cannot be told whether chosen twice"
    return [f"{count} {same}"] if count else []


def _before(table: str, label: int) -> str:
    """The time of a user's last ``history`` row, else ``train`` row; for a test target also of its validation one."""
    known = f"COALESCE(max(time) FILTER (split = {HISTORY}), max(time) FILTER (split = {TRAIN}))"
    if label == TEST:
        known = f"greatest({known}, max(time) FILTER (split = {VALID}))"
    return f"SELECT {known} FROM {table} k WHERE k.user = {table}.user"
