"""How a command ends: with an exit code, and with one line on stderr where it did not end well."""

import signal
from collections.abc import Callable
from pathlib import Path

import typer

from delrec_kit.batch.notebooks import NotebookFailed
from delrec_kit.run.trouble import os_trouble, trouble
from delrec_kit.settings.errors import KitError

USER_ERROR, FAILURE, INTERRUPTED = 2, 1, 130


def exit_code(command: Callable[[], object]) -> int:
    """Run ``command``; returns the exit code. A mistake of the user's is one line on stderr and code 2. A SIGTERM is
    taken as Ctrl-C is, so that kernels are ended and drafts go."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
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
        signal.signal(signal.SIGTERM, before)
    return 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _say(message: str, code: int) -> int:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    return code
