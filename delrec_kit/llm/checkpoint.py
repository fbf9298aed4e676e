"""What a checkpoint says of itself, checked before anything of it is loaded."""

import json
from pathlib import Path
from typing import Any

from delrec_kit.settings.errors import KitError

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "sentencepiece.bpe.model")


INDEX = "model.safetensors.index.json"
HEADS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")
HEADS += ("ForImageClassification", "ForAudioClassification")


def check_whole(folder: Path) -> None:
    """Raise KitError for a folder that holds an adapter alone, or no model at all."""
    if (folder / "config.json").is_file():
        return
    if (folder / "adapter_config.json").is_file():
        raise KitError(f"{folder} holds an adapter alone; merge it into its model, save that, and give its folder")
    inside = "is empty" if not any(folder.iterdir()) else "has no config.json"
    raise KitError(f"{folder} {inside}: give the folder of a model, with its configuration, weights and tokenizer")


def check_files(folder: Path) -> None:
    """Raise KitError for a model's folder without a tokenizer, for which every title would be the same, or without all
    its weights as safetensors. What is no folder is not looked into."""
    if not folder.is_dir():
        return
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise KitError(f"{folder} has no tokenizer: put its {TOKENIZERS[0]} there, as the model came with it")
    if (folder / INDEX).is_file() and not (folder / "model.safetensors").is_file():
        shards = sorted(set(_weight_map(folder / INDEX).values()))
        missing = [name for name in shards if not (folder / name).is_file()]
        if missing:
            raise KitError(f"{folder} lacks {missing[0]} ({len(missing)} of {len(shards)} shards); put it there")
    elif not any(folder.glob("*.safetensors")):
        others = sorted(path.name for kind in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(kind))
        found = f"weights as {others[0]} alone, which can run code when it is read" if others else "no weights"
        raise KitError(f"{folder} has {found}; the kit reads .safetensors: save it with save_pretrained, or get those")


def check_head(settings: Any, name: str) -> None:
    """Raise KitError for a checkpoint whose head answers with classes and knows no words."""
    for architecture in getattr(settings, "architectures", None) or ():
        if architecture.endswith(HEADS):
            raise KitError(f"{name} is a {architecture}, whose head knows classes and no words; give a language model")


def check_vocabulary(tokenizer: Any, settings: Any, name: str) -> None:
    """Raise KitError for a tokenizer with words that the model has no embedding for."""
    most = max(tokenizer.get_vocab().values(), default=0) + 1
    size = getattr(settings, "vocab_size", None)
    if size is not None and most > size:
        raise KitError(
            f"the tokenizer of {name} has {most} words and its model {size} embeddings: they do not belong together; "
            "give the tokenizer that the model came with"
        )


def check_loaded(info: Any, name: str) -> None:
    """Raise KitError where weights that the model needs were not in its checkpoint, and would be random numbers. info:
    what ``from_pretrained`` says with ``output_loading_info``."""
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)  # which nothing reads
    missing += sorted(str(key[0] if isinstance(key, tuple) else key) for key in info.get("mismatched_keys") or ())
    if missing:
        raise KitError(
            f"the checkpoint of {name} lacks {missing[0]} ({len(missing)} of its weights), which would be random; "
            "it was made for another task or is damaged"
        )


def _weight_map(index: Path) -> dict[str, str]:
    try:
        return dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KitError(f"{index} is damaged; get it again, as the model came with it") from error


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
