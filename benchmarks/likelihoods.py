"""Log-likelihoods of title tokens under a large vocabulary, forward and backward: with logits kept, without, and by
checkpointed chunks."""

import gc
import threading
from collections.abc import Callable
from functools import partial

import psutil
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from benchmarks.common import medians
from delrec_kit.llm.likelihoods import token_log_likelihoods

SHAPES = {"Gemma 3 270M": (640, 262_144), "Flan-T5-small": (512, 32_128)}  # width of a state, words
TOKENS, ROWS = 1024, 64
TYPES = {"cuda": (torch.float32, torch.bfloat16), "cpu": (torch.float32,)}  # few CPUs multiply bfloat16
MIB = 2**20


def kept(states: torch.Tensor, head: nn.Linear, labels: torch.Tensor) -> torch.Tensor:
    return -F.cross_entropy(head(states).float(), labels, reduction="none")


def checkpointed(states: torch.Tensor, head: nn.Linear, labels: torch.Tensor) -> torch.Tensor:
    parts = zip(states.split(ROWS), labels.split(ROWS), strict=True)
    return torch.cat([checkpoint(kept, part, head, of, use_reentrant=False) for part, of in parts])


class ByTokens(torch.autograd.Function):
    """What ours was before: a few tokens at a time meet the whole vocabulary."""

    @staticmethod
    def forward(ctx, states, weight, labels):
        found, slopes = torch.empty(len(states), device=states.device), torch.empty_like(states)
        for start in range(0, len(states), ROWS):
            part = slice(start, start + ROWS)
            log_p = F.linear(states[part], weight).float().log_softmax(-1)
            chosen = labels[part, None]
            found[part] = log_p.gather(1, chosen)[:, 0]
            on_logits = log_p.exp_().neg_().scatter_add_(1, chosen, torch.ones_like(chosen, dtype=log_p.dtype))
            slopes[part] = on_logits.to(weight.dtype) @ weight
        ctx.save_for_backward(slopes)
        return found

    @staticmethod
    def backward(ctx, gradient):
        return (gradient[:, None] * ctx.saved_tensors[0]).to(ctx.saved_tensors[0].dtype), None, None


def by_tokens(states: torch.Tensor, head: nn.Linear, labels: torch.Tensor) -> torch.Tensor:
    return ByTokens.apply(states, head.weight, labels)


WAYS = {
    "ours": token_log_likelihoods,
    "blocks of tokens": by_tokens,
    "logits kept": kept,
    "checkpointed chunks": checkpointed,
}


def bench(runs: int, tokens: int = TOKENS, shapes: dict[str, tuple[int, int]] = SHAPES) -> list[dict]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = []
    for name, (d, V) in shapes.items():
        for dtype in TYPES[device]:
            torch.manual_seed(0)
            head = nn.Linear(d, V, bias=False, dtype=dtype, device=device).requires_grad_(False)
            states = torch.randn(tokens, d, dtype=dtype, device=device)
            labels = torch.randint(V, (tokens,), device=device)
            ways = {way: partial(step, of, states, head, labels) for way, of in WAYS.items()}
            seconds, peaks = medians(ways, runs), {way: peak(work) for way, work in ways.items()}
            for way in WAYS:
                rows.append(
                    {
                        "shape": f"{name}: {V} words, {tokens} tokens",
                        "type": str(dtype).removeprefix("torch."),
                        "way": way,
                        "seconds": round(seconds[way], 3),
                        "times ours": round(seconds[way] / seconds["ours"], 2),
                        "peak above start, MiB": round(peaks[way] / MIB),
                    }
                )
    return rows


def step(way: Callable, states: torch.Tensor, head: nn.Linear, labels: torch.Tensor) -> None:
    asked = states.clone().requires_grad_(True)
    way(asked, head, labels).sum().backward()


def peak(work: Callable[[], None]) -> int:
    """Bytes that ``work`` takes at most beyond what was there before."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    memory, over = psutil.Process().memory_info, threading.Event()
    seen = [memory().rss]

    def watch() -> None:
        while not over.wait(0.002):
            seen.append(memory().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    over.set()
    watcher.join()
    return max(seen) - seen[0]
