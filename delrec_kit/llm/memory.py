"""How much memory a model's weights will take, known before a byte of them is loaded."""

from typing import Any

import psutil
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

BITS = {"nf4": 4.127, "fp4": 4.127, "int8": 8.0}  # 4-bit: blocks of 64 share a scale, itself in 8 bits a block of 256
ADVICE = "choose a smaller model, llm.quantization=nf4, or a machine with more memory"


def estimate(settings: Any, loader: type, quantization: str, dtype: torch.dtype) -> int:
    """Bytes of the weights of a model with these settings, its linear layers quantised, the rest in ``dtype``.

    Left whole, as transformers leaves them: the output head, embeddings, and what an architecture keeps in float32 when
    the rest is float16 (T5's ``wo``, a sixth of Flan-T5-XL).
    """
    with torch.device("meta"):
        model = loader.from_config(settings, dtype=dtype)
    head = model.get_output_embeddings()
    spared = tuple(getattr(model, "_keep_in_fp32_modules", None) or ())
    seen: set[int] = set()
    total = 0.0
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            kept = any(part in name.split(".") for part in spared)
            linear = isinstance(module, nn.Linear | Conv1D) and module is not head and not kept and parameter.ndim == 2
            if linear and quantization in BITS:
                total += parameter.numel() * BITS[quantization] / 8
            else:
                size = 4 if kept and dtype == torch.float16 else dtype.itemsize
                total += parameter.numel() * size
    return int(total)


def free(device: str) -> int:
    """Bytes that are free on ``device``."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    return int(psutil.virtual_memory().available)


def sentence(needed: int, available: int, quantization: str) -> str:
    return f"needs {needed / 1e9:.1f} GB in {quantization}, {available / 1e9:.1f} GB free"
