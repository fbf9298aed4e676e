"""How every notebook begins: the look of its pictures, its parameters checked, and errors in one line."""

import ast
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from delrec_kit.run.directory import RunDirectory
from delrec_kit.run.progress import reached
from delrec_kit.settings.errors import KitError, nearest
from delrec_kit.settings.style import use_style

INJECTED = "# Parameters"  # how papermill begins the cell that it puts behind the parameters


def begin(run_dir: str | None = None) -> RunDirectory | None:
    """Take the kit's look, check what papermill handed over, and open the run in ``run_dir``, whose place is printed.

    Raises KitError for a parameter that the notebook does not have, and where there is no run.
    """
    use_style()
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        shell.set_custom_exc((KitError, KeyboardInterrupt, NameError), _told)
        check_parameters(shell.user_ns.get("In", []))
    if run_dir is None:
        return None
    run = RunDirectory.open(run_dir)
    print(run.path)
    return run


def check_parameters(cells: Sequence[str]) -> None:
    """Raise KitError for a name that papermill has set and the notebook's own parameters do not. cells: the source of
    those that ran, in their order."""
    for own, injected in pairwise(cells):
        if not injected.startswith(INJECTED):
            continue
        known = _assigned(own)
        for name in _assigned(injected):
            if name not in known:
                raise KitError(f"this notebook has no parameter '{name}'{nearest(name, known)}")


def _assigned(cell: str) -> list[str]:
    lines = [line for line in ast.parse(cell).body if isinstance(line, ast.Assign)]
    return [target.id for line in lines for target in line.targets if isinstance(target, ast.Name)]


def _told(shell: Any, kind: type, error: BaseException, trace: Any, tb_offset: int | None = None) -> list[str]:
    """Shows an error that needs no traceback, as one line; a name that is not there with what to do."""
    if kind is KeyboardInterrupt:
        lines = [f"stopped{f' at {reached()}' if reached() else ''}; run this cell again to go on"]
    elif kind is NameError:
        lines = shell.InteractiveTB.structured_traceback(kind, error, trace, tb_offset=tb_offset)
        lines = [*lines, "A cell above was not run: Run > Run All Above Selected Cell does."]
    else:
        lines = [f"error: {error}"]
    shell._showtraceback(kind, error, lines)
    return lines
