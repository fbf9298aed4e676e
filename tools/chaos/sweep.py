"""A sweep of two runs through the first notebooks, as a program to be killed: ``python -m tools.chaos.sweep OUT``."""

import sys
from pathlib import Path

from delrec_kit.batch import elsewhere
from delrec_kit.batch.ending import exit_code
from delrec_kit.batch.sweep import read_grid, run_sweep
from tools.chaos.stages import SETTINGS

UNTIL = ["--stages", "01-02"]


class Shortened(elsewhere.Here):
    def __call__(self, command, log):
        return super().__call__([*command, *UNTIL], log)


def main(folder: str) -> None:
    cells = read_grid(Path(__file__).with_name("grid.yaml"), SETTINGS)
    if failed := run_sweep(cells, Path(folder), runner=Shortened(1)):
        raise RuntimeError(f"failed: {failed}")


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1])))
