"""Starts a command that makes a run, ends it by a signal at a random moment, and starts it again."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tools.chaos.stages import EVENT, SETTINGS

ROOT = Path(__file__).parents[2]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
GONE_WITHIN = 20.0  # seconds in which every process of a killed command must be gone
TINY = [word for setting in SETTINGS for word in ("--set", setting)]
STAGES = ("-m", "tools.chaos.stages")
COMMANDS = {
    "stages": STAGES,
    "notebooks": ("-m", "delrec_kit", "run", "--profile", "smoke", "--stages", "01-05a", *TINY, "--run-dir"),
    "sweep": ("-m", "tools.chaos.sweep"),
}
EVENTS = 120  # changes of files that a life of the stages lasts, at most; a whole run makes some 400


@dataclass
class Tally:
    """What happened: kills by signal, processes that stayed, and runs that ended in another way than they should."""

    kills: dict[str, int] = field(default_factory=dict)
    orphans: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def start(words: tuple[str, ...], run: Path, log: Path, event: str = "") -> subprocess.Popen:
    """The command in a session of its own, so that a signal reaches it as from its terminal, or it alone. event: see
    ``tools.chaos.stages``."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", EVENT: event}
    environment |= {"PYTHONHASHSEED": "random"}  # another in each life: no order may hang on it
    with log.open("a", encoding="utf-8") as out:
        return subprocess.Popen(
            [sys.executable, *words, str(run)],
            stdout=out,
            stderr=out,
            env=environment,
            cwd=ROOT,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what a background job starts ignores it
        )


def undisturbed(words: tuple[str, ...], run: Path) -> float:
    """Seconds of a run that nobody kills. Raises RuntimeError where it fails."""
    started = time.monotonic()
    if start(words, run, run.with_suffix(".log")).wait():
        raise RuntimeError(f"the undisturbed run failed; see {run.with_suffix('.log')}")
    return time.monotonic() - started


def disturbed(words: tuple[str, ...], run: Path, seconds: float, kills: int, rng: random.Random) -> Tally:
    """The same in ``run``, killed ``kills`` times (fewer where it was through before), ``seconds`` being what it takes
    undisturbed: each life lasts a random share of that. Every second life of the stages ends by its own hand instead,
    just before it changes a file: checkpoints are written and stages renamed too quickly to be met by chance."""
    tally, log = Tally(), run.with_suffix(".log")
    for _ in range(kills):
        if words is STAGES and rng.random() < 0.5:
            how = rng.choice(SIGNALS)
            if not start(words, run, log, f"{rng.randrange(EVENTS)} {how.value}").wait():
                break
            tally.kills[f"{how.name} at a file"] = tally.kills.get(f"{how.name} at a file", 0) + 1
            continue
        process = start(words, run, log)
        try:
            process.wait(rng.uniform(0.02, 0.6) * seconds)
        except subprocess.TimeoutExpired:
            _kill(process, rng.choice(SIGNALS), tally)
        else:
            break
    if start(words, run, log).wait():
        tally.failures.append(f"the resumed run failed; see {log}")
    for each in (log, *run.glob("*.log")):
        if "Traceback" in each.read_text(encoding="utf-8", errors="replace"):
            tally.failures.append(f"a traceback in {each}")
    return tally


def _kill(process: subprocess.Popen, how: signal.Signals, tally: Tally) -> None:
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:  # it has just come to its end
        return
    process.send_signal(how)
    try:
        if process.wait(GONE_WITHIN):  # not so where it had come to its end
            tally.kills[how.name] = tally.kills.get(how.name, 0) + 1
    except subprocess.TimeoutExpired:
        tally.failures.append(f"{how.name} did not end it")
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(family, GONE_WITHIN)
    for left in alive:
        tally.orphans.append(f"{how.name}: {' '.join(left.cmdline())[:200]}")
        left.kill()
