"""GGUF files: read once by transformers, kept as safetensors, and loaded from there like any other model."""

from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from delrec_kit.llm import hub
from delrec_kit.llm.kept import kept
from delrec_kit.run.inputs import sha256
from delrec_kit.settings.errors import KitError


def gguf_folder(file: Path) -> Path:
    """Where the model in ``file`` lies as safetensors. Raises KitError for an architecture that transformers does not
    read from GGUF, and where the package gguf is missing."""
    return kept(f"gguf-{sha256(file)[:16]}", lambda draft: convert(file, draft))


def convert(file: Path, folder: Path) -> None:
    """Write the model and tokenizer of a GGUF file to ``folder``, its weights in bfloat16."""
    if find_spec("gguf") is None:
        raise KitError(f"{file.name} is a GGUF file, which needs the package gguf: pip install gguf")
    print(f"reading {file.name}: once, a minute or two; kept in {folder.parent}", flush=True)
    place = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name, "trust_remote_code": False}
    plain = GgufConfig(dequantize=True)  # packed weights would want kernels from the hub, and cannot be saved
    try:
        with hub.left_alone(True):
            tokenizer = AutoTokenizer.from_pretrained(**place)
            model = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.bfloat16, quantization_config=plain)
    except Exception as error:  # readers of a damaged file, and the tokenizers' own, raise what they like
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise KitError(f"transformers does not read {file.name}: {reason}; give its safetensors folder") from error
    packed = [name for name, p in model.named_parameters() if not p.is_floating_point()]
    if packed:
        raise KitError(f"transformers leaves {packed[0]} of {file.name} packed; give its safetensors folder")
    model.hf_quantizer, model.is_quantized = None, False  # its weights are plain by now, and are saved as such
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
