"""Preparing data against its size: time and memory of each step, beside loops over users as commonly written."""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from delrec_kit.data import draw_candidates, k_core, leave_one_out, read_source
from delrec_kit.data.filters import drop_short_users
from delrec_kit.settings.config import DataConfig

SIZES = (1_000_000, 5_000_000, 20_000_000, 50_000_000)
LOOPED = 1_000_000  # rows up to which the loops are run
COLUMNS = 16  # bytes a row: user and item of 4, timestamp of 8
MIB = 2**20
CORE, M = 5, 15


def bench(recbole: str | None = None, sizes: tuple[int, ...] = SIZES) -> list[dict]:
    """recbole: an interpreter that has it, to be set beside the kit up to a million rows."""
    rows = []
    peers = {"loops": [sys.executable, "-m", "benchmarks.data", "loops"]}
    if recbole:
        peers["RecBole"] = [recbole, str(Path(__file__).parent / "recbole_peer.py")]
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            write_rows(Path(folder), size)
            ways = {"kit": [sys.executable, "-m", "benchmarks.data", "kit"], **(peers if size <= LOOPED else {})}
            for way, command in ways.items():
                output = subprocess.run([*command, folder], stdout=subprocess.PIPE, text=True, check=True).stdout
                rows.append({"rows": size, "way": way, **json.loads(output.splitlines()[-1])})
                print(rows[-1], flush=True)
    return rows


def write_rows(folder: Path, size: int) -> None:
    """Users with geometric lengths of mean 25, items of Zipf's popularity, in random order of rows; the memory stays
    bounded."""
    users, items = size // 25, max(1000, size // 500)
    with duckdb.connect(config={"threads": 1}) as engine:
        engine.execute("SET enable_progress_bar = false; SELECT setseed(0)")
        engine.execute(
            f"COPY (SELECT (random() * {users})::INT AS user, ({items - 1} * random() ** 3)::INT AS item, "
            f"(1e9 + random() * 6e8)::BIGINT AS timestamp FROM range({size})) TO '{folder}/interactions.csv'"
        )
        engine.execute(
            f"COPY (SELECT range AS item, 'Title ' || range AS title FROM range({items})) TO '{folder}/items.csv'"
        )


def kit(folder: str) -> dict:
    steps, started = {}, time.perf_counter()

    def step(name: str) -> None:
        nonlocal started
        steps[f"{name}, s"] = round(time.perf_counter() - started, 1)
        print(f"{name}: {steps}, peak {peak() // MIB} MB", file=sys.stderr, flush=True)
        started = time.perf_counter()

    interactions = read_source(DataConfig(dataset="custom", data_dir=folder))
    step("read and validate")
    interactions = drop_short_users(k_core(interactions, CORE), 3)
    step("5-core")
    split = leave_one_out(interactions)
    rows = len(interactions)
    del interactions
    step("split")
    consumed = split.consumed()
    for part, cases in ((1, split.valid), (2, split.test)):
        draw_candidates(split, cases, M, [0, part], consumed)
    step("candidates")
    return {**steps, "rows kept": rows}


def loops(folder: str) -> dict:
    """The same by one pandas group, and one set, a user."""
    started = time.perf_counter()
    frame = pd.read_csv(Path(folder) / "interactions.csv")
    items = pd.read_csv(Path(folder) / "items.csv")["item"].to_numpy()
    while True:
        few = frame.groupby("user")["item"].transform("size").lt(CORE) | frame.groupby("item")["user"].transform(
            "size"
        ).lt(CORE)
        if not few.any():
            break
        frame = frame[~few]
    rng, kept = np.random.default_rng(0), 0
    for _, own in frame.groupby("user"):
        own = own.sort_values("timestamp", kind="stable")["item"].tolist()
        kept += len(own)
        free = np.setdiff1d(items, own)
        for _answer in own[-2:]:
            rng.choice(free, M - 1, replace=False)
    return {"whole, s": round(time.perf_counter() - started, 1), "rows kept": kept}


def peak() -> int:
    """Bytes of this process at most so far; getrusage would count the parent's too, from before this program began."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


if __name__ == "__main__":
    DataConfig()  # what is imported is no part of what is measured
    before = peak()
    begun = time.perf_counter()
    result = {"kit": kit, "loops": loops}[sys.argv[1]](sys.argv[2])
    result |= {"whole, s": round(time.perf_counter() - begun, 1), "CPU, s": round(time.process_time(), 1)}
    print(json.dumps({**result, "peak above start, MB": round((peak() - before) / MIB)}))
