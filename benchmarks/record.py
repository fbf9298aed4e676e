"""Where results of benchmarks are kept: a JSON file each, and all of them as one Markdown page."""

import datetime
import json
import os
import platform
from pathlib import Path

import pandas as pd
import torch

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


def write(name: str, rows: list[dict], runs: int, folder: Path = RESULTS) -> None:
    """Keep the rows of a benchmark with what they were measured on, and print them."""
    about = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores"
        + (f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "runs": runs,
        "load": round(os.getloadavg()[0], 1),  # of other programs too: seconds are those of a free machine below 2
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"about": about, "rows": rows}, indent=2) + "\n")
    print(pd.DataFrame(rows).to_string(index=False), flush=True)


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
