"""Stage 1 on the toy model in as many processes as there are; each writes its own P: two_ranks.py LLM_FOLDER OUT."""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from delrec_kit.data import Domain, Ragged
from delrec_kit.llm import LlmRecommender, PromptWriter, SoftPrompt, load_llm
from delrec_kit.settings.config import LlmConfig
from delrec_kit.settings.resolve import resolve
from delrec_kit.training import TaskWriter, distill


def main(folder: str, out: Path) -> None:
    torch.set_num_threads(1)
    llm = load_llm(LlmConfig(name=folder, quantization="fp32"), "cpu")
    writer = PromptWriter(llm.tokenizer, Domain(), ["", *(f"Film {number}" for number in range(1, 19))])
    rng = np.random.default_rng(0)
    train = Ragged.from_lists([rng.permutation(np.arange(1, 13))[:9] for _ in range(12)])
    rows = []
    for user, sequence in enumerate(train):
        left = [item for item in range(18, 0, -1) if item not in sequence]
        rows += [(user, n, left[:4], [float(user), 2.0, 1.0, 0.0], left[4:8], [0.0] * 4) for n in range(2, 8)]
    columns = ["user", "length", "top_items", "top_scores", "other_items", "other_scores"]
    delrec = LlmRecommender(llm, writer, SoftPrompt.untrained(llm, 3, seed=0), history=5)
    tasks = TaskWriter(delrec, train, train, 5, None, pd.DataFrame(rows, columns=columns), seed=1)
    made = {"ta": tasks.temporal_analysis(24, a=3), "rps": tasks.pattern_simulating(24, h=3)}
    config = resolve("smoke", ["train.epochs=5", "train.batch=4", "distill.learning_rate=0.02"])  # 30 steps
    losses = iter(range(1000, 0, -1))
    rank = os.environ.get("RANK", "0")
    distill(delrec, made, config, lambda: {"loss": float(next(losses))}, out / "checkpoints")
    save_file({"P": delrec.P.vectors.detach()}, out / f"P-{rank}.safetensors")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
