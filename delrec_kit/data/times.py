"""Timestamps to microseconds since 1970, or a line that says which one cannot be."""

from itertools import product

from delrec_kit.data.engine import quoted
from delrec_kit.data.tables import Table, brief

SECOND = 1_000_000  # microseconds
LATEST = 4_102_444_799  # seconds: the end of year 2099; pictures fail near year 9999
MILLISECONDS = 20_000_000_000  # from here on a number can only be milliseconds: as seconds it is the year 2603
EARLY = 100_000_000  # seconds: in March 1973; beside later ones a smaller number is none of them
COUNTED = 1000  # smaller numbers only count, as places in an order do
WRITE = "write seconds since 1970"
WHOLE = r"\d{1,18}"
MONTH, DAY = r"([A-Za-z]{3})[a-z]*\.?", r"(\d{1,2})(?:st|nd|rd|th)?"
ISO = (  # what is no part of a date goes, then a month's name (its first three letters) comes behind the year
    (r"\b(Mon|Tues?|Wednes|Wed|Thurs?|Thu|Fri|Satur|Sat|Sun)(day)?\b|,|\bat\b", " "),
    (r"\s+", " "),
    (rf"^ ?{MONTH} {DAY} (\d\d:.*) (\d{{4}}) ?$", r"\4-\1-\2 \3"),
    (rf"^ ?{MONTH} {DAY} (\d{{4}})", r"\3-\1-\2"),
    (rf"^ ?{DAY}[ -]?\.? ?{MONTH}[ -](\d{{4}})", r"\3-\2-\1"),
    (r"^ ?(\d{4})[/.](\d\d?)[/.](\d\d?)", r"\1-\2-\3"),
)
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
SPELLINGS = [day + clock + zone for day, clock, zone in product(("%Y-%m-%d", "%Y-%b-%d"), CLOCKS, ("", " %z"))]
SPELLINGS += ["%Y-%b-%d %H:%M:%S %Z"]  # last: it takes a part of what others take whole
DIGITS = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}  # as one number
SLASHED = r"\d{1,2}[/.-]\d{1,2}[/.-]\d{4}.*"
SHORT_YEAR = r"(\d{1,2}[-/. ]+(\d{1,2}|[A-Za-z]{3,9})|[A-Za-z]{3,9}[-/. ]+\d{1,2})[-/., ]+'?\d\d([^\d:].*)?"


def microseconds(rows: Table) -> tuple[Table, list[str]]:
    """The rows with ``time``, whole microseconds since 1970, and what was done, counted.

    Seconds (whole or with fractions), milliseconds, dates (ISO 8601, with month names, or as one number YYYYMMDD; UTC
    where no zone is given) are understood. What most rows are is what all must be: the first odd one is refused. A
    number is a date where most have as many digits and are one of the years 1900 to 2099: YYYY, YYYYMM and so on, up to
    seconds. Other numbers too small for seconds since 1970 (below 100,000,000, as days of a spreadsheet or places in an
    order are) give an order all the same; where they reach 1000 a notice says that no day that is shown holds. Where
    there is no column of times, the order of rows stands for it.
    """
    kind = rows.columns.get("timestamp")
    if kind is None:
        others = ", ".join(brief(name) for name in rows.file.header() if name not in rows.spelled.values())
        notice = "there is no column of times: the order of rows in the file stands for time"
        notice += f" (not read: {brief(others, 200)})" if others else ""
        return rows.select(f"*, row * {SECOND} AS time"), [notice]
    if kind != "VARCHAR":
        rows.refuse("timestamp IS NULL", "timestamp", "the timestamp is missing; " + WRITE)
    if kind.startswith(("TIMESTAMP", "DATE")):
        read, notices = _dates(rows.select("*, epoch_us(timestamp::TIMESTAMPTZ) AS time"), "a date")
    else:
        read, notices = _text(rows.select("* REPLACE (timestamp::VARCHAR AS timestamp)"))
    if ahead := read.count("time > epoch_us(now())"):
        notices.append(f"{ahead} interactions lie in the future")
    if kind == "FLOAT" and (coarse := rows.count(f"timestamp >= {2**24}")):
        notices.append(f"{coarse} timestamps are fractions of 32 bits, which are too short: write whole numbers")
    return read, notices


