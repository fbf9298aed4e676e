"""A tiny run without notebooks, as a program to be killed: ``python -m tools.chaos.stages RUN_DIR``."""

import sys

from delrec_kit.run.directory import RunDirectory
from delrec_kit.settings.resolve import resolve
from delrec_kit.study import stages

SETTINGS = [
    "data.world_users=60", "data.cold_items=0", "teacher.epochs=2", "distill.examples=80", "finetune.examples=160",
    "train.valid_users=8", "finetune.methods=[delrec]", "evaluation.protocols=[]", "evaluation.draws=1",
    "evaluation.methods=[llm_distilled_prompt]",
]  # fmt: skip
MADE = ("prepare", "teacher", "distill", "finetune", "evaluation")


def main(path: str) -> None:
    run = RunDirectory.create(path, resolve("smoke", SETTINGS))
    for stage in MADE:
        getattr(stages, f"{stage}_stage")(run)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit(130)
