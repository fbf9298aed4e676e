"""make chaos: kill a run at random moments and take it up again, many times.

python -m tools.chaos FOLDER [--kills 20] [--seed 0] [--of stages|notebooks|sweep]
"""

import argparse
import random
import shutil
import sys
from collections import Counter
from pathlib import Path

from tools.chaos.compare import differences, leftovers
from tools.chaos.kill import COMMANDS, disturbed, undisturbed

A_RUN = 8  # kills of one run, at most


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    says = "stages alone, python -m delrec_kit run, or a sweep of two runs"
    parser.add_argument("--of", choices=COMMANDS, default="stages", help=says)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    words, rng = COMMANDS[asked.of], random.Random(asked.seed)
    reference = asked.folder / "reference"
    shutil.rmtree(reference, ignore_errors=True)
    seconds = undisturbed(words, reference)
    print(f"undisturbed: {seconds:.0f} s", flush=True)
    kills, orphans, lost, runs = Counter(), [], [], 0
    while sum(kills.values()) < asked.kills:
        run, runs = asked.folder / f"run{runs}", runs + 1
        for old in (run, run.with_suffix(".log")):
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)
        tally = disturbed(words, run, seconds, min(A_RUN, asked.kills - sum(kills.values())), rng)
        kills.update(tally.kills)
        orphans += tally.orphans
        wrong = [*tally.failures, *(f"differs: {name}" for name in differences(reference, run)), *leftovers(run)]
        lost += [f"{run.name}: {text}" for text in wrong]
        print(f"{run.name}: {dict(tally.kills)}, {wrong or 'as the undisturbed'}", flush=True)
    told = ", ".join(f"{n} {name}" for name, n in sorted(kills.items()))
    print(f"{sum(kills.values())} kills ({told}) of {runs} runs; orphans: {orphans or 0}; lost: {lost or 0}")
    return int(bool(orphans or lost))


if __name__ == "__main__":
    sys.exit(main())
