"""Recommendations for many people in a file, made part by part, so that a killed job goes on from its last whole part.

The parts lie in a hidden folder beside the file. When the last is there they are joined into a draft, which becomes the
file in one step.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
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
    if out.suffix not in FORMATS:
        raise KitError(f"{out}: name a file that ends in {', '.join(FORMATS)}")
    check_writable(out)
    if out.exists():
        raise KitError(f"{out} is there already; delete it, or name another file")


def write_recommendations(study: Study, people: People, top: int, out: Path, method: str | None = None) -> str:
    """Write the first ``top`` items for each of the people to ``out`` (.parquet, .csv or .jsonl); columns as of
    ``ranked_for``. Returns a sentence on who got none, empty where all did.

    method: a row of the run with a language model; by default DELRec. Raises KitError as ``check_output`` does, and
    where another process writes the same file.
    """
    check_output(out)
    out, name = out.absolute(), study.answering(method)
    parts = out.with_name(f".{out.name}.parts")
    parts.mkdir(exist_ok=True)
    with only_writer(parts):
        _take_up(parts, {"request": _request(study, people, top, name)})
        groups = blocks(study, len(people))
        files = [parts / f"{number:06d}.parquet" for number in range(len(groups))]
        missing = [(rows, file) for rows, file in zip(groups, files, strict=True) if not file.is_file()]
        if missing and len(missing) < len(groups):
            print(f"{len(groups) - len(missing)} of {len(groups)} parts are there already", flush=True)
        if missing:
            recommender = replace(study.recommender(name), name="")  # whose own progress would be of one part
            for rows, file in progress(missing, f"recommending, {len(groups[0])} people at a time"):
                table = ranked_for(study, recommender, people.take(rows), top)
                write_whole(file, lambda draft, table=table: pq.write_table(_arrow(table), draft))
        write_whole(out, lambda draft: _join(files, draft, out.suffix))
    shutil.rmtree(parts, ignore_errors=True)
    return without(study, people, top)


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
    kept = parts / "request.json"
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
