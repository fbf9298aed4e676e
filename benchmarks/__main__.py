"""``python -m benchmarks [--data-dir DIR --tokenizer DIR]``: every benchmark, as JSON and as a Markdown table."""

import argparse
import datetime
import json
import os
import platform
from pathlib import Path

import pandas as pd
import torch

from benchmarks import catalogue, data, gpu, likelihoods, recommending, scoring, training

RESULTS = Path(__file__).parent / "results"
TITLES = {
    "scoring": "Scoring m candidates for a user (times faster than the peer; goals at m = 15: 8 over (a), 2 over (b))",
    "catalogue": "Scoring the whole catalogue (tiny T5 in 4-bit)",
    "recommending": "Recommending to everybody (tiny T5 in 4-bit)",
    "likelihoods": "Likelihoods of title tokens, forward and backward (goal: a fifth of the memory, no slower)",
    "training": "A training step over a peer on the same tokens",
    "data": "Preparing data: 5-core, leave-one-out, candidates of 15, from CSV (made rows; 16 bytes a row in columns)",
    "gpu": "Stages on large shapes within a memory limit (small shapes where there is no GPU)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", help="MovieLens-100K; default: the demo world")
    parser.add_argument("--tokenizer", help="folder of another T5 tokenizer; default: the shipped one")
    parser.add_argument("--recbole", help="an interpreter that has RecBole, a peer in preparing data; default: none")
    parser.add_argument("--runs", type=int, default=5, help="of which medians are taken")
    parser.add_argument("--only", choices=TITLES, nargs="+", default=list(TITLES))
    given = parser.parse_args()
    ways = {
        "scoring": lambda: scoring.bench(given.data_dir, given.tokenizer, given.runs),
        "catalogue": lambda: catalogue.bench(given.runs),
        "recommending": lambda: recommending.bench(given.runs),
        "likelihoods": lambda: likelihoods.bench(given.runs),
        "training": lambda: training.bench(given.data_dir, given.tokenizer, given.runs),
        "data": lambda: data.bench(given.recbole),
        "gpu": lambda: gpu.bench(given.data_dir, given.tokenizer),
    }
    RESULTS.mkdir(exist_ok=True)
    for name in given.only:
        print(f"{name} …", flush=True)
        rows = ways[name]()
        if not rows:  # what it needs is not installed, as it has said
            continue
        about = {
            "date": datetime.date.today().isoformat(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores"
            + (f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "runs": given.runs,
            "load": round(os.getloadavg()[0], 1),  # of other programs too: seconds are those of a free machine below 2
        }
        (RESULTS / f"{name}.json").write_text(json.dumps({"about": about, "rows": rows}, indent=2) + "\n")
        print(pd.DataFrame(rows).to_string(index=False), flush=True)
    (RESULTS / "README.md").write_text(page())


def page() -> str:
    """All results on disk as one Markdown page."""
    parts = ["# Benchmarks\n\nMedians; ratios are of runs that took turns in one process. Made by `make bench`.\n"]
    for name, title in TITLES.items():
        file = RESULTS / f"{name}.json"
        if file.is_file():
            content = json.loads(file.read_text())
            text = pd.DataFrame(content["rows"]).astype(object).fillna("").to_markdown(index=False)
            about = ", ".join(f"{key} {value}" for key, value in content["about"].items())
            parts.append(f"## {title}\n\n{about}\n\n{text}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    main()
