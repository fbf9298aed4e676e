"""Drives the numbered notebooks through papermill, one a stage, into ``RUN/notebooks/``.

A notebook is executed under a temporary name and renamed when it ends; one that failed is kept, with its error in it,
beside the last good copy. Papermill
cannot resume (papermill#824): a notebook whose stage is done and whose source has not changed is skipped, and a stage
that was cut off takes up its work from the run directory.
"""

import asyncio
import hashlib
import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from delrec_kit.run.directory import STAGES, RunDirectory
from delrec_kit.run.inputs import looks_like_path
from delrec_kit.run.locking import HELD
from delrec_kit.settings.errors import KitError

PACKAGE = Path(__file__).parents[1]


class NotebookFailed(Exception):
    """A notebook ended with an error that is not its user's; the message is one line."""


def notebooks_folder() -> Path:
    """Where the notebooks' sources lie: in the installed package, or in the repository of an editable install."""
    for folder in (PACKAGE / "notebooks", PACKAGE.parent / "notebooks"):
        if any(folder.glob("0*.ipynb")):
            return folder
    raise KitError("the kit's notebooks are missing; install it again, or run from a full checkout")


def source_of(number: str) -> Path:
    """The notebook whose name starts with ``number``, such as ``01``."""
    found = sorted(notebooks_folder().glob(f"{number}_*.ipynb"))
    if len(found) != 1:
        raise KitError(f"{notebooks_folder()} has {len(found)} notebooks that start with {number}_; one is needed")
    return found[0]


def run_notebooks(
    run: RunDirectory, profile: str, overrides: Sequence[str], numbers: Sequence[str] = tuple(STAGES)
) -> list[Path]:
    """Execute the notebooks ``numbers`` in order, skipping those done; returns the executed copies.

    Raises:
        KitError: a notebook raised one; the message says where the notebook lies.
        NotebookFailed: a notebook failed in any other way.
    """
    (run.path / "notebooks").mkdir(exist_ok=True)
    with run.locked(), _environment(run):
        try:
            return [_run_one(run, number, profile, overrides) for number in numbers]
        finally:
            _clear_drafts(run)


def run_experiments(folder: Path) -> Path:
    """Execute the notebook of experiments on the runs in ``folder``, as they are; returns the executed copy."""
    source = source_of("06")
    copy, draft = folder / source.name, folder / f".{source.stem}.running.ipynb"
    with _environment(None):
        failure = _execute(source, draft, {"sweep_dir": str(folder.resolve()), "grid": None})
    if failure is not None:
        raise type(failure)(f"{failure} [{source.stem}; see {draft}]")
    _finish(draft, copy, {"source": hashlib.sha256(source.read_bytes()).hexdigest()})
    return copy


def is_current(run: RunDirectory, number: str) -> bool:
    """Whether the stage is done and its executed copy came from this source with these settings."""
    stage = STAGES[number]
    copy = run.path / "notebooks" / source_of(number).name
    if not (run.is_done(stage) and copy.is_file()):
        return False
    try:
        executed = json.loads(copy.read_text(encoding="utf-8"))["metadata"].get("delrec_kit")
    except (ValueError, KeyError):
        return False
    return executed == _stamp(run, number)


def _stamp(run: RunDirectory, number: str) -> dict[str, str]:
    source = hashlib.sha256(source_of(number).read_bytes()).hexdigest()
    return {"source": source, "fingerprint": run.fingerprint(STAGES[number])}


def _run_one(run: RunDirectory, number: str, profile: str, overrides: Sequence[str]) -> Path:
    source = source_of(number)
    folder = run.path / "notebooks"
    copy, draft, failed = (folder / name for name in (
        source.name, f".{source.stem}.running.ipynb", f"{source.stem}.failed.ipynb"
    ))  # fmt: skip
    if is_current(run, number):
        print(f"{source.stem}: done before, skipped", flush=True)
        return copy
    print(f"{source.stem} …", flush=True)
    started = time.monotonic()
    parameters = {"run_dir": str(run.path), "profile": profile, "overrides": list(overrides)}
    stamp = _stamp(run, number)
    failure = _execute(source, draft, parameters)
    if failure is None and not run.is_done(STAGES[number]):
        failure = NotebookFailed(f"it ended before stage {number} ({STAGES[number]}) was done")
    failed.unlink(missing_ok=True)
    if draft.is_file():
        _finish(draft, failed if failure else copy, stamp)
    if failure is not None:
        raise type(failure)(f"{failure} [{source.stem}; see {failed}]")
    print(f"{source.stem}: {time.monotonic() - started:.1f} s", flush=True)
    return copy


def _clear_drafts(run: RunDirectory) -> None:
    """After Ctrl-C: what a kernel that was ended could not clear itself."""
    for folder in run.path.glob(".*.draft"):
        shutil.rmtree(folder, ignore_errors=True)
    for notebook in (run.path / "notebooks").glob(".*.running.ipynb"):
        notebook.unlink(missing_ok=True)


def _execute(source: Path, target: Path, parameters: dict) -> KitError | NotebookFailed | None:
    """Run one notebook; what went wrong comes back as one line."""
    try:
        import papermill
        from nbclient.exceptions import DeadKernelError
    except ModuleNotFoundError as error:
        return KitError(f"{error.name} is missing; install the kit's extra: pip install 'delrec_kit[notebooks]'")
    # Papermill looks for the parameters with a pattern that trips over comments, and warns; a test checks their cell.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    output, kernel = _Indented(sys.stdout), _kernel_manager()
    try:
        papermill.execute_notebook(
            source,
            target,
            parameters,
            kernel_name="python3",
            language="python",
            km=kernel,
            extra_arguments=["--log-level=ERROR"],
            progress_bar=False,
            stdout_file=output,
            stderr_file=output,
            cwd=target.parent,
        )
    except papermill.PapermillExecutionError as error:
        text = " ".join(_plain(str(error.evalue)).split())
        return KitError(text) if error.ename == "KitError" else NotebookFailed(f"{error.ename}: {text}"[:500])
    except DeadKernelError:
        return NotebookFailed("the notebook's Python process died, most likely for lack of memory")
    finally:
        output.end()
        if kernel.has_kernel:  # a manager that was handed over is not ended by the client: its kernel would stay
            asyncio.run(kernel.shutdown_kernel(now=True))
    return None


def _kernel_manager():
    """A kernel of this very interpreter, whichever kernels the machine has registered under the same name."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    return AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))


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


class _Indented:
    """Passes a notebook's text on, each line set in under its notebook's name."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.fresh = True

    def write(self, text: str) -> None:
        for line in _plain(text).replace("\r", "\n").splitlines(keepends=True):
            if line.strip() or not self.fresh:
                self.out.write(f"    {line}" if self.fresh else line)
                self.fresh = line.endswith("\n")

    def flush(self) -> None:
        self.out.flush()

    def end(self) -> None:
        if not self.fresh:
            self.write("\n")
        self.out.flush()


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
