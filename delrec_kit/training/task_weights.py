"""Weights of the two distillation losses that follow gradient norm and rate of learning.

GradNorm (arXiv 1711.02257) in closed form, with the exponent 0.5 that DELRec's authors state: a task whose gradient on
P is small, or which learns more slowly than the other, weighs more, so that neither drowns the other.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

EXPONENT = 0.5
MEMORY = 0.9  # of the running means of losses and gradient norms


class TaskWeights:
    """base: the tasks' fixed weights; dynamic: whether they are adapted. The weights always sum to ``sum(base)``."""

    def __init__(self, base: Sequence[float], dynamic: bool, device: torch.device | str = "cpu"):
        self.base = torch.tensor(base, dtype=torch.float32, device=device)
        self.dynamic = dynamic
        self.weights = self.base.clone()
        self.first = torch.zeros_like(self.base)
        self.loss = torch.zeros_like(self.base)
        self.norm = torch.zeros_like(self.base)
        self.steps = torch.zeros((), device=device)

    def update(self, losses: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
        """The weights (tasks,) for this step, from its losses (tasks,) and gradient norms on P (tasks,)."""
        if not self.dynamic:
            return self.weights
        memory = MEMORY if self.steps > 0 else 0.0
        self.first = torch.where(self.steps > 0, self.first, losses)
        self.loss = memory * self.loss + (1 - memory) * losses
        self.norm = memory * self.norm + (1 - memory) * norms
        self.steps += 1
        rate = self.loss / self.first.clamp(min=1e-8)
        wanted = (rate / rate.mean().clamp(min=1e-8)) ** EXPONENT
        raw = self.base * wanted / self.norm.clamp(min=1e-8)
        self.weights = raw * self.base.sum() / raw.sum().clamp(min=1e-12)
        return self.weights

    def save(self, folder: Path) -> None:
        state = {name: getattr(self, name).cpu() for name in ("weights", "first", "loss", "norm", "steps")}
        save_file(state, folder / "task_weights.safetensors")

    def load(self, folder: Path) -> None:
        for name, value in load_file(folder / "task_weights.safetensors").items():
            setattr(self, name, value.to(self.base.device))
