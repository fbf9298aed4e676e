"""Drives the numbered notebooks through papermill, one a stage, into ``RUN/notebooks/``.

A notebook is executed under a temporary name and renamed when it ends; one that failed is kept, with its error in it,
beside the last good copy. Papermill cannot resume (papermill#824): a notebook whose stage is done and whose source has
not changed is skipped, and a stage that was cut off takes up its work from the run directory.
"""

import ast
import hashlib
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from delrec_kit.batch.ahead import ahead
from delrec_kit.batch.kernel import OPTIONS, Kernels, end_kernel, interruptible, kernel_manager
from delrec_kit.batch.output import Indented, plain
from delrec_kit.run.directory import STAGES, RunDirectory
from delrec_kit.run.inputs import looks_like_path
from delrec_kit.run.locking import HELD
from delrec_kit.run.trouble import lower, trouble_of
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.profiles import PACKAGE, shipped

EXPERIMENTS = "06"  # of many runs, and so not of a run


class NotebookFailed(Exception):
    """A notebook ended with an error that is not its user's; the message is one line."""


def sources() -> dict[str, Path]:
    """The numbered notebooks by number, such as ``05a``, in order."""
    found = sorted(shipped("notebooks").glob("0*.ipynb"))
    return {path.name.partition("_")[0]: path for path in found}


def numbers_of(wanted: str) -> list[str]:
    """The notebooks of a run that ``wanted`` names, such as "03-05" or "01,05a"; 05 stands for all its parts. Raises
    KitError for a number that there is not."""
    known = [number for number in sources() if number != EXPERIMENTS]
    chosen: set[str] = set()
    for part in filter(None, (part.strip() for part in wanted.split(","))):
        first, last = (end.strip().zfill(2) for end in (part.partition("-")[0], part.rpartition("-")[2]))
        for end in (first, last):
            if not any(number.startswith(end) for number in known):
                raise KitError(f"unknown stage '{end}' (known: {', '.join(known)}, or a range such as 03-05)")
        if last < first:
            raise KitError(f"--stages {part} runs backwards; write {last}-{first}")
        chosen |= {n for n in known if n.startswith((first, last)) or first <= n <= last}
    if not chosen:
        raise KitError(f"--stages names no stage (known: {', '.join(known)})")
    return [number for number in known if number in chosen]


def run_notebooks(
    run: RunDirectory, profile: str, overrides: Sequence[str], numbers: Sequence[str] | None = None
) -> list[Path]:
    """Execute the notebooks ``numbers`` (all of a run) in order, skipping those done; returns the executed copies.

    Raises:
        KitError: a notebook raised one; the message says where the notebook lies.
        NotebookFailed: a notebook failed in any other way.
    """
    (run.path / "notebooks").mkdir(exist_ok=True)
    parameters = {"run_dir": str(run.path), "profile": profile, "overrides": list(overrides)}
    with run.locked(), _environment(run):
        try:
            return _run_all(run, numbers or numbers_of("01-05"), parameters)
        except OSError as error:  # the executed copy could not be written
            if (line := trouble_of("OSError", str(error), run.path)) is None:
                raise
            raise NotebookFailed(line) from error
        finally:
            _clear_drafts(run)


def _run_all(run: RunDirectory, numbers: Sequence[str], parameters: Mapping[str, Any]) -> list[Path]:
    copies, took, kernels = [], {}, Kernels(run.path / "notebooks")
    try:
        for place, number in enumerate(numbers):
            if line := ahead(run, took, numbers[place:]):
                print(line, flush=True)
            started, take = time.monotonic(), partial(kernels.take, another=number != numbers[-1])
            copies.append(_run_one(run, number, parameters, take))
            took[number] = time.monotonic() - started
    finally:
        kernels.close()
    return copies


def run_experiments(folder: Path) -> Path:
    """Execute the notebook of experiments on the runs in ``folder``, as they are; returns the executed copy."""
    source = sources()[EXPERIMENTS]
    copy, draft = folder / source.name, folder / f".{source.stem}.running.ipynb"
    with _environment(None):
        own = {"sweep_dir": str(folder.resolve()), "grid": None}
        failure = _execute(source, draft, own, kernel_manager)
    if failure is not None:
        raise type(failure)(f"{failure} [{source.stem}; see {draft}]")
    _finish(draft, copy, {"source": hashlib.sha256(source.read_bytes()).hexdigest()})
    return copy


def is_current(run: RunDirectory, number: str) -> bool:
    """Whether the stage is done and its executed copy came from this source with these settings. A notebook that makes
    nothing is as current as all the stages before it. Raises KitError where a file of the finished stage is damaged."""
    copy = run.path / "notebooks" / sources()[number].name
    if not (run.is_done(_stage(number)) and copy.is_file()):
        return False
    run.check(_stage(number))
    try:
        executed = json.loads(copy.read_text(encoding="utf-8"))["metadata"].get("delrec_kit")
    except (ValueError, KeyError):
        return False
    return executed == _stamp(run, number)


