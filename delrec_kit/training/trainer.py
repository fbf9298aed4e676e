"""How stages 1 and 2 train: ``KitTrainer`` on batches of prompts of like length."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers.trainer_pt_utils import LengthGroupedSampler

from delrec_kit.run.processes import main_only
from delrec_kit.run.trainer import KitTrainer, Loop
from delrec_kit.settings.config import DistillConfig, FinetuneConfig, KitConfig
from delrec_kit.settings.streams import stream_seed

VALIDATIONS = 8  # spread over a training, each with a checkpoint
WARMUP, CLIP = 0.1, 2.0  # share of the steps; norm of the gradient (the authors' code clips there, after the step)
WEIGHT_DECAY = {DistillConfig: 1e-5, FinetuneConfig: 1e-6}


class StageTrainer(KitTrainer):
    """``examples.lengths`` says how many tokens each example has."""

    def __init__(self, model: nn.Module, *args, **kwargs):
        super().__init__(model, *args, **kwargs)
        # the same in every process, perhaps held together: nothing to send when the processes begin
        frozen = [name for name, weight in model.named_parameters() if not weight.requires_grad]
        model._ddp_params_and_buffers_to_ignore = [*frozen, *(name for name, _ in model.named_buffers())]

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> "ByLength":
        examples = train_dataset or self.train_dataset
        return ByLength(examples.lengths, self.args.train_batch_size * self.args.world_size, self.args.seed)

    def spare(self) -> str | None:
        """Recompute activations in the backward pass: a third slower, much less memory."""
        llm = self.model.llm
        return "activations are recomputed from here on" if llm.recompute() else None


class ByLength(LengthGroupedSampler):
    """Batches of prompts of like length in random order, the same in every process and after a resume."""

    def __init__(self, lengths: Sequence[int], batch: int, seed: int):
        super().__init__(batch, lengths=list(lengths))
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self):
        self.generator = torch.Generator().manual_seed(stream_seed(self.seed, f"batches of epoch {self.epoch}"))
        return super().__iter__()


def clear(checkpoints: Path) -> None:
    """What is left of trainings with another loss or other examples goes when one is through."""
    main_only(lambda: shutil.rmtree(checkpoints, ignore_errors=True))


def stage_loop(
    name: str, config: KitConfig, stage: DistillConfig | FinetuneConfig, examples: int, folder: Path
) -> Loop:
    """A ``stage`` on so many ``examples``, with checkpoints in ``folder``; its untrained state may be the best.

    Nothing stops it before its learning rate has fallen to zero: what a stage gains over a good start, such as DELRec
    over its P, it gains in the last steps (docs/what_we_tried.md).
    """
    epochs = (isinstance(stage, FinetuneConfig) and stage.epochs) or config.train.epochs
    steps = epochs * -(-examples // config.train.batch)
    return Loop(
        name=name,
        folder=folder,
        steps=steps,
        every=max(1, steps // VALIDATIONS),
        batch=config.train.batch,
        at_once=config.train.at_once,
        learning_rate=stage.learning_rate,
        weight_decay=WEIGHT_DECAY[type(stage)],
        warmup=int(WARMUP * steps),
        clip=CLIP,
        seed=stream_seed(config.seed, name),
        optimizer="adamw_torch" if config.train.optimizer == "adamw" else config.train.optimizer,
        untrained=True,
    )
