"""Recommendations for everybody: the teacher proposes, the language model reranks, a block of people at a time."""

import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.common import medians
from delrec_kit.run.directory import RunDirectory
from delrec_kit.settings.resolve import resolve
from delrec_kit.study import stages
from delrec_kit.study.parts import write_recommendations
from delrec_kit.study.people import users_of
from delrec_kit.study.recommend import ranked_for
from delrec_kit.study.study import Study

QUICK = [
    "teacher.epochs=1", "distill.examples=16", "train.valid_users=8", "finetune.adapter=none",
    "finetune.methods=[delrec]", "data.cold_items=0",
]  # fmt: skip


def bench(runs: int, users: int = 256, top: int = 20) -> list[dict]:
    """users of the demo world, who get ``top`` titles each; speed does not depend on what was learned."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory.create(Path(folder) / "run", resolve("smoke", [*QUICK, f"data.world_users={users}"]))
        for stage in ("prepare", "teacher", "distill", "finetune"):
            getattr(stages, f"{stage}_stage")(run)
        study = Study(run)
        recommender, people = replace(study.recommender("delrec"), name=""), users_of(study)

        def one_by_one(count: int) -> None:
            for row in range(count):
                ranked_for(study, recommender, people.take(np.array([row])), top)

        few = min(32, users)
        seconds = medians(
            {
                "ours": partial(ranked_for, study, recommender, people, top),
                "one": partial(one_by_one, few),
                "teacher": partial(study.teacher.scores, people.cases),
            },
            runs,
        )
        started = time.perf_counter()
        write_recommendations(study, people, top, Path(folder) / "out.parquet")
        whole = time.perf_counter() - started
    return [
        {
            "users": users,
            "top": top,
            "model": "tiny T5, nf4",
            "users/s": round(users / seconds["ours"], 1),
            "over one person at a time": round(seconds["one"] / few / (seconds["ours"] / users), 2),
            "teacher's share of the time": round(seconds["teacher"] / seconds["ours"], 3),
            "users/s into a file, loading included": round(users / whole, 1),
        }
    ]
