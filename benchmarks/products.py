"""The products of 4-bit layers in bfloat16 over float32 on this CPU: a stage-2 step, and scoring.

On all-MiniLM-L6-v2, which reads five titles and lists no candidates.
"""

import numpy as np
import torch

from benchmarks.common import Material, medians, model_folder
from delrec_kit.config import FinetuneConfig, LlmConfig
from delrec_kit.errors import KitError
from delrec_kit.llm import PromptWriter, load_llm, score_candidates
from delrec_kit.llm.minilm import minilm_folder
from delrec_kit.training import ExampleWriter
from delrec_kit.training.adapter import add_adapter
from delrec_kit.training.task import CandidateRanker, collate

M, BATCH = 15, 32
SHOWN = {"minilm": 5}  # titles of the history


def bench(data_dir: str | None, tokenizer: str | None, runs: int) -> list[dict]:
    material = Material.load(data_dir, tokenizer, M)
    return [row for model in SHOWN if model != "minilm" or _has_minilm() for row in _of_model(model, material, runs)]


def _has_minilm() -> bool:
    try:
        minilm_folder()
    except KitError as error:
        print(f"left out: {error}")
        return False
    return True


def _of_model(name: str, material: Material, runs: int) -> list[dict]:
    steps, scorings, split = {}, {}, material.data.split
    masked = name == "minilm"
    source = name if masked else str(model_folder(name, material.tokenizer))
    for dtype in ("float32", "bfloat16"):
        llm = load_llm(LlmConfig(name=source, quantization="nf4", compute_dtype=dtype), "cpu")
        writer = PromptWriter(llm.tokenizer, material.data.domain, split.titles, format=llm.format)
        llm.study(writer.table)
        drawn = ExampleWriter(writer, split.train, split.consumed(), M, SHOWN[name], listed=not masked)
        examples = drawn.next_item(BATCH, 0, 0)
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
                "prompts": material.name,
                "model": f"{name}, nf4" if masked else f"{name}, nf4, random weights",
                "what": f"{what}, {BATCH} prompts",
                "prompt tokens": int(sum(examples.lengths)),
                "float32, s": round(seconds["float32"], 3),
                "bfloat16, s": round(seconds["bfloat16"], 3),
                "times faster": round(seconds["float32"] / seconds["bfloat16"], 2),
                "AMX": torch.cpu.get_capabilities().get("amx_bf16", False),
            }
        )
    return rows
