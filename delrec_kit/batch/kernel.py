"""The Python process of a notebook that runs in batch: started from this interpreter, and ended with it."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

OPTIONS = ["--log-level=ERROR"]
PRELOAD = "import delrec_kit.study.pictures"  # which most notebooks import: seconds
ROOM = 4 * 2**30  # bytes of free memory below which no kernel waits beside the one at work


def kernel_manager():
    """A kernel of this very interpreter, whichever kernels the machine has registered under the same name."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    return AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))


def end_kernel(kernel: Any) -> None:
    """End a kernel that was started: nbclient leaves alone what was handed to it."""
    if kernel.has_kernel:
        asyncio.run(kernel.shutdown_kernel(now=True))


class Kernels:
    """Kernels for notebooks that run one after the other in ``folder``. While one works the next starts, and imports
    what it will need, on a core that may idle otherwise."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._next = folder, None

    def take(self, another: bool) -> Any:
        """The one for the next notebook; another: whether one more may be needed after it."""
        kernel, self._next = self._next or kernel_manager(), None
        if another and psutil.virtual_memory().available > ROOM:
            self._next = kernel_manager()
            preload = [*OPTIONS, f"--IPKernelApp.exec_lines={PRELOAD}"]
            asyncio.run(self._next.start_kernel(cwd=str(self._folder), extra_arguments=preload))
        return kernel

    def close(self) -> None:
        """End the one that waits."""
        if self._next is not None:
            end_kernel(self._next)


def interruptible(work: Callable[[], Any], kernel: Any) -> None:
    """Call ``work`` in a thread, and end its kernel at Ctrl-C. In the main thread nbclient would take the signals to
    itself: one that comes while a kernel starts is lost, and the run goes on."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        try:
            future.result()
        except KeyboardInterrupt:
            logging.disable()  # that the kernel died is meant
            while not future.done():
                if (pid := getattr(kernel.provisioner, "pid", None)) is not None:  # else it has not started yet
                    with suppress(psutil.Error):
                        psutil.Process(pid).kill()
                wait([future], timeout=0.2)
            logging.disable(logging.NOTSET)
            raise