def _stage(number: str) -> str:
    return STAGES.get(number, list(STAGES.values())[-1])


def _stamp(run: RunDirectory, number: str) -> dict[str, str]:
    source = hashlib.sha256(sources()[number].read_bytes()).hexdigest()
    return {"source": source, "fingerprint": run.fingerprint(_stage(number))}


def _run_one(run: RunDirectory, number: str, parameters: Mapping[str, Any], take: Callable[[], Any]) -> Path:
    source, folder = sources()[number], run.path / "notebooks"
    copy, draft = folder / source.name, folder / f".{source.stem}.running.ipynb"
    failed = folder / f"{source.stem}.failed.ipynb"
    if is_current(run, number):
        print(f"{source.stem}: done before, skipped", flush=True)
        return copy
    print(f"{source.stem} …", flush=True)
    started, stamp = time.monotonic(), _stamp(run, number)
    own = {key: parameters[key] for key in parameters_of(source) if key in parameters}
    failure = _execute(source, draft, own, take)
    if failure is None and not run.is_done(_stage(number)):
        failure = NotebookFailed(f"it ended before stage {number} ({_stage(number)}) was done")
    failed.unlink(missing_ok=True)
    if draft.is_file():
        _finish(draft, failed if failure else copy, stamp)
    if failure is not None:
        raise type(failure)(f"{failure} [{source.stem}; see {failed}]")
    print(f"{source.stem}: {time.monotonic() - started:.1f} s", flush=True)
    return copy


def parameters_of(source: Path) -> list[str]:
    """Names that the parameters cell of a notebook sets."""
    cells = json.loads(source.read_text(encoding="utf-8"))["cells"]
    text = next("".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", []))
    return [line.targets[0].id for line in ast.parse(text).body if isinstance(line, ast.Assign)]


def _clear_drafts(run: RunDirectory) -> None:
    """After Ctrl-C: what a kernel that was ended could not clear itself."""
    run.recover()  # a draft that was whole is no draft
    for folder in run.path.glob(".*.draft"):
        shutil.rmtree(folder, ignore_errors=True)
    for notebook in (run.path / "notebooks").glob(".*.running.ipynb"):
        notebook.unlink(missing_ok=True)


def _execute(source: Path, target: Path, parameters: dict, take: Callable[[], Any]) -> KitError | NotebookFailed | None:
    """Run one notebook in the kernel that ``take`` gives; what went wrong comes back as one line."""
    stage = STAGES.get(source.name.partition("_")[0])
    try:
        import papermill
        from nbclient.exceptions import DeadKernelError
    except ModuleNotFoundError as error:
        return KitError(f"{error.name} is missing; install the kit's extra: pip install 'delrec_kit[notebooks]'")
    # Papermill looks for the parameters with a pattern that trips over comments, and warns; a test checks their cell.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    output, kernel = Indented(sys.stdout), take()
    try:
        work = partial(
            papermill.execute_notebook,
            source,
            target,
            parameters,
            kernel_name="python3",
            language="python",
            km=kernel,
            extra_arguments=list(OPTIONS),
            start_timeout=300,  # a kernel that waited may still import on a busy machine
            progress_bar=False,
            stdout_file=output,
            stderr_file=output,
            cwd=target.parent,
        )
        interruptible(work, kernel)
    except papermill.PapermillExecutionError as error:
        text = " ".join(plain(str(error.evalue)).split())
        if error.ename == "KitError":
            return KitError(text)
        told = trouble_of(error.ename, text, target.parent.parent, stage)
        return NotebookFailed(f"{error.ename}: {text}"[:500] if told is None else told)
    except DeadKernelError:
        return NotebookFailed(f"the notebook's Python process died, most likely for lack of memory; {lower(stage)}")
    finally:
        output.end()
        end_kernel(kernel)
    return None


def _finish(draft: Path, copy: Path, stamp: dict[str, str]) -> None:
    """Give the executed copy its name."""
    notebook = json.loads(draft.read_text(encoding="utf-8"))
    notebook["metadata"].pop("widgets", None)  # GitHub refuses to show a notebook with them
    notebook["metadata"]["delrec_kit"] = stamp
    draft.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(draft, copy)


@contextmanager
def _environment(run: RunDirectory | None) -> Iterator[None]:
    """What the kernels find in their environment; None for a notebook that works on no run of its own."""
    name = run.config.llm.name if run else "tiny"
    local = name == "tiny" or looks_like_path(name) or Path(name).is_dir()
    wanted = {
        **({HELD: str(run.path)} if run else {}),
        "DELREC_KIT_PROGRESS": "lines",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "TOKENIZERS_PARALLELISM": "false",
        "TQDM_MININTERVAL": "5",
        **({"HF_HUB_OFFLINE": "1"} if local else {}),
    }
    if (PACKAGE.parent / "pyproject.toml").is_file():  # a checkout: its kernels use this kit, installed or not
        wanted["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    before = {key: os.environ.get(key) for key in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})
