"""Log-likelihoods of tokens without keeping logits: of a large vocabulary these would be gigabytes a batch.

The head that projects states to the vocabulary is frozen. So the gradient of each token's log-likelihood on its state
is known as soon as its logits are, and is kept in their place; the backward pass only scales it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CHUNK = {"cpu": 2**22, "cuda": 2**27}  # logits at a time, by kind of device
FEWEST = 1024  # words at a time, so that a product stays worth its call


@dataclass(frozen=True)
class Finish:
    """What some architectures do to their logits after the head: times ``scale``, then capped softly at ``cap``."""

    scale: float = 1.0
    cap: float | None = None

    @classmethod
    def of(cls, config: Any) -> "Finish":
        """Of a transformers configuration: Cohere and Granite scale, Gemma caps."""
        scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
        return cls(scale, getattr(config, "final_logit_softcapping", None) or None)

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        logits = logits * self.scale if self.scale != 1.0 else logits
        return torch.tanh(logits / self.cap) * self.cap if self.cap else logits

    def slope(self, finished: torch.Tensor) -> torch.Tensor | float:
        """Its derivative where it came out at ``finished``."""
        return self.scale * (1 - (finished / self.cap) ** 2) if self.cap else self.scale


def token_log_likelihoods(
    states: torch.Tensor, head: nn.Module, labels: torch.Tensor, finish: Finish = Finish()
) -> torch.Tensor:
    """(T,) float32 log-likelihoods of ``labels`` (T,) given states (T, d), with gradients to the states.

    A head that learns, or is no plain linear layer, keeps its logits, so that gradients reach it.
    """
    if type(head) is nn.Linear and not any(p.requires_grad for p in head.parameters()):
        return _Likelihoods.apply(states.to(head.weight.dtype), head.weight, head.bias, labels, finish)
    logits = finish(head(states.to(head.weight.dtype)).float())
    return -F.cross_entropy(logits, labels, reduction="none")


class _Likelihoods(torch.autograd.Function):
    """All states meet one block of the vocabulary after the other. The largest logit so far scales the sums, as in a
    softmax that sees its inputs once (arXiv 1805.02867), so that no logit is needed twice."""

    @staticmethod
    def forward(ctx, states, weight, bias, labels, finish):
        T, learns = len(states), ctx.needs_input_grad[0]
        highest = torch.full((T, 1), -torch.inf, device=states.device)
        total, chosen = torch.zeros_like(highest), torch.zeros_like(highest)
        mean = torch.zeros(states.shape, dtype=torch.float32, device=states.device) if learns else None
        words = max(FEWEST, CHUNK.get(states.device.type, CHUNK["cpu"]) // max(1, T))
        for start in range(0, len(weight), words):
            block = weight[start : start + words]
            offset = None if bias is None else bias[start : start + words]
            logits = finish(F.linear(states, block, offset).float())
            place = labels[:, None] - start
            inside, place = (place >= 0) & (place < len(block)), place.clamp(0, len(block) - 1)
            chosen = torch.where(inside, logits.gather(1, place), chosen)
            before, highest = highest, torch.maximum(highest, logits.amax(1, keepdim=True))
            fades, slope = torch.exp(before - highest), finish.slope(logits) if learns else 1.0
            likely = (logits - highest if finish.cap and learns else logits.sub_(highest)).exp_()
            total = total * fades + likely.sum(1, keepdim=True)
            if learns:  # without the label, whose part is known exactly: near 1 it would drown in half precision
                likely.scatter_(1, place, likely.gather(1, place).masked_fill_(inside, 0.0))
                likely = likely if isinstance(slope, float) and slope == 1.0 else likely.mul_(slope)
                mean.mul_(fades).add_(likely.to(weight.dtype) @ block)
        log_p, slopes = chosen - highest - total.log(), None
        if learns:
            own = -torch.expm1(log_p) * finish.slope(chosen) * weight[labels].float()
            slopes = (own - mean / total).to(states.dtype)
        ctx.save_for_backward(slopes)
        return log_p[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (slopes,) = ctx.saved_tensors
        return (gradient[:, None] * slopes).to(slopes.dtype), None, None, None, None
