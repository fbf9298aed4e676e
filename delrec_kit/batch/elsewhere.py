"""Where the commands of a sweep run: on this machine, as jobs of SLURM, or as tasks of a Ray cluster.

A command is the same wherever it runs, and writes into folders that all machines see. The engines queue it, find it a
machine and tell how it ended; what it had made by then stays, and the same sweep takes it up.
"""

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Literal

from delrec_kit.settings.errors import KitError

On = Literal["here", "slurm", "ray"]
Runner = Callable[[Sequence[str], Path], int]  # command, log -> exit code, when it has ended


def runner(on: On, jobs: int, folder: Path, options: Sequence[str] = ()) -> Runner:
    """What runs commands: ``here``, sharing the cores among ``jobs``; or by an engine, whose own files lie in
    ``folder``. options: NAME=VALUE, as the engine calls them: submitit's ``timeout_min``, ``slurm_partition``,
    ``gpus_per_node``; Ray's ``num_cpus``, ``num_gpus``.

    Raises KitError where the engine is not installed, or does not know an option.
    """
    if on == "here":
        if options:
            raise KitError("--option is for --on slurm and --on ray; runs on this machine take --jobs")
        threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))} if jobs > 1 else {}
        return lambda command, log: logged(command, log, Path.cwd(), threads)
    return {"slurm": _on_slurm, "ray": _on_ray}[on](folder, dict(map(_read, options)))


def logged(command: Sequence[str], log: Path, folder: Path, environment: dict[str, str] | None = None) -> int:
    """Run ``command`` in ``folder`` to its end, its output added to ``log``; its exit code."""
    with Path(log).open("a", encoding="utf-8") as out:
        around = {**os.environ, **(environment or {})}
        done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, cwd=folder, env=around, check=False)
        return done.returncode


def _on_slurm(folder: Path, options: dict) -> Runner:
    """Through submitit; where there is no SLURM, in processes of this machine."""
    try:
        import submitit
    except ImportError:
        raise KitError("--on slurm needs submitit; install it: pip install submitit") from None
    executor, one = submitit.AutoExecutor(folder / ".jobs"), Lock()
    try:
        executor.update_parameters(**options)
    except (NameError, TypeError, ValueError, AssertionError) as error:
        raise KitError(f"submitit does not take these options: {' '.join(str(error).split())}") from None

    def run(command: Sequence[str], log: Path) -> int:
        with one:
            job = executor.submit(logged, list(command), log.absolute(), Path.cwd())
        try:
            return job.result()
        except submitit.core.utils.UncompletedJobError as error:
            return _lost(log, f"job {job.job_id} did not end: {' '.join(str(error).split())[:300]}")

    return run


def _on_ray(folder: Path, options: dict) -> Runner:
    """On the cluster that RAY_ADDRESS names; without one, on a cluster of this machine alone."""
    try:
        import ray
    except ImportError:
        raise KitError("--on ray needs Ray; install it: pip install ray") from None
    try:
        task = ray.remote(**options)(logged) if options else ray.remote(logged)
    except (TypeError, ValueError) as error:
        raise KitError(f"Ray does not take these options: {' '.join(str(error).split())}") from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False)

    def run(command: Sequence[str], log: Path) -> int:
        try:
            return ray.get(task.remote(list(command), log.absolute(), Path.cwd()))
        except ray.exceptions.RayError as error:
            return _lost(log, f"the task did not end: {' '.join(str(error).split())[:300]}")

    return run


def _lost(log: Path, line: str) -> int:
    with log.open("a", encoding="utf-8") as out:
        out.write(f"{line}; the same command takes the run up\n")
    return 1


def _read(option: str) -> tuple[str, int | float | str]:
    name, equals, value = option.partition("=")
    if not (name and equals):
        raise KitError(f"--option {option}: write NAME=VALUE, such as timeout_min=120")
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value
