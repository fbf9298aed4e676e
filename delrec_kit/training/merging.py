"""A run's language model as plain weights: dequantised, and the adapter added to what it adapts."""

from pathlib import Path

import torch
from peft import PeftModel, PromptTuningConfig
from safetensors.torch import save_file

from delrec_kit.llm import LanguageModel, load_llm
from delrec_kit.run.processes import device
from delrec_kit.settings.config import LlmConfig


def merged(config: LlmConfig, adapter: Path | None, dtype: torch.dtype) -> LanguageModel:
    """The language model of ``config`` with weights in ``dtype`` and no trace of bitsandbytes or peft.

    What is merged are the quantised weights, dequantised, since the adapter was trained on them. adapter: a folder as
    ``save_adapter`` leaves it; one without an adapter, or None, adds nothing.
    """
    llm = load_llm(config, device())
    model = llm.model
    if getattr(model, "hf_quantizer", None) is not None:
        model = model.dequantize(dtype=dtype)
    model = model.to(dtype)
    if adapter is not None and (adapter / "adapter_config.json").is_file():
        model = PeftModel.from_pretrained(model, adapter, is_trainable=False).merge_and_unload()
    for leftover in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, leftover):
            delattr(model.config, leftover)
    model.config.dtype = dtype
    llm.model = model.requires_grad_(False).eval()
    return llm


def save_prompt_tuning(llm: LanguageModel, P: torch.Tensor, folder: Path) -> None:
    """P (k, d) as peft's prompt tuning holds it (arXiv 2104.08691): in front of every prompt, and of all that the
    tokenizer puts around it."""
    settings = PromptTuningConfig(
        task_type=llm.task_type, num_virtual_tokens=len(P), token_dim=P.shape[1], num_transformer_submodules=1
    )
    settings.base_model_name_or_path, settings.inference_mode = "..", True
    settings.num_attention_heads, settings.num_layers = 1, 1  # which it asks for, and prompt tuning does not use
    settings.save_pretrained(str(folder))
    save_file({"prompt_embeddings": P.detach().float().cpu().contiguous()}, folder / "adapter_model.safetensors")
