"""What a machine runs out of: disk and permission, as one line that says what to do; memory, which smaller parts of a
batch may spare."""

import errno
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from delrec_kit.run.processes import several
from delrec_kit.run.surroundings import noted

Found = TypeVar("Found")

FULL = ("no space left on device", "disk quota exceeded", "inline_container", "pytorchstreamwriter")  # the last: torch
MEMORY = ("not enough memory", "can't allocate memory", "out of memory", "alloc_failed", "unable to allocate")
SPENT = ("MemoryError", "_ArrayMemoryError", "OutOfMemoryError")
READ_ONLY = ("read-only file system", "permission denied", "operation not permitted")
BIG = "llm.quantization=nf4"
LOWER = {  # stage -> the settings that make it smaller
    "data": "data.max_length or data.world_users, or raise data.core",
    "teacher": "teacher.batch, teacher.length or teacher.width",
    "prompt": f"train.batch, llm.history, data.candidates or distill.k, or set {BIG}",
    "adapter": f"train.batch, llm.history, data.candidates or finetune.rank, or set {BIG}",
    "evaluation": "llm.history, data.candidates, evaluation.draws or the N of full-N in evaluation.protocols, or set "
    "llm.quantization=nf4",
    "interpretation": "evaluation.users or llm.history, or set llm.quantization=nf4",
}


def trouble(error: BaseException, run: Path, stage: str | None = None) -> str | None:
    """The line for an error that the machine is to blame for, None for any other."""
    return trouble_of(type(error).__name__, str(error), run, stage)


def trouble_of(kind: str, text: str, run: Path, stage: str | None = None) -> str | None:
    """The same from the name of an exception and its text."""
    said, where = text.lower(), f"stage {stage}" if stage else "the kit"
    if kind in SPENT or any(words in said for words in MEMORY):
        return f"{where} ran out of memory ({_first(text) or kind}); {lower(stage)}; what was finished is kept"
    if any(words in said for words in FULL):
        return f"{where} found no space left on the disk of {run}; make room and give the same command again"
    if kind in ("OSError", "PermissionError") and any(words in said for words in READ_ONLY):
        return f"{where} cannot write in {run} ({_first(text)}); make the folder writable, or name another --run-dir"
    return None


def os_trouble(error: OSError) -> str | None:
    """The line for a file that could not be written or read, wherever it lies; None for an error of another kind."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
        file = f"{error.filename}: " if error.filename else ""
        return f"{file}{error.strerror}; make room or name another place, and give the same command again"
    return None


def lower(stage: str | None) -> str:
    """Which settings to lower."""
    return f"lower {LOWER[stage]}" if stage in LOWER else "free some, or take a smaller profile"


class Halving:
    """Does work by batches, in parts of at most ``most`` rows (0: a whole batch). From the first part on that takes
    more memory than there is, parts are half as large, down to single rows. (Trainer's ``auto_find_batch_size`` begins
    anew with another effective batch.)

    what: the work, in the lines that say so; spare: what makes a single row smaller, once: it says what it did, or None
    where nothing can be done.
    """

    def __init__(self, what: str, most: int = 0, spare: Callable[[], str | None] = lambda: None):
        self.what, self.most, self.spare = what, most, spare

    def __call__(self, work: Callable[[Sequence], Found], rows: Sequence, undo: Callable = lambda: None) -> list[Found]:
        """work of each part, after ``undo()`` where one failed. Where several processes work together, or nothing is
        left to spare, the error is raised."""
        from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

        while True:
            size = min(self.most or len(rows), len(rows))
            try:
                return [work(rows[first : first + size]) for first in range(0, len(rows), size)]
            except RuntimeError as error:
                if several() or not should_reduce_batch_size(error):
                    raise
                if size > 1:
                    self.most = (size + 1) // 2
                    mend = f"from here on {self.most} at a time"
                elif (mend := self.spare()) is None:
                    raise
                said = _first(str(error))
            noted(f"{self.what}: a batch of {size} ran out of memory ({said}); {mend}, the same up to rounding")
            undo()
            clear_device_cache(garbage_collection=True)


def _first(text: str) -> str:
    said = re.sub(r"^\[enforce fail at [^]]*\] err == 0\. ", "", " ".join(text.split()))  # torch's CPU allocator
    return said.partition(". ")[0][:150]
