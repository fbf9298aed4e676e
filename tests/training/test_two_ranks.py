"""Several processes learn one P: each weighs the tasks by the losses and gradients of all."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("two_ranks.py")


@pytest.mark.slow
def test_two_ranks_learn_the_same_p_as_one_process(toy_llm_folder, tmp_path, launch):
    learned = {}
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        launch(processes, str(SCRIPT), str(toy_llm_folder), str(folder))
        learned[processes] = [load_file(path)["P"] for path in sorted(folder.glob("P-*.safetensors"))]
    (one,), (first, second) = learned[1], learned[2]
    assert torch.equal(first, second), "the ranks' P drifted apart"
    torch.testing.assert_close(first, one, rtol=0, atol=1e-4)
