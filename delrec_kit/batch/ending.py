"""How a command ends: with an exit code, and with one line on stderr where it did not end well."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Thread, main_thread

import typer

from delrec_kit.batch.notebooks import NotebookFailed
from delrec_kit.run.trouble import os_trouble, trouble
from delrec_kit.settings.errors import KitError

USER_ERROR, FAILURE, INTERRUPTED = 2, 1, 130
TIED = "DELREC_KIT_TIED"  # environment variable: the process that started this one holds its standard input open
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def exit_code(command: Callable[[], object]) -> int:
    """Run ``command``; returns the exit code. A mistake of the user's is one line on stderr and code 2. A SIGTERM is
    taken as Ctrl-C is, so that kernels are ended and drafts go; a second one does not disturb that."""
    before = {each: signal.getsignal(each) for each in SIGNALS}
    try:
        for each in SIGNALS:
            signal.signal(each, _interrupt)
        if os.environ.pop(TIED, None):
            Thread(target=_end_with_parent, daemon=True).start()
        command()
    except KitError as error:
        return _say(str(error), USER_ERROR)
    except NotebookFailed as error:
        return _say(str(error), FAILURE)
    except (OSError, MemoryError, RuntimeError) as error:
        line = os_trouble(error) if isinstance(error, OSError) else trouble(error, Path.cwd())
        if line is None:
            raise
        return _say(line, FAILURE)
    except KeyboardInterrupt:
        return _say("interrupted; the same command takes it up again", INTERRUPTED)
    except SystemExit as ended:  # how typer ends, usage errors and Ctrl-C included
        if ended.code == INTERRUPTED:
            return _say("interrupted; the same command takes it up again", INTERRUPTED)
        return ended.code or 0
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    return 0


def _interrupt(*_: object) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """A run of a sweep ends with it, however that ends: then the system closes what this reads."""
    while os.read(0, 1):
        pass
    # the main thread may wait for a notebook, and only a signal of its own wakes it
    wake = getattr(signal, "pthread_kill", lambda _, how: signal.raise_signal(how))  # Windows has none
    wake(main_thread().ident, signal.SIGTERM)


def _say(message: str, code: int) -> int:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    return code
