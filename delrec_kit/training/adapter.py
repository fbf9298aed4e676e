"""The adapter that stage 2 trains on a language model's query and value projections, by peft."""

from pathlib import Path

import torch
from peft import AdaLoraConfig, LoraConfig, PeftModel, get_peft_model

from delrec_kit.llm import LanguageModel
from delrec_kit.llm.families.registry import adapter_targets
from delrec_kit.settings.config import FinetuneConfig
from delrec_kit.settings.errors import KitError


def add_adapter(llm: LanguageModel, config: FinetuneConfig, steps: int, seed: int) -> PeftModel:
    """Put trainable AdaLoRA or LoRA layers into ``llm`` (in place) for a training of ``steps`` optimizer steps.

    AdaLoRA's rank budget falls from ``init_r`` to ``target_r`` a layer between 10 % and 70 % of the steps.
    Raises KitError where ``finetune.targets`` names no layer, or the query and value projections cannot be told.
    """
    shared = {
        "task_type": llm.task_type,
        "target_modules": adapter_targets(llm.model, config.targets),
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
    }
    if config.adapter == "lora":
        settings = LoraConfig(r=config.target_r, **shared)
    else:
        if config.init_r <= config.target_r:
            raise KitError(f"finetune.init_r={config.init_r} must be above finetune.target_r={config.target_r}")
        settings = AdaLoraConfig(
            init_r=config.init_r,
            target_r=config.target_r,
            total_step=steps,
            tinit=steps // 10,
            tfinal=max(1, 3 * steps // 10),
            deltaT=max(1, steps // 50),
            **shared,
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        peft_model = get_peft_model(llm.model, settings)
    for name, parameter in peft_model.named_parameters():
        if ".ranknum." in name:  # a constant, which peft lets learn where it had to change its type (half precision)
            parameter.requires_grad_(False)
    return peft_model


def live_ranks(peft_model: PeftModel) -> dict[str, int]:
    """Rank of each adapted layer: what AdaLoRA left of its singular values, or LoRA's constant one."""
    part, rank = ("lora_A", len) if _is_lora(peft_model) else ("lora_E", lambda p: int((p != 0).sum()))
    return {
        name.partition(f".{part}")[0].removeprefix("base_model.model."): rank(p)
        for name, p in peft_model.named_parameters()
        if f".{part}." in name
    }


def save_adapter(peft_model: PeftModel, folder: Path) -> None:
    """A standard peft folder. AdaLoRA's factors are saved at full size, their pruned singular values being zero: peft's
    truncated form would not load into fresh layers of ``init_r``."""
    settings = peft_model.peft_config["default"]
    pattern = settings.rank_pattern
    if not _is_lora(peft_model):
        settings.rank_pattern = None
    peft_model.save_pretrained(folder, safe_serialization=True)
    settings.rank_pattern = pattern
    (folder / "README.md").unlink(missing_ok=True)


def load_adapter(llm: LanguageModel, folder: Path) -> None:
    """Put a saved adapter into ``llm`` (in place), frozen. Nothing is put where stage 2 was told to train none."""
    if (folder / "metrics.json").is_file() and not (folder / "adapter_config.json").is_file():
        return
    if not (folder / "adapter_config.json").is_file():
        raise KitError(f"no adapter at {folder}; run notebook 04 first")
    PeftModel.from_pretrained(llm.model, folder, is_trainable=False)
    llm.requires_grad_(False)
    llm.eval()


def _is_lora(peft_model: PeftModel) -> bool:
    return peft_model.peft_config["default"].peft_type == "LORA"
