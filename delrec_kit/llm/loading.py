"""Loading a language model: 4-bit, 8-bit or unquantised, from the kit, a folder, the cache or the hub."""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from delrec_kit.llm import hub, memory
from delrec_kit.llm.checkpoint import check_files, check_head, check_loaded, check_vocabulary, saved_quantization
from delrec_kit.llm.families.masked import MaskedEncoder
from delrec_kit.llm.families.model import LanguageModel
from delrec_kit.llm.families.positions import positions
from delrec_kit.llm.families.registry import LOADERS, family_of
from delrec_kit.llm.place import place_of
from delrec_kit.llm.sharding import check_shardable, shard
from delrec_kit.llm.text import TextFormat, decoder_only_format, encoder_decoder_format, masked_format
from delrec_kit.run.inputs import sha256
from delrec_kit.run.processes import processes, sharded
from delrec_kit.settings.config import LlmConfig
from delrec_kit.settings.errors import KitError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
WORTH_A_LINE = 2**28  # bytes of weights from which on loading is announced


def load_llm(config: LlmConfig, device: str | None = None) -> LanguageModel:
    """The language model of ``config``, frozen, in eval mode, on ``device`` (default: the GPU if there is one).

    Several processes that were started with ``--use_fsdp`` load it into the CPU's memory, then share it out.
    Raises KitError when the name is unknown or unreachable, its weights are missing or do not fit the memory, or it
    belongs to no family that the kit reads.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype, whole = compute_dtype(config, device), whole_dtype(config, device)
    if spread := sharded():
        check_shardable(config.quantization)
    at = "cpu" if spread else device
    with _opening(config) as place:
        settings, family, tokenizer = _inspected(place, config)
        saved = saved_quantization(settings, config.name, config.quantization)
        needed = memory.estimate(settings, LOADERS[family], config.quantization, whole)
        free = memory.free(at) // (processes() if spread else 1)
        if needed > free:
            raise KitError(f"{config.name} {memory.sentence(needed, free, config.quantization)}; {memory.ADVICE}")
        if needed > WORTH_A_LINE:
            print(f"loading {config.name}: {memory.sentence(needed, free, config.quantization)}")
        model, info = LOADERS[family].from_pretrained(
            **place,
            dtype=whole,
            quantization_config=None if saved else _quantised(config.quantization, dtype),
            device_map={"": at},
            use_safetensors=True,
            output_loading_info=True,
            **_no_dropout(settings),
        )
        check_loaded(info, config.name)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # nothing reads it, and a checkpoint for masked words brings no weights for it
    for module in model.modules():
        # One no-grad forward would repack such a layer's weights for AVX512-BF16, and training through it would then
        # silently yield no gradient.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    if spread:
        shard(model, device)
    format = _format(family, tokenizer, model.config)
    llm = family(
        model,
        tokenizer,
        _identity(config, Path(place["pretrained_model_name_or_path"]), tokenizer, format),
        format,
    )
    llm.lists = family.lists and config.listed
    if config.gradient_checkpointing:
        llm.recompute()
    return llm


def check_reachable(config: LlmConfig) -> None:
    """Raise KitError where ``load_llm`` could not find the model or would refuse its family; loads no weights."""
    with _opening(config) as place:
        _inspected(place, config)


@dataclass(frozen=True)
class Words:
    """What is known of a language model without its weights: tokenizer; format: how it wants its text; lists: whether
    its prompts list candidates; longest: tokens that its positions reach, None where they have no end."""

    tokenizer: Any
    format: TextFormat
    lists: bool
    longest: int | None


def words_of(config: LlmConfig) -> Words:
    """Raises KitError as ``check_reachable`` does."""
    with _opening(config) as place:
        settings, family, tokenizer = _inspected(place, config)
    lists = family.lists and config.listed
    return Words(tokenizer, _format(family, tokenizer, settings), lists, positions(settings))


@contextmanager
def _opening(config: LlmConfig) -> Iterator[dict[str, Any]]:
    """What ``from_pretrained`` is told of the model's place; KitError, in one line, for what it raises."""
    place = place_of(config)
    _quiet()
    try:
        with hub.left_alone(place["local_files_only"]):
            yield place
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise KitError(_unloadable(config, place, error)) from error


def _inspected(place: dict[str, Any], config: LlmConfig) -> tuple[Any, type[LanguageModel], Any]:
    """The checkpoint's configuration, family and tokenizer. KitError for what the kit does not read, or not whole."""
    settings = AutoConfig.from_pretrained(**place)
    family = _family(settings, config)
    check_head(settings, config.name)
    saved_quantization(settings, config.name, config.quantization)
    check_files(Path(place["pretrained_model_name_or_path"]))
    tokenizer = AutoTokenizer.from_pretrained(**place)
    check_vocabulary(tokenizer, settings, config.name)
    return settings, family, tokenizer


