"""Several processes learn one P: each weighs the tasks by the losses and gradients of all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import delrec_kit

SCRIPT = Path(__file__).with_name("two_ranks.py")
LAUNCH = ["--cpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]


@pytest.mark.slow
def test_two_ranks_learn_the_same_p_as_one_process(toy_llm_folder, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(delrec_kit.__file__).parents[1])}
    learned = {}
    for name, start in (("one", []), ("two", ["-m", "accelerate.commands.launch", *LAUNCH])):
        (tmp_path / name).mkdir()
        command = [sys.executable, *start, str(SCRIPT), str(toy_llm_folder), str(tmp_path / name)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-3000:]
        learned[name] = [load_file(path)["P"] for path in sorted((tmp_path / name).glob("P-*.safetensors"))]
    (one,), (first, second) = learned["one"], learned["two"]
    assert torch.equal(first, second), "the ranks' P drifted apart"
    torch.testing.assert_close(first, one, rtol=0, atol=1e-4)
