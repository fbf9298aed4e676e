"""Recommendations for many people in a file, made part by part, so that a killed job goes on from its last whole part.

The parts lie in a hidden folder beside the file. When the last is there they are joined into a draft, which becomes the
file in one step.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from delrec_kit.run.files import read_json, write_json, write_whole
from delrec_kit.run.inputs import check_writable
from delrec_kit.run.locking import only_writer
from delrec_kit.run.progress import progress
from delrec_kit.settings.errors import KitError
from delrec_kit.study.people import People
from delrec_kit.study.recommend import blocks, proposed, ranked_for
from delrec_kit.study.study import Study

REQUEST = "request.json"
SHARED = "shared.json"  # names of the parts that were missing: what the shares are of
FORMATS = (".parquet", ".csv", ".jsonl")
SCHEMA = pa.schema(
    [
        ("user", pa.string()),
        ("rank", pa.int32()),
        ("item", pa.string()),
        ("title", pa.string()),
        ("score", pa.float32()),
        ("teacher_rank", pa.int32()),
    ]
)


def check_output(out: Path) -> None:
    """Raise KitError for a file that cannot be written, is of no known kind, or is there already."""
    check_writable(out, *FORMATS)
    if out.exists():
        raise KitError(f"{out} is there already; delete it, or name another file")


def write_recommendations(
    study: Study,
    people: People,
    top: int,
    out: Path,
    method: str | None = None,
    shared: Callable[[Path, int], bool] | None = None,
) -> str:
    """Write the first ``top`` items for each of the people to ``out`` (.parquet, .csv or .jsonl); columns as of
    ``ranked_for``. Returns a sentence on who got none, empty where all did.

    method: a row of the run with a language model; by default DELRec. shared: is given the folder of parts and how many
    are missing, has ``write_share`` called elsewhere for every share of these, and returns True when all have ended; or
    False at once, where this process had better make them. Raises KitError as ``check_output`` does, where another
    process writes the same file, and where a share was not made.
    """
    check_output(out)
    out, name = out.absolute(), study.answering(method)
    parts = _parts_of(out)
    parts.mkdir(exist_ok=True)
    with only_writer(parts):
        _take_up(parts, {"request": _request(study, people, top, name)})
        groups, files, missing = _missing(study, people, parts)
        if missing and len(missing) < len(groups):
            print(f"{len(groups) - len(missing)} of {len(groups)} parts are there already", flush=True)
        write_json(parts / SHARED, [file.name for _, file in missing])
        if not (missing and shared and shared(parts, len(missing))):
            _write_parts(study, people, top, name, missing)
        elif left := len(_missing(study, people, parts)[2]):
            raise KitError(
                f"{left} of {len(groups)} parts were not made; their logs lie in {parts}. The same command takes "
                "them up"
            )
        write_whole(out, lambda draft: _join(files, draft, out.suffix))
    shutil.rmtree(parts, ignore_errors=True)
    return without(study, people, top)


def write_share(study: Study, people: People, top: int, out: Path, share: int, of: int) -> None:
    """Make every ``of``-th of the parts that were missing, for a process that waits to join them. Raises KitError where
    that process asks for something else."""
    name, parts = study.answering(), _parts_of(out.absolute())
    request = parts / REQUEST
    if not request.is_file() or read_json(request) != {"request": _request(study, people, top, name)}:
        raise KitError(f"nobody waits for a share of these recommendations in {parts}; leave --share out")
    mine = set(read_json(parts / SHARED)[share::of])
    missing = _missing(study, people, parts)[2]
    _write_parts(study, people, top, name, [(rows, file) for rows, file in missing if file.name in mine])


def _parts_of(out: Path) -> Path:
    return out.with_name(f".{out.name}.parts")


def _missing(study: Study, people: People, parts: Path) -> tuple[list, list[Path], list]:
    """The groups of people, the file of each, and those that are not there yet."""
    groups = blocks(study, len(people))
    files = [parts / f"{number:06d}.parquet" for number in range(len(groups))]
    return groups, files, [(rows, file) for rows, file in zip(groups, files, strict=True) if not file.is_file()]


def _write_parts(study: Study, people: People, top: int, name: str, missing: list) -> None:
    if not missing:
        return
    recommender = replace(study.recommender(name), name="")  # whose own progress would be of one part
    for rows, file in progress(missing, f"recommending, {len(missing[0][0])} people at a time"):
        table = ranked_for(study, recommender, people.take(rows), top)
        write_whole(file, lambda draft, table=table: pq.write_table(_arrow(table), draft))


def without(study: Study, people: People, top: int) -> str:
    """Who gets no recommendation, in a sentence; empty where everybody does."""
    none = proposed(study, people, top) == 0
    empty = people.cases.history.lengths == 0
    said = [
        f"{count} of {len(people)} {what}"
        for count, what in ((empty.sum(), "have no history"), ((none & ~empty).sum(), "have had the whole catalogue"))
        if count
    ]
    return f"no recommendations for some: {', '.join(said)}" if said else ""


def _request(study: Study, people: People, top: int, name: str) -> str:
    """SHA-256 of all that the parts depend on."""
    run, digest = study.run, hashlib.sha256()
    evaluated = run.is_done("evaluation") and run.fingerprint("evaluation")
    known = [run.fingerprint("adapter"), evaluated, top, name, len(blocks(study, len(people)))]
    digest.update(json.dumps([known, people.keys]).encode())
    for part in (people.cases.history, people.had):
        digest.update(part.values.tobytes() + part.offsets.tobytes())
    return digest.hexdigest()


def _take_up(parts: Path, request: dict) -> None:
    """Leave in the folder only what was made for the same request."""
    kept = parts / REQUEST
    if not kept.is_file() or read_json(kept) != request:
        for file in parts.glob("*.parquet"):
            file.unlink()
        write_json(kept, request)


def _join(files: list[Path], draft: Path, ending: str) -> None:
    tables = (pq.read_table(file, schema=SCHEMA) for file in files)
    if ending == ".parquet":
        with pq.ParquetWriter(draft, SCHEMA) as writer:
            for table in tables:
                writer.write_table(table)
    else:
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.writelines(_lines(tables, ending))


def _lines(tables: Iterator[pa.Table], ending: str) -> Iterator[str]:
    for number, table in enumerate(tables):
        frame = table.to_pandas()
        if ending == ".csv":
            yield frame.to_csv(index=False, header=not number, lineterminator="\n")
        elif len(frame):
            yield frame.to_json(orient="records", lines=True, force_ascii=False)


def _arrow(table) -> pa.Table:
    return pa.Table.from_pandas(table, schema=SCHEMA, preserve_index=False)
