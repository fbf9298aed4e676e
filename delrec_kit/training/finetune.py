"""Stage 2 (DELRec section 4.3, arXiv 2406.11156): P stays as it is, the LLM learns to rank next items by AdaLoRA."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from peft import PeftModel

from delrec_kit.llm import LlmRecommender
from delrec_kit.run.checkpoints import learning
from delrec_kit.run.learning_curve import valid_columns
from delrec_kit.run.processes import main_only
from delrec_kit.run.trainer import Validate
from delrec_kit.settings.config import KitConfig
from delrec_kit.settings.methods import METHODS
from delrec_kit.training.adalora import RankBudget, add_adapter, live_ranks, orthogonality, save_adapter
from delrec_kit.training.examples import Joined, collate
from delrec_kit.training.identity import identity
from delrec_kit.training.loss import Loss, Ranker, kl_loss
from delrec_kit.training.trainer import StageTrainer, clear, stage_loop


@dataclass(frozen=True)
class Finetuned:
    """curve: of learning; adapter: the peft model, None where none was trained; trainable: how many numbers learned;
    loss: what identifies the loss, see ``identity``."""

    curve: pd.DataFrame
    adapter: PeftModel | None
    trainable: int
    loss: str

    @property
    def ranks(self) -> dict[str, int]:
        """The rank that AdaLoRA left to each layer."""
        return live_ranks(self.adapter) if self.adapter else {}

    def save(self, folder: Path) -> None:
        """Write an ordinary peft folder; only the main process does."""
        if self.adapter:
            main_only(lambda: save_adapter(self.adapter, folder))


def finetune(
    recommender: LlmRecommender,
    examples: Joined,
    config: KitConfig,
    validate: Validate,
    checkpoints: Path,
    loss: Loss = kl_loss,
) -> Finetuned:
    """Train an adapter inside the language model of ``recommender`` (in place), and resume where a killed run left off.

    P learns too where its parameters require gradients. Where there is no adapter (``finetune.adapter=none``, or a row
    without one) P learns by itself, as fast as in stage 1: prompt tuning (arXiv 2104.08691). Where nothing learns, the
    curve is one validation of the language model as it is.
    """
    row = METHODS.get(recommender.name)  # None where a recommender of one's own bears no row's name
    P, kind = recommender.P, config.finetune.adapter if row is None or row.adapts else "none"
    prompt = {f"soft.{name}" for name, p in P.named_parameters() if p.requires_grad} if P is not None else set()
    if kind == "none" and not prompt:
        curve = pd.DataFrame([{"step": 0, "train_loss": float("nan"), **valid_columns(validate())}])
        return Finetuned(curve, None, 0, identity(loss))
    steps = checkpoints / identity(loss, [(recommender.name, part) for part in examples.datasets])
    loop = stage_loop(f"stage 2, {recommender.name}", config, config.finetune, len(examples), steps)
    if kind == "none":
        loop, peft_model = replace(loop, learning_rate=config.distill.learning_rate), None
    else:
        peft_model = add_adapter(recommender.llm, config.finetune, loop.steps, config.seed)
    model = Ranker(recommender, loss)
    others = {name for name in learning(model) if "lora_" not in name}
    assert others == prompt, "only the adapter may learn in stage 2, and P where it is told to"
    budgets = [RankBudget(peft_model)] if kind == "adalora" else []
    trainer = FinetuneTrainer(
        model,
        examples,
        loop,
        validate,
        partial(collate, recommender.writer),
        resumables=budgets,
        adalora=peft_model if kind == "adalora" else None,
        fades=examples.fades,
    )
    curve = trainer.fit()
    clear(checkpoints)
    return Finetuned(curve, peft_model, sum(p.numel() for p in learning(model).values()), identity(loss))


class FinetuneTrainer(StageTrainer):
    """The task loss, plus the orthogonality penalty of ``adalora``, None where there is no such adapter; the log keeps
    the task loss by itself. fades: examples that are no true labels weigh 1 - (share of the steps done)."""

    def __init__(self, *args, adalora: PeftModel | None, fades: bool, **kwargs):
        super().__init__(*args, **kwargs)
        self.adalora = adalora
        self.fades = fades

    def backward(self, model, inputs, share) -> torch.Tensor:
        true_label = inputs.pop("true_label")
        if self.fades:
            done = self.state.global_step / self.state.max_steps
            inputs["weights"] = torch.where(true_label, 1.0, 1.0 - done)
        task_loss = model(**inputs)
        penalty = orthogonality(self.adalora) if self.adalora else 0
        self.accelerator.backward(share * (task_loss + penalty))
        return share * task_loss.detach()
