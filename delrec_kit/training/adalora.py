"""AdaLoRA on a language model's query and value projections: what peft leaves to its user (arXiv 2303.10512)."""

import json
from pathlib import Path

import torch
from peft import AdaLoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from delrec_kit.config import FinetuneConfig
from delrec_kit.errors import KitError
from delrec_kit.llm import LanguageModel

IMPORTANCES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


def add_adapter(llm: LanguageModel, config: FinetuneConfig, steps: int, seed: int) -> PeftModel:
    """Put trainable AdaLoRA layers into ``llm`` (in place) for a training of ``steps`` optimizer steps.

    The rank budget falls from ``init_r`` to ``target_r`` a layer between 10 % and 70 % of the steps.
    """
    if config.init_r <= config.target_r:
        raise KitError(f"finetune.init_r={config.init_r} must be above finetune.target_r={config.target_r}")
    settings = AdaLoraConfig(
        task_type="SEQ_2_SEQ_LM",
        target_modules=llm.adapter_targets,
        init_r=config.init_r,
        target_r=config.target_r,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        total_step=steps,
        tinit=steps // 10,
        tfinal=max(1, 3 * steps // 10),
        deltaT=max(1, steps // 50),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(llm.model, settings)


def orthogonality(peft_model: PeftModel) -> torch.Tensor:
    """AdaLoRA's penalty, mean over the factors of the Frobenius norm of P'P - I, times its weight.

    peft adds it inside the model's own loss, which this kit does not use.
    """
    penalties = []
    for name, p in peft_model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            gram = p @ p.T if "lora_A" in name else p.T @ p
            penalties.append(torch.linalg.norm(gram - torch.eye(len(gram), device=p.device)))
    return peft_model.peft_config["default"].orth_reg_weight * torch.stack(penalties).mean()


class RankBudget(TrainerCallback):
    """Calls AdaLoRA's budget update once an optimizer step, which Trainer does not, and makes it resumable."""

    def __init__(self, peft_model: PeftModel):
        self.tuner = peft_model.base_model
        self.settings = peft_model.peft_config["default"]

    def on_optimizer_step(self, args, state, control, **kwargs):
        self.tuner.update_and_allocate(state.global_step)

    def save(self, folder: Path) -> None:
        allocator = self.tuner.rankallocator
        tensors = {f"{kind}/{n}": t.cpu() for kind in IMPORTANCES for n, t in getattr(allocator, kind).items()}
        save_file(tensors, folder / "rank_allocator.safetensors")
        (folder / "rank_pattern.json").write_text(json.dumps(self.settings.rank_pattern))

    def load(self, folder: Path) -> None:
        allocator = self.tuner.rankallocator
        allocator.reset_ipt()
        device = next(self.tuner.parameters()).device
        for key, tensor in load_file(folder / "rank_allocator.safetensors").items():
            kind, _, name = key.partition("/")
            getattr(allocator, kind)[name] = tensor.to(device)
        self.settings.rank_pattern = json.loads((folder / "rank_pattern.json").read_text())


def live_ranks(peft_model: PeftModel) -> dict[str, int]:
    """Rank that AdaLoRA left to each adapted layer: its non-zero singular values."""
    return {
        name.partition(".lora_E")[0].removeprefix("base_model.model."): int((p != 0).sum())
        for name, p in peft_model.named_parameters()
        if "lora_E" in name
    }


def save_adapter(peft_model: PeftModel, folder: Path) -> None:
    """A standard peft folder. The factors are saved at full size, their pruned singular values being zero: peft's
    truncated form would not load into fresh layers of ``init_r``."""
    settings = peft_model.peft_config["default"]
    pattern, settings.rank_pattern = settings.rank_pattern, None
    peft_model.save_pretrained(folder, safe_serialization=True)
    settings.rank_pattern = pattern
    (folder / "README.md").unlink(missing_ok=True)


def load_adapter(llm: LanguageModel, folder: Path) -> None:
    """Put a saved adapter into ``llm`` (in place), frozen."""
    if not (folder / "adapter_config.json").is_file():
        raise KitError(f"no adapter at {folder}; run notebook 04 first")
    PeftModel.from_pretrained(llm.model, folder, is_trainable=False)
    llm.requires_grad_(False)
    llm.eval()
