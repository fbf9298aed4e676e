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

CHUNK = {"cpu": 2**24, "cuda": 2**27}  # logits at a time, by kind of device


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
    @staticmethod
    def forward(ctx, states, weight, bias, labels, finish):
        found = torch.empty(len(states), dtype=torch.float32, device=states.device)
        slopes = torch.empty_like(states) if ctx.needs_input_grad[0] else None
        rows = max(1, CHUNK.get(states.device.type, CHUNK["cpu"]) // len(weight))
        for start in range(0, len(states), rows):
            part = slice(start, start + rows)
            logits = finish(F.linear(states[part], weight, bias).float())
            log_p = logits.log_softmax(-1)
            chosen = labels[part, None]
            found[part] = log_p.gather(1, chosen)[:, 0]
            if slopes is not None:
                on_logits = log_p.exp_().neg_().scatter_add_(1, chosen, torch.ones_like(chosen, dtype=log_p.dtype))
                slopes[part] = on_logits.mul_(finish.slope(logits)).to(weight.dtype) @ weight
        ctx.save_for_backward(slopes)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (slopes,) = ctx.saved_tensors
        return (gradient[:, None] * slopes).to(slopes.dtype), None, None, None, None
