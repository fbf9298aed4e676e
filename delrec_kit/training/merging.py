"""A run's language model as plain weights: dequantised, and the adapter added to what it adapts."""

from pathlib import Path

import torch
from peft import PeftModel

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
        model = model.dequantize()
    model = model.to(dtype)
    if adapter is not None and (adapter / "adapter_config.json").is_file():
        model = PeftModel.from_pretrained(model, adapter, is_trainable=False).merge_and_unload()
    for leftover in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, leftover):
            delattr(model.config, leftover)
    model.config.dtype = dtype
    llm.model = model.requires_grad_(False).eval()
    return llm
