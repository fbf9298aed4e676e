"""Stage 2 (DELRec section 4.3): P stays as it is, the language model learns to rank next items by AdaLoRA."""

from functools import partial
from pathlib import Path

import pandas as pd
from peft import PeftModel

from delrec_kit.llm import LanguageModel, PromptWriter, SoftPrompt
from delrec_kit.run.processes import main_only
from delrec_kit.settings.config import FinetuneConfig
from delrec_kit.training.adalora import RankBudget, orthogonality
from delrec_kit.training.adapter import add_adapter, live_ranks, save_adapter
from delrec_kit.training.examples import Examples
from delrec_kit.training.fading import Marked, collate_marked, faded
from delrec_kit.training.task import CandidateRanker, collate
from delrec_kit.training.trainer import KitTrainer, Measure, run_training, total_steps, valid_columns


class FinetuneTrainer(KitTrainer):
    """The task loss, plus AdaLoRA's orthogonality penalty; the log keeps the task loss by itself."""

    def __init__(self, *args, peft_model: PeftModel, **kwargs):
        super().__init__(*args, **kwargs)
        self.peft_model = peft_model

    def training_step(self, model, inputs, num_items_in_batch=None):
        model.train()
        inputs = self._prepare_inputs(inputs)
        if "taught" in inputs:
            inputs["weights"] = faded(inputs.pop("taught"), self.state.global_step / self.state.max_steps)
        task_loss = self.compute_loss(model, inputs)
        penalty = orthogonality(self.peft_model) if self.peft_model.peft_config["default"].peft_type == "ADALORA" else 0
        self.accelerator.backward(task_loss + penalty)
        return task_loss.detach()


def finetune(
    llm: LanguageModel,
    writer: PromptWriter,
    soft: SoftPrompt | None,
    examples: Examples,
    validate: Measure,
    config: FinetuneConfig,
    seed: int,
    checkpoints: Path,
    folder: Path,
    what: str = "stage 2",
    length_normalised: bool = False,
    learns_prompt: bool = False,
    fades: bool = False,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Train an adapter inside ``llm`` (in place) and save it to ``folder``.

    Returns the learning curve and the rank that AdaLoRA left to each layer; with ``finetune.adapter=none`` nothing is
    trained, and the curve is one validation of the language model as it is. ``learns_prompt`` lets P learn too;
    ``fades`` lets what is no true label weigh less with every step.
    """
    if soft is not None:
        soft.requires_grad_(learns_prompt)
    if config.adapter == "none":
        main_only(lambda: folder.mkdir(parents=True, exist_ok=True))
        return pd.DataFrame([{"step": 0, "train_loss": float("nan"), **valid_columns(validate())}]), {}
    peft_model = add_adapter(llm, config, total_steps(len(examples), config), seed)
    model = CandidateRanker(llm, soft, length_normalised)
    others = {name for name in model.trainable() if "lora_" not in name}
    prompt = {f"soft.{name}" for name, _ in soft.named_parameters()} if learns_prompt else set()
    assert others == prompt, "only the adapter may learn in stage 2, and P where it is told to"
    budgets = [RankBudget(peft_model)] if config.adapter == "adalora" else []
    curve = run_training(
        FinetuneTrainer,
        model,
        Marked(examples) if fades else examples,
        partial(collate_marked if fades else collate, writer),
        validate,
        config,
        seed,
        checkpoints,
        what,
        callbacks=budgets,
        resumables=budgets,
        peft_model=peft_model,
    )
    main_only(lambda: save_adapter(peft_model, folder))
    return curve, live_ranks(peft_model)
