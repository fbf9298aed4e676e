"""Scoring a whole catalogue for a user: time and memory against the number of titles, each size in its own process."""

import json
import resource
import subprocess
import sys
import time

import numpy as np

from delrec_kit.data import Cases, Domain, Ragged
from delrec_kit.llm import LlmRecommender, PromptWriter, load_llm
from delrec_kit.settings.config import LlmConfig

SIZES = (1000, 4000, 16000)
USERS = 4


def bench(runs: int) -> list[dict]:
    rows = []
    for size in SIZES:
        command = [sys.executable, "-m", "benchmarks.catalogue", str(size), str(runs)]
        rows.append(
            json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        )
    first = rows[0]
    for row in rows:
        row["time over linear growth"] = round(
            row["seconds a user"] / first["seconds a user"] * SIZES[0] / row["titles"], 2
        )
    return rows


def measure(size: int, runs: int) -> dict:
    rng = np.random.default_rng(0)
    first, second = (
        ["Red", "Blue", "Last", "Silent", "Bright", "Hollow", "Golden", "Broken"],
        ["Harbour", "Moon", "Song", "River", "Road"],
    )
    titles = ["", *(f"{rng.choice(first)} {rng.choice(second)} {i} ({1960 + i % 60})" for i in range(size))]
    llm = load_llm(LlmConfig(), "cpu")
    recommender = LlmRecommender(llm, PromptWriter(llm.tokenizer, Domain(), titles, format=llm.format))
    people = Cases.of_histories(Ragged.from_lists([rng.integers(1, size, 10) for _ in range(USERS)]))
    recommender.scores(people.take(np.arange(1)))
    seconds = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(runs):
        started = time.perf_counter()
        recommender.scores(people)
        seconds.append((time.perf_counter() - started) / USERS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    each = float(np.median(seconds))
    return {
        "titles": size,
        "users/s": round(1 / each, 2),
        "seconds a user": round(each, 3),
        "peak memory, MB": round(peak / 1024),
        "grown while scoring, MB": round((peak - before) / 1024),
    }


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
