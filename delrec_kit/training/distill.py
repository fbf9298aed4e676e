"""Stage 1 (DELRec section 4.2, arXiv 2406.11156): distil the teacher's pattern into P. Only P learns.

P is moved by w_TA grad L_TA + w_RPS grad L_RPS, where the weights follow the norms of the two gradients and the rates
at which the losses fall (``task_weights``).
"""

from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch.utils.data import Dataset

from delrec_kit.llm import LlmRecommender, PromptWriter
from delrec_kit.run.checkpoints import learning
from delrec_kit.run.trainer import Validate
from delrec_kit.settings.config import KitConfig
from delrec_kit.training.examples import Example, Examples, collate
from delrec_kit.training.identity import identity
from delrec_kit.training.loss import Loss, Ranker, kl_loss
from delrec_kit.training.task_weights import TaskWeights
from delrec_kit.training.trainer import StageTrainer, clear, stage_loop
from delrec_kit.training.travel import SoftPromptTravel


def distill(
    recommender: LlmRecommender,
    tasks: dict[str, Examples],
    config: KitConfig,
    validate: Validate,
    checkpoints: Path,
    loss: Loss = kl_loss,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train the P of ``recommender`` (in place) on ``tasks``, and resume where a killed run left off; with another loss
    or other examples it begins anew.

    Returns the learning curve, and how far each soft token travelled.
    """
    model, pairs = Ranker(recommender, loss), TaskPairs(tasks)
    recommender.P.requires_grad_(True)
    assert all(name.startswith("soft.") for name in learning(model)), "only P may learn in stage 1"
    weights = TaskWeights([1.0] * len(tasks), config.distill.weighting == "dynamic", recommender.llm.device)
    travel = SoftPromptTravel(recommender.P)
    trainer = DistillTrainer(
        model,
        pairs,
        stage_loop("stage 1", config, config.distill, len(pairs), checkpoints / identity(loss, tasks.items())),
        validate,
        partial(collate_pairs, recommender.writer),
        resumables=[weights, travel],
        task_weights=weights,
    )
    curve = trainer.fit()
    clear(checkpoints)
    return curve, travel.table


class DistillTrainer(StageTrainer):
    """Each task has a backward of its own, so that its gradient norm on P is known at no extra cost."""

    def __init__(self, *args, task_weights: TaskWeights, **kwargs):
        super().__init__(*args, **kwargs)
        self.task_weights = task_weights

    def training_step(self, model, inputs, num_items_in_batch=None) -> torch.Tensor:
        self.found = []
        super().training_step(self.model, inputs)  # bare: the gradients of several processes meet below, not in hooks
        learns = list(learning(self.model).values())
        # every process weighs the tasks by the losses and gradients of all, else their P's would drift apart
        losses, gradients = (self.accelerator.reduce(sum(of), "mean") for of in zip(*self.found, strict=True))
        weights = self.task_weights.update(losses, gradients.norm(dim=1))
        totals = (weights @ gradients).split([p.numel() for p in learns])
        for p, total in zip(learns, totals, strict=True):
            p.grad = total.view_as(p) if p.grad is None else p.grad + total.view_as(p)
        return (weights * losses).sum()

    def undo(self) -> None:
        self.found.clear()

    def backward(self, model, inputs, share) -> torch.Tensor:
        """Keeps losses (tasks,) and gradients (tasks, numbers of P)."""
        learns = list(learning(model).values())
        losses, gradients = [], []
        for batch in inputs.values():
            loss = share * model(batch["prompts"], batch["titles"], batch["targets"])
            gradients.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss, learns)]))
            losses.append(loss.detach())
        self.found.append((torch.stack(losses), torch.stack(gradients)))
        return sum(losses)


class TaskPairs(Dataset):
    """Example i of each task together; the shorter set starts over."""

    def __init__(self, tasks: dict[str, Examples]):
        self.tasks = tasks

    def __len__(self) -> int:
        return max(map(len, self.tasks.values()))

    @property
    def lengths(self) -> list[int]:
        """Tokens of the prompts of each pair."""
        each = [examples.lengths for examples in self.tasks.values()]
        return [sum(lengths[i % len(lengths)] for lengths in each) for i in range(len(self))]

    def __getitem__(self, index: int) -> dict[str, Example]:
        return {name: examples[index % len(examples)] for name, examples in self.tasks.items()}


def collate_pairs(writer: PromptWriter, rows: list[dict[str, Example]]) -> dict:
    return {name: collate(writer, [row[name] for row in rows]) for name in rows[0]}
