"""The products of 4-bit layers in bfloat16 over float32 on this CPU: a stage-2 step, and scoring.

On all-MiniLM-L6-v2 as its profile has it: a prompt shows five titles and lists no candidates.
"""

import numpy as np
import torch

from benchmarks.common import Material, medians
from delrec_kit.llm import PromptWriter, load_llm, score_candidates
from delrec_kit.settings.config import FinetuneConfig, LlmConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.training import ExampleWriter
from delrec_kit.training.adapter import add_adapter
from delrec_kit.training.task import CandidateRanker, collate

M, BATCH, SHOWN = 15, 32, 5


def bench(data_dir: str | None, runs: int) -> list[dict]:
    material, steps, scorings = Material.load(data_dir, None, M), {}, {}
    split = material.data.split
    for dtype in ("float32", "bfloat16"):
        try:
            llm = load_llm(LlmConfig(name="minilm", quantization="nf4", compute_dtype=dtype), "cpu")
        except KitError as error:
            print(f"left out: {error}")
            return []
        writer = PromptWriter(llm.tokenizer, material.data.domain, split.titles, format=llm.format)
        llm.study(writer.table)
        examples = ExampleWriter(writer, split.train, split.consumed(), M, SHOWN, listed=False).next_item(BATCH, 0, 0)
        add_adapter(llm, FinetuneConfig(), 1000, 0)
        model = CandidateRanker(llm, None)
        batch = collate(writer, [examples[row] for row in range(BATCH)])
        steps[dtype] = lambda model=model, batch=batch: model(**batch).backward()
        prompts, items = examples.prompts, np.stack(examples.candidates)
        scorings[dtype] = lambda llm=llm, w=writer, p=prompts, c=items: score_candidates(llm, w, p, c, batch=BATCH)
    rows = []
    for what, ways in {"a stage-2 step": steps, "scoring": scorings}.items():
        seconds = medians(ways, runs)
        rows.append(
            {
                "prompts": "ml-100k" if data_dir else "demo",
                "what": f"{what}, {BATCH} prompts",
                "prompt tokens": int(sum(examples.lengths)),
                "float32, s": round(seconds["float32"], 3),
                "bfloat16, s": round(seconds["bfloat16"], 3),
                "times faster": round(seconds["float32"] / seconds["bfloat16"], 2),
                "AMX": torch.cpu.get_capabilities().get("amx_bf16", False),
            }
        )
    return rows
