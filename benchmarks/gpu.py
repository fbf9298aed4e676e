"""Steps at steady state on whatever card is there: models of Flan-T5-XL's and an 8B Llama's shape in 4-bit, beside the
bare backbone and peft's LoRA on the same prompts in the same process.

``python -m benchmarks.gpu --minutes 6`` needs no download: weights are random. It writes ``results/gpu.json``, and of
each stage a picture of when the card computes and when it waits. Without a GPU the same code runs on small shapes, so
that it is known to run.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import Material, medians, next_item_examples, open_model
from benchmarks.record import RESULTS, write
from delrec_kit.llm import LlmRecommender, PackedTitles, PromptBatch
from delrec_kit.run.trainer import KitTrainer
from delrec_kit.settings.resolve import resolve
from delrec_kit.training import Joined, distill, finetune

CUDA = torch.cuda.is_available()
GIB = 2**30
BIG = {"t5-xl": 15, "llama-8b": 24}  # GiB of the card that may be used: a T4's, an L4's
SMALL = {"t5-mini": None, "llama-tiny": None}
M, K, BATCH = 15, 100 if CUDA else 10, 8
WARM, STEPS = 3, 12 if CUDA else 3  # steps that are not counted, and the least that are


def bench(
    data_dir: str | None = None, tokenizer: str | None = None, minutes: float = 0, pictures: Path | None = None
) -> list[dict]:
    """A row a shape and stage. minutes: of which each takes its part, by more steps; 0: the least."""
    material, peak = Material.load(data_dir, tokenizer, M), matmul_peak()
    shapes = BIG if CUDA else SMALL
    each = 60 * minutes / (2 * len(shapes))
    rows = []
    for shape, limit in shapes.items():
        if CUDA:
            whole = torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, limit * GIB / whole))
        for stage in ("stage 1", "stage 2"):
            rows.append(_stage(shape, stage, material, peak, each, pictures) | {"allowed GiB": limit})
            print(rows[-1], flush=True)
    return rows


def _stage(shape: str, stage: str, material: Material, peak: float, seconds: float, pictures: Path | None) -> dict:
    started = time.perf_counter()
    recommender = open_model(shape, material, K, "nf4")
    loaded, weights = time.perf_counter() - started, torch.cuda.memory_allocated() if CUDA else 0
    train = _training(stage, recommender, material)
    step = train(WARM + STEPS)
    if (steps := int(seconds / 3 / step)) > STEPS:
        step = train(WARM + steps)
    used = torch.cuda.max_memory_allocated() if CUDA else 0
    examples = next_item_examples(material, recommender, BATCH, M)
    prompts, titles = recommender.tensors(examples.prompts, examples.candidates)
    tokens = int(prompts.mask.sum() + (titles.block >= 0).sum())
    work = lambda: _whole(recommender, prompts, titles)  # noqa: E731
    score = lambda: recommender.score_prompts(examples.prompts, examples.candidates)  # noqa: E731
    # counted with gradients: without them some layers unpack and multiply in one kernel, which the counter cannot read
    flops, of_scoring = _flops(work), _flops(lambda: recommender.logits(prompts, titles))
    if pictures is not None:
        _picture(work, f"{shape}, {stage}", pictures / f"gpu_{shape}_{stage.replace(' ', '_')}.png")
    seconds_of = medians({"bare": lambda: _bare(recommender, prompts, titles), "score": score}, STEPS, WARM)
    row = {
        "device": torch.cuda.get_device_name() if CUDA else "cpu",
        "shape": f"{shape}, nf4, random weights",
        "stage": stage,
        "batch": BATCH,
        "tokens a step": tokens,
        "loading, s": round(loaded, 1),
        "s a step": round(step, 4),
        "samples/s": round(BATCH / step, 2),
        "tokens/s": round(tokens / step),
        "share of matmul peak": round(flops / step / peak, 3),
        "over the bare backbone": round(step / seconds_of["bare"], 2),
        "scoring, prompts/s": round(BATCH / seconds_of["score"], 2),
        "scoring, share of peak": round(of_scoring / seconds_of["score"] / peak, 3),
        "weights, GiB": round(weights / GIB, 2) if CUDA else None,
        "peak, GiB": round(used / GIB, 2) if CUDA else None,
    }
    if stage == "stage 2":
        peer = medians({"LoRA": _lora_step(recommender, prompts, titles)}, STEPS, WARM)["LoRA"]
        row["over peft's LoRA, same tokens"] = round(step / peer, 2)
    return row


def _training(stage: str, recommender: LlmRecommender, material: Material) -> Callable[[int], float]:
    """Seconds of a step of that stage, the median of all but the first ``WARM`` of so many."""

    def train(steps: int) -> float:
        examples, losses = next_item_examples(material, recommender, BATCH * steps, M), iter(range(10**6, 0, -1))
        config = resolve("demo", ["train.epochs=1", f"train.batch={BATCH}", "finetune.adapter=adalora"])
        if CUDA:
            torch.cuda.reset_peak_memory_stats()
        with tempfile.TemporaryDirectory() as folder, _moments() as began:
            falling = lambda: {"loss": next(losses)}  # noqa: E731
            if stage == "stage 1":
                distill(recommender, {"rps": examples}, config, falling, Path(folder) / "c")
            else:
                recommender.P.requires_grad_(False)
                tuned = finetune(recommender, Joined([examples]), config, falling, Path(folder) / "c")
                tuned.adapter.unload()
        return statistics.median(np.diff(began)[WARM:])

    return train


@contextmanager
def _moments() -> Iterator[list[float]]:
    """When each training step within began: what lies between two is a whole step, its data and optimizer included."""
    inner, began = KitTrainer.training_step, []

    def timed(self, *args, **kwargs):
        _wait()
        began.append(time.perf_counter())
        return inner(self, *args, **kwargs)

    KitTrainer.training_step = timed
    try:
        yield began
    finally:
        KitTrainer.training_step = inner


def _whole(recommender: LlmRecommender, prompts: PromptBatch, titles: PackedTitles) -> None:
    """The forward and backward of a step of stage 1."""
    recommender.P.requires_grad_(True)
    recommender.logits(prompts, titles).logsumexp(1).sum().backward()


def _bare(recommender: LlmRecommender, prompts: PromptBatch, titles: PackedTitles) -> None:
    """The backbone's own forward and backward over as many tokens, with its own masks, and no code of the kit."""
    llm, model = recommender.llm, recommender.llm.model
    embedded = llm.embeddings(prompts.ids.clamp(min=0)).detach().requires_grad_()
    if model.config.is_encoder_decoder:
        read = model.get_encoder()(inputs_embeds=embedded, attention_mask=prompts.mask).last_hidden_state
        told = {"encoder_hidden_states": read, "encoder_attention_mask": prompts.mask}
        states = model.get_decoder()(input_ids=titles.inputs, **told).last_hidden_state
    else:
        joint = torch.cat([embedded, llm.embeddings(titles.inputs)], dim=1)
        states = getattr(model, model.base_model_prefix)(inputs_embeds=joint).last_hidden_state[:, len(embedded[0]) :]
    model.get_output_embeddings()(states).float().logsumexp(-1).sum().backward()


