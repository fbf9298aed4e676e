"""How far a run is, told from its files alone: also from another terminal, and after its process has died."""

import socket
import time
from pathlib import Path
from typing import Any

import psutil

from delrec_kit.run.directory import RunDirectory
from delrec_kit.run.files import DONE, read_record
from delrec_kit.run.heartbeat import FILE, NOW, TRAINING
from delrec_kit.run.stages import DEPENDS, number_of

STATE = "trainer_state.json"  # of a checkpoint, written last
SLACK = 2.0  # seconds by which two clocks of one machine may differ


def status_text(run: RunDirectory) -> str:
    """A line or more for each stage: done, running or stopped, and how far."""
    sign = _sign(run.path / FILE)
    lines = []
    for stage in DEPENDS:
        reason = run.undone(stage)
        if sign.get("stage") == stage and reason is not None:
            told = _working(run, stage, sign)
        elif reason is None:
            told = [f"done{_when(run.folder(stage))}"]
        else:
            told = [reason.replace("has not been run", "not run yet"), *_checkpoint(run, stage)]
        lines += [
            f"{(number_of(stage) if not n else ''):<5}{(stage if not n else ''):<16}{text}"
            for n, text in enumerate(told)
        ]
    owner = read_record(run.path / ".lock.json")
    if owner and _alive(owner, _seconds(owner.get("since"))):
        lines.append(f"in use by process {owner['pid']} on {owner['host']} since {owner['since']}")
    return "\n".join(lines)


def _working(run: RunDirectory, stage: str, sign: dict[str, Any]) -> list[str]:
    who = f"process {sign.get('pid')} on {sign.get('host')}"
    ago = f"{max(0.0, time.time() - sign.get('at', 0)):.0f} s ago"
    alive = _alive(sign, sign.get("since")) and "ended" not in sign
    if alive is None:
        first = f"{who}, which cannot be seen from here; its last sign of life came {ago}"
    elif alive:
        first = f"running: {who} since {_clock(sign.get('since'))}"
    else:
        ended = f" by {sign['ended']}" if "ended" in sign else ""
        first = f"stopped{ended}, at {_clock(sign.get('at'))}: {who}; the same command takes it up"
    steps = [_steps(sign[kind], bool(alive)) for kind in (TRAINING, NOW) if kind in sign]
    return [first, *steps, *([] if alive else _checkpoint(run, stage))]


def _steps(counted: dict[str, Any], alive: bool) -> str:
    done, total, rate = counted.get("done", 0), counted.get("total"), counted.get("rate")
    told = f"{counted.get('what')}: {done}{f' of {total}' if total else ''}"
    if rate:
        told += f", {rate:.3g} a second"
        told += f", {(total - done) / rate:.0f} s left" if alive and total else ""
    return told + (f"; {counted['note']}" if counted.get("note") else "")


def _checkpoint(run: RunDirectory, stage: str) -> list[str]:
    """The newest checkpoint that the stage would resume from."""
    found = [(path.stat().st_mtime, path) for path in run.checkpoints(stage).rglob(f"checkpoint-*/{STATE}")]
    states = [state for _, path in sorted(found, reverse=True) if (state := read_record(path))]
    if not states:
        return []
    return [f"a checkpoint after step {states[0].get('global_step')} of {states[0].get('max_steps')} is kept"]


def _when(folder: Path) -> str:
    seconds = read_record(folder / DONE).get("seconds")
    took = f" in {seconds:.0f} s" if isinstance(seconds, int | float) else ""
    return f"{took}, {_clock((folder / DONE).stat().st_mtime)}"


def _alive(owner: dict[str, Any], since: float | None) -> bool | None:
    """Whether the process runs; None where it is another machine's. A later process may have got its number."""
    if owner.get("host") != socket.gethostname():
        return None
    try:
        return psutil.Process(owner["pid"]).create_time() <= (since or 0) + SLACK
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False


def _seconds(moment: str | None) -> float | None:
    try:
        return time.mktime(time.strptime(moment, "%Y-%m-%d %H:%M:%S"))
    except (TypeError, ValueError):
        return None


def _clock(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else "an unknown time"


def _sign(path: Path) -> dict[str, Any]:
    """The last sign of life; nothing where the file holds anything else."""
    sign = read_record(path)
    counted = [sign[kind] for kind in (TRAINING, NOW) if kind in sign]
    steps = [each.get(name) or 0 for each in counted if isinstance(each, dict) for name in ("done", "total", "rate")]
    numbers = [sign.get("at"), sign.get("since"), *steps]
    whole = all(isinstance(each, dict) for each in counted) and all(isinstance(n, int | float) for n in numbers)
    return sign if whole and all(0 <= n < 2**40 for n in numbers) else {}