def _text(rows: Table) -> tuple[Table, list[str]]:
    bare = "bare(timestamp)"
    length = f"CASE WHEN left({bare}, 2) IN ('19', '20') THEN length(split_part({bare}, '.', 1)) END"  # a year's?
    total, whole, dated, digits = rows.engine.one(
        f"SELECT count(*), count(*) FILTER (regexp_full_match(timestamp, '{WHOLE}')), count({length}), mode({length}) "
        f"FROM {rows.name}"
    )
    if 2 * dated > total and digits in DIGITS:
        number = rf"regexp_replace({bare}, '\.0+$', '')"  # a missing value among them makes whole numbers fractions
        stamp = f"CASE WHEN length({number}) = {digits} THEN try_strptime({number}, '{DIGITS[digits]}') END"
        stamped = rows.select(f"*, epoch_us({stamp}) AS time")
        if 2 * stamped.count("year(make_timestamp(time)) BETWEEN 1900 AND 2099") > total:
            if digits > 6:  # the engine takes 20200230 for the first of March
                same = f"day(make_timestamp(time)) = TRY_CAST(substr({number}, 7, 2) AS INT)"
                stamped = stamped.select(f"* REPLACE (CASE WHEN {same} THEN time END AS time)")
            return _dates(stamped, "a date", " YYYYMMDDhhmmss"[: 1 + digits])
    if whole == total:
        return _numbers(rows.select("*, timestamp::BIGINT AS number"))
    rows = rows.select("*, bare(timestamp) AS t")
    rows.refuse("t IS NULL OR t = ''", "timestamp", "the timestamp is missing; " + WRITE)
    numbers = rows.count("is_number(t)")
    if 2 * numbers < total:
        short = "'{value}' has a year of two digits; write 2015-12-31, or seconds since 1970"
        rows.refuse(f"regexp_full_match(t, {quoted(SHORT_YEAR)})", "timestamp", short)
        spelled = "t"
        for pattern, iso in ISO:
            spelled = f"regexp_replace({spelled}, {quoted(pattern)}, {quoted(iso)}, 'g')"
        forms = ", ".join(map(quoted, SPELLINGS))
        date = f"COALESCE(TRY_CAST(t AS TIMESTAMPTZ), try_strptime({spelled}, [{forms}]))"
        # the engine takes 2020-02-30 for the first of March
        day = rf"regexp_extract({spelled}, '^ ?(\d{{4}}-\w+-\d+)', 1)"
        read_day = f"day(try_strptime({day}, ['%Y-%m-%d', '%Y-%b-%d']))"
        exists = rf"({day} = '' OR {read_day} = regexp_extract({day}, '\d+$')::INT)"
        sound = rf"isfinite({date}) AND {exists} AND regexp_matches(t, '\d')"
        dated = rows.select(f"*, CASE WHEN {sound} THEN epoch_us({date}) END AS time")
        if dated.count("time IS NOT NULL"):
            return _dates(dated, "an ISO date")
        rows.refuse(
            f"NOT is_number(t) AND regexp_full_match(t, '{SLASHED}')",
            "timestamp",
            "'{value}' is not a number, and which part is the day cannot be told; write 2020-12-31, or seconds since "
            "1970",
        )
    sound = "is_number(t) AND isfinite(TRY_CAST(t AS DOUBLE))"
    rows.refuse(f"NOT COALESCE({sound}, false)", "timestamp", "'{value}' is not a number; " + WRITE)
    return _numbers(rows.select("*, t::DOUBLE AS number"))


def _dates(rows: Table, form: str, digits: str = "") -> tuple[Table, list[str]]:
    what = f"'{{value}}' is not {form}{digits}, as others are; write all alike, or seconds since 1970"
    rows.refuse("time IS NULL", "timestamp", what)
    rows.refuse("time < 0", "timestamp", "{value} is before 1970")
    rows.refuse(f"time > {LATEST * SECOND}", "timestamp", "{value} is after the year 2099")
    return rows, [f"{rows.count()} timestamps read as dates{digits} (UTC where no zone is given)"]


def _numbers(rows: Table) -> tuple[Table, list[str]]:
    total, late, early, low, high = rows.engine.one(
        f"SELECT count(*), count(*) FILTER (number >= {MILLISECONDS}), count(*) FILTER (number < {EARLY}), "
        f"min(number), max(number) FROM {rows.name}"
    )
    factor, notices = SECOND, []
    if 2 * late > total:
        factor, notices = SECOND // 1000, [f"{total} timestamps read as milliseconds"]
    elif 0 < 2 * early < total:
        what = "{value} is no time in seconds, as most are; write all alike"
        rows.refuse(f"number >= 0 AND number < {EARLY}", "timestamp", what)
    elif 2 * early > total and high >= COUNTED:
        what = f"{total} timestamps ({low} to {high}) are too small for seconds since 1970: their order is right"
        notices = [what + ", no day that is shown is; write dates or seconds"]
    latest = LATEST * SECOND // factor
    if low < 0 or high > latest or 0 < late < total:
        rows.refuse("number < 0", "timestamp", "{value} is negative; " + WRITE)
        if factor < SECOND:
            what = "{value} is no time in milliseconds, as most are; write all alike"
            rows.refuse(f"number < {MILLISECONDS}", "timestamp", what)
        what = "{value} is after the year 2099; write seconds, not milliseconds or finer"
        rows.refuse(f"number > {latest}", "timestamp", what)
    return rows.select(f"*, round(number * {factor})::BIGINT AS time"), notices
