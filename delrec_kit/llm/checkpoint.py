"""What a checkpoint says of itself, checked before anything of it is loaded."""

from pathlib import Path
from typing import Any

from delrec_kit.settings.errors import KitError

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "sentencepiece.bpe.model")


def check_whole(folder: Path) -> None:
    """Raise KitError for a folder that holds an adapter alone."""
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise KitError(f"{folder} holds an adapter alone; merge it into its model, save that, and give its folder")


def check_tokenizer(folder: Path) -> None:
    """Raise KitError for a model's folder without a tokenizer, for which every title would be the same."""
    if folder.is_dir() and not any((folder / name).is_file() for name in TOKENIZERS):
        raise KitError(f"{folder} has no tokenizer: put its {TOKENIZERS[0]} there, as the model came with it")


def saved_quantization(settings: Any, name: str, asked: str) -> str | None:
    """How the checkpoint itself is quantised, None where it is not.

    Raises KitError where that is no way the kit trains in, or another than ``asked`` for.
    """
    saved = getattr(settings, "quantization_config", None)
    if saved is None:
        return None
    saved = saved if isinstance(saved, dict) else saved.to_dict()
    method = str(saved.get("quant_method", "unknown")).rpartition(".")[2].lower()
    if "bitsandbytes" not in method:
        raise KitError(f"{name} is saved in {method}; give its unquantised folder, which the kit loads in 4 bit itself")
    kind = str(saved.get("bnb_4bit_quant_type", "fp4")) if saved.get("load_in_4bit") else "int8"
    if kind != asked:
        raise KitError(f"{name} is saved in {kind} and llm.quantization={asked}; set llm.quantization={kind}")
    return kind
