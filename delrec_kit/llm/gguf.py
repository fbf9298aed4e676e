"""GGUF files: read once by transformers, kept as safetensors, and loaded from there like any other model."""

import shutil
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pooch
import torch
from filelock import FileLock
from transformers import AutoModelForCausalLM, AutoTokenizer

from delrec_kit.run.inputs import sha256
from delrec_kit.settings.errors import KitError


def gguf_folder(file: Path) -> Path:
    """Where the model in ``file`` lies as safetensors. Raises KitError for an architecture that transformers does not
    read from GGUF, and where the package gguf is missing."""
    return kept(f"gguf-{sha256(file)[:16]}", lambda draft: convert(file, draft))


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The folder ``name`` of the cache, which ``make(draft)`` fills if it is not there yet. It appears whole or not at
    all, and is made once however many processes ask."""
    folder = Path(pooch.os_cache("delrec_kit")) / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.is_dir():
            draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{name}-draft-"))
            try:
                make(draft)
                draft.rename(folder)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return folder


def convert(file: Path, folder: Path) -> None:
    """Write the model and tokenizer of a GGUF file to ``folder``, its weights in bfloat16."""
    if find_spec("gguf") is None:
        raise KitError(f"{file.name} is a GGUF file, which needs the package gguf: pip install gguf")
    print(f"reading {file.name}: once, a minute or two; kept in {folder.parent}", flush=True)
    place = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(**place)
        model = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.bfloat16)
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise KitError(f"transformers does not read {file.name}: {reason}; give its safetensors folder") from error
    model.hf_quantizer, model.is_quantized = None, False  # its weights are plain by now, and are saved as such
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
