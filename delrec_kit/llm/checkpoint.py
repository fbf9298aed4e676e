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


def check_code(settings: dict[str, Any], name: str) -> None:
    """Raise KitError where a configuration asks to run code of its own, for an architecture that transformers lacks."""
    if settings.get("auto_map") and not _known(settings.get("model_type")):
        raise KitError(f"{name} brings code of its own, which the kit never runs; choose a model of transformers' own")


def saved_quantization(settings: Any, name: str, asked: str) -> str | None:
    """How the checkpoint itself is quantised, None where it is not.

    Raises KitError where that is no way the kit trains in, or another than ``asked`` for.
    """
    saved = getattr(settings, "quantization_config", None)
    if saved is None:
        return None
    saved = saved if isinstance(saved, dict) else saved.to_dict()
    method = str(saved.get("quant_method", "unknown")).rpartition(".")[2].lower()
    four = str(saved.get("bnb_4bit_quant_type", "fp4"))
    kind = {True: four, False: "int8"}[bool(saved.get("load_in_4bit"))] if "bitsandbytes" in method else method
    if "bitsandbytes" not in method:
        raise KitError(f"{name} is saved in {kind}; give its unquantised folder, which the kit loads in 4 bit itself")
    if kind != asked:
        raise KitError(f"{name} is saved in {kind} and llm.quantization={asked}; set llm.quantization={kind}")
    return kind


def _known(kind: str | None) -> bool:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return kind in CONFIG_MAPPING_NAMES
