"""Where the commands of a sweep run: on this machine, as jobs of SLURM, or as tasks of a Ray cluster.

A command is the same wherever it runs, and writes into folders that all machines see. The engines queue it, find it a
machine and tell how it ended; what it had made by then stays, and the same sweep takes it up.
"""

import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Protocol

from delrec_kit.batch.ending import INTERRUPTED, TIED
from delrec_kit.settings.errors import KitError

On = Literal["here", "slurm", "ray"]


class Runner(Protocol):
    def __call__(self, command: Sequence[str], log: Path) -> int:
        """Run ``command`` to its end, its output added to ``log``; its exit code."""
        ...

    def end(self) -> None:
        """Have what runs end as after Ctrl-C, and start nothing more."""
        ...


def runner(on: On, jobs: int, folder: Path, options: Sequence[str] = ()) -> Runner:
    """What runs commands: ``here``, sharing the cores among ``jobs``; or by an engine, whose own files lie in
    ``folder``. options: NAME=VALUE, as the engine calls them: submitit's ``timeout_min``, ``slurm_partition``,
    ``gpus_per_node``; Ray's ``num_cpus``, ``num_gpus``.

    Raises KitError where the engine is not installed, or does not know an option.
    """
    if on == "here":
        if options:
            raise KitError("--option is for --on slurm and --on ray; runs on this machine take --jobs")
        return Here(jobs)
    return {"slurm": _on_slurm, "ray": _on_ray}[on](folder, dict(map(_read, options)))


def each_through(work: Callable[[Any], object], things: Sequence[Any], jobs: int, through: Runner) -> None:
    """``work(thing)`` for each, ``jobs`` at a time, each of which waits for ``through``; what runs there is ended where
    this is interrupted."""
    with ThreadPoolExecutor(jobs) as pool:
        try:
            list(pool.map(work, things))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            through.end()
            raise


class Here:
    """Processes of this machine. Each ends when its standard input is closed, by ``end`` or by this process's own
    end."""

    def __init__(self, jobs: int) -> None:
        shared = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))} if jobs > 1 else {}
        self.environment = {**os.environ, **shared, TIED: "1"}
        self.ended, self.processes, self.lock = False, [], Lock()

    def __call__(self, command: Sequence[str], log: Path) -> int:
        with log.open("a", encoding="utf-8") as out:
            with self.lock:
                if self.ended:
                    return INTERRUPTED
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, env=self.environment
                )
                self.processes.append(process)
            process.wait()
        self.processes.remove(process)
        process.stdin.close()
        return process.returncode

    def end(self) -> None:
        with self.lock:
            self.ended = True
            for process in self.processes:
                process.stdin.close()


class Queued:
    """Jobs of an engine. submit: (command, log) -> a handle; result: handle -> exit code, when it has ended; lost: the
    exceptions of a job that did not; cancel: of a handle."""

    def __init__(self, submit: Callable, result: Callable, lost: type[Exception], cancel: Callable) -> None:
        self.submit, self.result, self.lost, self.cancel = submit, result, lost, cancel
        self.ended, self.handles, self.lock = False, [], Lock()

    def __call__(self, command: Sequence[str], log: Path) -> int:
        with self.lock:
            if self.ended:
                return INTERRUPTED
            handle = self.submit(_logged, list(command), log.absolute(), Path.cwd())
            self.handles.append(handle)
        try:
            return self.result(handle)
        except self.lost as error:
            with log.open("a", encoding="utf-8") as out:
                out.write(f"the job did not end: {' '.join(str(error).split())[:300]}; the same command takes it up\n")
            return INTERRUPTED if self.ended else 1
        finally:
            self.handles.remove(handle)

    def end(self) -> None:
        with self.lock:
            self.ended = True
            for handle in self.handles:
                with suppress(Exception):  # it may have ended by itself
                    self.cancel(handle)


def _logged(command: Sequence[str], log: Path, folder: Path) -> int:
    with Path(log).open("a", encoding="utf-8") as out:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=folder, check=False
        )
        return done.returncode


def _on_slurm(folder: Path, options: dict) -> Queued:
    """Through submitit; where there is no SLURM, in processes of this machine."""
    try:
        import submitit
    except ImportError:
        raise KitError("--on slurm needs submitit; install it: pip install submitit") from None
    executor = submitit.AutoExecutor(folder / ".jobs")
    try:
        executor.update_parameters(**options)
    except (NameError, TypeError, ValueError, AssertionError) as error:
        raise KitError(f"submitit does not take these options: {' '.join(str(error).split())}") from None
    lost = submitit.core.utils.UncompletedJobError
    return Queued(executor.submit, lambda job: job.result(), lost, lambda job: job.cancel())


def _on_ray(folder: Path, options: dict) -> Queued:
    """On the cluster that RAY_ADDRESS names; without one, on a cluster of this machine alone."""
    try:
        import ray
    except ImportError:
        raise KitError("--on ray needs Ray; install it: pip install ray") from None
    try:
        task = ray.remote(**options)(_logged) if options else ray.remote(_logged)
    except (TypeError, ValueError) as error:
        raise KitError(f"Ray does not take these options: {' '.join(str(error).split())}") from None
    try:
        if not ray.is_initialized():
            ray.init(log_to_driver=False, include_dashboard=False)
    except Exception as error:  # Ray raises bare ones
        raise KitError(f"no Ray cluster answers: {' '.join(str(error).split())[:300]}; see RAY_ADDRESS") from error
    return Queued(lambda _, *words: task.remote(*words), ray.get, ray.exceptions.RayError, ray.cancel)


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