def _lora_step(recommender: LlmRecommender, prompts: PromptBatch, titles: PackedTitles) -> Callable[[], None]:
    """A step of peft's LoRA on the bare backbone: QLoRA (arXiv 2305.14314) on the same tokens."""
    encoder_decoder = recommender.llm.model.config.is_encoder_decoder
    peft_model = get_peft_model(
        recommender.llm.model, LoraConfig(r=8, target_modules=["q", "v"] if encoder_decoder else ["q_proj", "v_proj"])
    )
    optimizer = torch.optim.AdamW([p for p in peft_model.parameters() if p.requires_grad])

    def step() -> None:
        _bare(recommender, prompts, titles)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _flops(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def _picture(work: Callable[[], object], name: str, file: Path) -> None:
    """When the card computes and when it waits, in two rounds of ``work``; without a card, when operators run."""
    kinds = [torch.profiler.ProfilerActivity.CPU, *([torch.profiler.ProfilerActivity.CUDA] if CUDA else [])]
    with torch.profiler.profile(activities=kinds) as trace:
        for _ in range(2):
            work()
        _wait()
    where = torch.autograd.DeviceType.CUDA if CUDA else torch.autograd.DeviceType.CPU
    spans = sorted((e.time_range.start, e.time_range.end) for e in trace.events() if e.device_type == where)
    begin, end, busy, last = spans[0][0], max(stop for _, stop in spans), 0, 0
    for start, stop in spans:
        busy += max(0, stop - max(start, last))
        last = max(last, stop)
    figure, axis = plt.subplots(figsize=(10, 1.8), layout="constrained")
    axis.broken_barh([((a - begin) / 1e3, (b - a) / 1e3) for a, b in spans], (0, 1), color="black")
    title = f"{name}: {len(spans)} kernels in two rounds, the device computes {busy / (end - begin):.0%} of the time"
    axis.set(xlabel="milliseconds", yticks=[], title=title)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150)
    plt.close(figure)


def _wait() -> None:
    if CUDA:
        torch.cuda.synchronize()


def matmul_peak() -> float:
    """FLOP/s of a large bfloat16 product, the best of five."""
    n, device = (8192, "cuda") if CUDA else (1024, "cpu")
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * n**3 / min(medians({"product": lambda: a @ b}, 1)["product"] for _ in range(5))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=6, help="of which each shape and stage takes its part")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of gpu.json and the pictures")
    given = parser.parse_args()
    write("gpu", bench(minutes=given.minutes, pictures=given.out), 1, given.out)
