"""For two processes: whether models that they hold together answer and learn as each does with the whole one."""

import os
import sys
from pathlib import Path

import numpy as np
import torch

from delrec_kit.data import Domain
from delrec_kit.llm import LlmRecommender, PromptWriter, SoftPrompt, load_llm
from delrec_kit.llm.templates import placed
from delrec_kit.run.processes import SHARDED, is_main
from delrec_kit.settings.config import LlmConfig

TITLES = ["", *(f"Film {number}" for number in range(1, 13))]


def answers(config: LlmConfig) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Scores, their gradient on P, and the share of the spread weights that this process holds."""
    llm = load_llm(config, "cpu")
    writer = PromptWriter(llm.tokenizer, Domain("film"), TITLES, placed("after"), llm.format)
    llm.encode_titles(writer.table)
    asks = LlmRecommender(llm, writer, SoftPrompt.untrained(llm, 3, seed=0), history=5)
    items = np.array([[4, 5, 6], [9, 8, 7]])
    prompts = [asks.ask([1, 2, 3], items[0]), asks.ask([10, 11], items[1])]
    for _ in range(2):  # what is put together for one step must go, and come again
        scores = asks.logits(*asks.tensors(prompts, items))
        (gradient,) = torch.autograd.grad(scores[:, 0].sum(), [asks.P.vectors])
    spread = [weight for weight in llm.model.parameters() if hasattr(weight, "to_local")]
    held = sum(weight.to_local().numel() for weight in spread)
    return scores.detach(), gradient, held / max(1, sum(weight.numel() for weight in spread))


for folder in sys.argv[1:]:
    for quantization in ("fp32", "nf4"):
        config = LlmConfig(name=folder, quantization=quantization)
        os.environ.pop(SHARDED, None)
        whole = answers(config)
        os.environ[SHARDED] = "true"
        part = answers(config)
        torch.testing.assert_close(part[0], whole[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(part[1], whole[1], rtol=1e-3, atol=1e-5)
        assert whole[1].abs().max() > 1e-3, "no gradient would be equal too"
        assert whole[2] == 0 and 0.4 < part[2] < 0.6
        if is_main():
            print(Path(folder).name, quantization, "alike", flush=True)
