"""Stage 1 (DELRec section 4.2): distil the teacher's pattern into P. Only P learns."""

from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch.utils.data import Dataset

from delrec_kit.llm import LanguageModel, PromptWriter, SoftPrompt
from delrec_kit.settings.config import DistillConfig
from delrec_kit.training.examples import Examples
from delrec_kit.training.growth import Growth
from delrec_kit.training.task import CandidateRanker, collate
from delrec_kit.training.trainer import KitTrainer, Measure, run_training
from delrec_kit.training.weights import TaskWeights

TASKS = ("ta", "rps")


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

    def __getitem__(self, index: int) -> dict:
        return {name: examples[index % len(examples)] for name, examples in self.tasks.items()}


class DistillTrainer(KitTrainer):
    """Each task has a backward of its own, so that its gradient norm on P is known at no extra cost."""

    def __init__(self, *args, task_weights: TaskWeights, **kwargs):
        super().__init__(*args, **kwargs)
        self.task_weights = task_weights

    def training_step(self, model, inputs, num_items_in_batch=None) -> torch.Tensor:
        model = self.model  # bare: the gradients of several processes meet below, not in a wrapper's hooks
        model.train()
        inputs = self._prepare_inputs(inputs)
        learns = list(model.trainable().values())
        losses, gradients = [], []
        for batch in inputs.values():
            loss = model(**batch)
            parts = torch.autograd.grad(loss, learns)
            losses.append(loss.detach())
            gradients.append(self.accelerator.reduce(torch.cat([part.flatten() for part in parts]), "mean"))
        losses, gradients = torch.stack(losses), torch.stack(gradients)
        weights = self.task_weights.update(losses, gradients.norm(dim=1))
        totals = (weights @ gradients).split([p.numel() for p in learns])
        for p, total in zip(learns, totals, strict=True):
            p.grad = total.view_as(p) if p.grad is None else p.grad + total.view_as(p)
        return (weights * losses).sum()


def distill(
    llm: LanguageModel,
    writer: PromptWriter,
    soft: SoftPrompt,
    tasks: dict[str, Examples],
    validate: Measure,
    config: DistillConfig,
    seed: int,
    checkpoints: Path,
    length_normalised: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train ``soft`` (in place) on ``tasks`` (any of "ta" and "rps"); returns the learning curve and how P grew."""
    model = CandidateRanker(llm, soft.requires_grad_(True), length_normalised)
    assert all(name.startswith("soft.") for name in model.trainable()), "only P may learn in stage 1"
    base = [{"ta": config.weight_ta, "rps": config.weight_rps}[name] for name in tasks]
    weights = TaskWeights(base, config.weighting == "dynamic", llm.device)
    growth = Growth(soft)
    curve = run_training(
        DistillTrainer,
        model,
        TaskPairs(tasks),
        partial(collate_pairs, writer),
        validate,
        config,
        seed,
        checkpoints,
        "stage 1",
        callbacks=[growth],
        resumables=[weights, growth],
        task_weights=weights,
    )
    return curve, growth.table


def collate_pairs(writer: PromptWriter, rows: list[dict]) -> dict:
    return {name: collate(writer, [row[name] for row in rows]) for name in rows[0]}
