"""Two processes on the CPU do what one does at the same global batch, each with the whole frozen model or with its
share of it, and only one of them writes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from delrec_kit.__main__ import app
from delrec_kit.run.directory import RunDirectory, read_json
from delrec_kit.settings.resolve import resolve
from delrec_kit.study import stages

SMALL = ["data.world_users=60", "distill.examples=20", "train.batch=4", "finetune.examples=16"]
SMALL += ["llm.quantization=nf4", "data.cold_items=0"]
SMALL += ["finetune.methods=[llm_finetuned_joint_prompt, delrec]"]
TRAININGS = ("distill", "finetune")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, launch):
    """The same prepared run, taken through the other stages by one process, by two, and by two with ``--use_fsdp``."""
    one, two, sharded = (tmp_path_factory.mktemp("runs") / name for name in ("one", "two", "sharded"))
    run = RunDirectory.create(one, resolve("smoke", SMALL))
    stages.prepare_stage(run)
    stages.teacher_stage(run)
    shutil.copytree(one, two)
    shutil.copytree(one, sharded)
    with pytest.MonkeyPatch.context() as here:
        here.setenv("ACCELERATE_USE_CPU", "true")
        said = [CliRunner().invoke(app, ["stage", stage, str(one)]).output for stage in TRAININGS]
    said += [launch(2, "-m", "delrec_kit", "stage", stage, str(two), cwd=two) for stage in TRAININGS]
    for stage in TRAININGS:  # as ``accelerate launch --use_fsdp`` says it to its processes
        launch(2, "-m", "delrec_kit", "stage", stage, str(sharded), cwd=sharded, ACCELERATE_USE_FSDP="true")
    return one, two, sharded, said


@pytest.mark.slow
@pytest.mark.parametrize("other", [1, 2], ids=["two", "sharded"])
def test_the_same_losses_and_metrics(runs, other):
    one, two = runs[0], runs[other]
    for curve in ("prompt/curve.csv", "adapter/curve.csv"):
        first, second = (pd.read_csv(folder / curve).drop(columns=["seconds", "peak_mib"]) for folder in (one, two))
        pd.testing.assert_frame_equal(first, second, rtol=1e-3, atol=1e-3)
        assert first["valid_loss"].nunique() > 2, "weights that never moved would be equal too"


@pytest.mark.slow
def test_only_one_of_them_writes(runs):
    one, two, sharded, said = runs
    inside = lambda folder: sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())  # noqa: E731
    assert inside(one) == inside(two) == inside(sharded)
    assert not list(two.glob(".*.draft")) and not list((two / ".checkpoints").glob("*"))
    assert said[2].count("stage 1: step 4/5") == said[0].count("stage 1: step 4/5") == 1
    assert read_json(one / "adapter" / "delrec" / "metrics.json") == read_json(
        two / "adapter" / "delrec" / "metrics.json"
    )


@pytest.mark.parametrize(("own", "found"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_sleep_unless_told_otherwise(own, found):
    """On a machine that does something else too, threads that spin while they wait cost six times the time."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    ask = "import delrec_kit, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", ask],
        env={**environment, **({"OMP_WAIT_POLICY": own} if own else {})},
        cwd=Path(stages.__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split() == [found, "False"], "it must be said before torch is loaded"
