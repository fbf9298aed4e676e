"""The Python process of a notebook that runs in batch: started from this interpreter, and ended with it."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

import psutil


def kernel_manager():
    """A kernel of this very interpreter, whichever kernels the machine has registered under the same name."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    return AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))


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
