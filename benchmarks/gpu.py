"""Stage 1 and stage 2 on models of Flan-T5-XL's and an 8B Llama's shape in 4-bit, within a T4's or an L4's memory.

Without a GPU the same code runs on small shapes, so that it is known to run. ``python -m benchmarks.gpu``.
"""

import json
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.common import Material, next_item_examples, open_model
from delrec_kit.settings.resolve import resolve
from delrec_kit.training import Joined, distill, finetune

GIB = 2**30
BIG = {"t5-xl": 15, "llama-8b": 24}
SMALL = {"t5-mini": None, "llama-tiny": None}
M, K, BATCH, STEPS = 15, 100, 8, 12 if torch.cuda.is_available() else 3


def bench(data_dir: str | None = None, tokenizer: str | None = None) -> list[dict]:
    cuda = torch.cuda.is_available()
    material = Material.load(data_dir, tokenizer, M)
    peak = matmul_peak("cuda" if cuda else "cpu")
    return [row for shape, limit in (BIG if cuda else SMALL).items() for row in stages(shape, limit, material, peak)]


def stages(shape: str, limit: int | None, material: Material, peak: float) -> list[dict]:
    cuda = torch.cuda.is_available()
    k = K if cuda else 10
    if cuda:
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit * GIB / whole))
    rows = []
    for stage in ("stage 1", "stage 2"):
        recommender = open_model(shape, material, k, "nf4", gradient_checkpointing=cuda)
        examples = next_item_examples(material, recommender, BATCH * STEPS, M)
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        config, losses = resolve("demo", ["train.epochs=1", f"train.batch={BATCH}"]), iter(range(100, 0, -1))
        falling = lambda losses=losses: {"loss": next(losses)}  # noqa: E731
        with tempfile.TemporaryDirectory() as folder:
            if stage == "stage 1":
                distill(recommender, {"rps": examples}, config, falling, Path(folder) / "c")
            else:
                recommender.P.requires_grad_(False)
                finetune(recommender, Joined([examples]), config, falling, Path(folder) / "c")
        if cuda:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        tokens = sum(examples.lengths)
        weights = sum(p.numel() for p in recommender.llm.parameters())
        rows.append(
            {
                "device": torch.cuda.get_device_name() if cuda else "cpu",
                "shape": f"{shape}, nf4, random weights",
                "stage": stage,
                "batch": BATCH,
                "prompt tokens": tokens // len(examples),
                "samples/s": round(len(examples) / seconds, 2),
                "peak GiB": round(torch.cuda.max_memory_allocated() / GIB, 1) if cuda else None,
                "allowed GiB": limit,
                "share of matmul peak": round(6 * weights * tokens / seconds / peak, 3) if cuda else None,
            }
        )
        del recommender
        if cuda:
            torch.cuda.empty_cache()
    return rows


def matmul_peak(device: str) -> float:
    """FLOP/s of a large bfloat16 product, the best of five."""
    n = 8192 if device == "cuda" else 1024
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        started = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * n**3 / best


if __name__ == "__main__":
    print(json.dumps(bench(), indent=2))