def _family(settings: Any, config: LlmConfig) -> type[LanguageModel]:
    """KitError also for a setting that this family would not heed, so that no table is labelled with it."""
    family = family_of(settings, config.name)
    if family is MaskedEncoder and config.verbalizer != "title":
        raise KitError(
            f"llm.verbalizer={config.verbalizer} does nothing for {config.name}: a masked encoder compares whole "
            "titles; use title"
        )
    return family


def compute_dtype(config: LlmConfig, device: str) -> torch.dtype:
    """bfloat16 where the hardware computes it, float16 on older GPUs (T5's ``wo`` then stays float32), CPU float32."""
    if config.quantization in DTYPES:
        return DTYPES[config.quantization]
    if not device.startswith("cuda"):
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def whole_dtype(config: LlmConfig, device: str) -> torch.dtype:
    """Of what is not quantised. A CPU with 4-bit layers keeps float32 there: in half precision its attention is slow,
    and the layers' large products are what a CPU with bfloat16 instructions gains from."""
    four_bit = config.quantization in ("nf4", "fp4")
    return torch.float32 if four_bit and not device.startswith("cuda") else compute_dtype(config, device)


def memory_footprint(llm: LanguageModel) -> int:
    """Bytes of the weights as loaded."""
    return int(llm.model.get_memory_footprint())


def _format(family: type[LanguageModel], tokenizer: Any, settings: Any) -> TextFormat:
    if family.task_type == "SEQ_2_SEQ_LM":
        return encoder_decoder_format(tokenizer, int(settings.decoder_start_token_id))
    if family is MaskedEncoder:
        return masked_format(tokenizer)
    return decoder_only_format(tokenizer)


def _quantised(quantization: str, dtype: torch.dtype) -> BitsAndBytesConfig | None:
    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    if quantization in ("nf4", "fp4"):
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quantization,
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    return None


def _no_dropout(settings: Any) -> dict[str, float]:
    """What is frozen needs no dropout; the adapter has its own."""
    names = ("dropout_rate", "attention_dropout", "attention_probs_dropout_prob", "hidden_dropout_prob")
    more = ("attn_pdrop", "embd_pdrop", "resid_pdrop", "mlp_dropout", "embedding_dropout", "dropout")
    return {name: 0.0 for name in (*names, *more) if isinstance(getattr(settings, name, None), float)}


def _unloadable(config: LlmConfig, place: dict[str, Any], error: Exception) -> str:
    text = str(error).strip()
    reason = text.splitlines()[0] if text else type(error).__name__
    unanswered = place["local_files_only"] and not Path(place["pretrained_model_name_or_path"]).is_dir()
    if isinstance(error, SafetensorError):
        advice = f"its weights are damaged ({reason}); get them again"
    elif "custom code" in text:
        advice = "it brings code of its own, which the kit never runs; choose a model of transformers' own"
    elif (isinstance(error, OSError) and unanswered) or "connect" in text or "Name or service" in text:
        advice = (
            "no connection to the hub, and not all of it is in the local cache; download it elsewhere and give its "
            "folder as --llm"
        )
    elif "config.json" in text:
        advice = "it has no config.json, so that it is no whole model; an adapter must be merged into its model first"
    elif "safetensors" in text or "does not appear to have a file named" in text:
        advice = f"{reason}; the kit reads weights from .safetensors files only"
    elif "not a local folder and is not a valid model identifier" in text or "Repo id must" in text:
        advice = "no such model on the Hugging Face hub and no such folder; 'tiny', 'minilm' and 'gemma' need neither"
    else:
        advice = reason
    return f"cannot load the language model '{config.name}': {advice}"


def _identity(config: LlmConfig, source: Path, tokenizer: Any, format: TextFormat) -> dict[str, str]:
    weights = sorted(source.glob("*.safetensors")) if source.is_dir() else []
    cached = None if weights else try_to_load_from_cache(config.repository, "config.json", revision=config.revision)
    revision = Path(cached).parent.name if isinstance(cached, str) else config.revision or ""  # the commit
    named = config.name in ("tiny", "minilm", "gemma") or not weights
    return {
        "llm": config.name if named else source.name,
        "revision": sha256(*weights)[:16] if weights else revision,
        "tokenizer": hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()[:16],
        "text": hashlib.sha256(repr(format).encode()).hexdigest()[:16],
    }


def _quiet() -> None:
    """Loading bars and hints about optional kernels say nothing that a reader of a notebook can act on."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)  # asked by peft
