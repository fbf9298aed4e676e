"""A sweep of two runs through the first notebooks, as a program to be killed: ``python -m tools.chaos.sweep OUT``."""

import sys
from pathlib import Path

from delrec_kit.batch import sweep
from delrec_kit.batch.ending import exit_code
from tools.chaos.stages import SETTINGS

UNTIL = ["--stages", "01-03"]


class Shortened(sweep.Running):
    def start(self, command, **how):
        return super().start([*command, *UNTIL], **how)


def main(folder: str) -> None:
    cells = sweep.read_grid(Path(__file__).with_name("grid.yaml"), SETTINGS)
    if failed := sweep.run_sweep(cells, Path(folder)):
        raise RuntimeError(f"failed: {failed}")


if __name__ == "__main__":
    sweep.Running = Shortened
    sys.exit(exit_code(lambda: main(sys.argv[1])))
