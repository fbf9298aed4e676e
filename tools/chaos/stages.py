"""A tiny run without notebooks, as a program to be killed: ``python -m tools.chaos.stages RUN_DIR``.

Where the environment says ``CHAOS_EVENT="17 9"``, it sends itself signal 9 just before it changes a file in RUN_DIR for
the 17th time: makes, opens for writing, renames or deletes one.
"""

import os
import sys

from delrec_kit.run.directory import RunDirectory
from delrec_kit.settings.resolve import resolve
from delrec_kit.study import stages

SETTINGS = [
    "data.world_users=60", "data.cold_items=0", "teacher.epochs=2", "distill.examples=80", "finetune.examples=160",
    "train.valid_users=8", "finetune.methods=[delrec]", "evaluation.protocols=[]", "evaluation.draws=1",
    "evaluation.methods=[llm_distilled_prompt]",
]  # fmt: skip
EVENT = "CHAOS_EVENT"
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")
MADE = ("prepare", "teacher", "distill", "finetune", "evaluation")


def end_at(event: int, how: int, folder: str) -> None:
    """Send this process the signal ``how`` just before the change number ``event`` below ``folder``."""
    left = event

    def heard(name: str, arguments: tuple) -> None:
        nonlocal left
        opened = name == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (opened or name in CHANGES) and str(arguments[0]).startswith(folder):
            left -= 1
            if left == -1:
                os.kill(os.getpid(), how)

    sys.addaudithook(heard)


def main(path: str) -> None:
    if os.environ.get(EVENT):
        end_at(*map(int, os.environ[EVENT].split()), os.path.realpath(path))
    run = RunDirectory.create(path, resolve("smoke", SETTINGS))
    for stage in MADE:
        getattr(stages, f"{stage}_stage")(run)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit(130)
