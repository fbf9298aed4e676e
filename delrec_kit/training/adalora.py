"""What peft leaves of AdaLoRA (arXiv 2303.10512) to its user: the penalty and the rank budget, made resumable."""

import json
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

IMPORTANCES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


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
