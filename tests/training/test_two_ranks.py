"""Several processes learn one P: each weighs the tasks by the losses and gradients of all."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("two_ranks.py")


@pytest.mark.slow
def test_two_ranks_learn_the_same_p_as_one_process(toy_llm_folder, tmp_path, launch):
    """sharded: the two hold the frozen weights together."""
    learned = {}
    for name, processes, fsdp in (("one", 1, "false"), ("two", 2, "false"), ("sharded", 2, "true")):
        folder = tmp_path / name
        folder.mkdir()
        launch(processes, str(SCRIPT), str(toy_llm_folder), str(folder), ACCELERATE_USE_FSDP=fsdp)
        learned[name] = [load_file(path)["P"] for path in sorted(folder.glob("P-*.safetensors"))]
    (one,) = learned["one"]
    for first, second in (learned["two"], learned["sharded"]):
        assert torch.equal(first, second), "the ranks' P drifted apart"
        torch.testing.assert_close(first, one, rtol=0, atol=1e-4)
