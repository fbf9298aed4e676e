"""Loading a language model: 4-bit NF4 by bitsandbytes or unquantised, from the kit, a folder or the hub."""

import hashlib
import warnings
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from delrec_kit.config import LlmConfig
from delrec_kit.errors import KitError
from delrec_kit.llm.encoder_decoder import EncoderDecoder
from delrec_kit.llm.model import LanguageModel

TINY = Path(__file__).parent / "tiny"


def load_llm(config: LlmConfig, device: str | None = None) -> LanguageModel:
    """The language model of ``config``, frozen, in eval mode, on ``device`` (default: the GPU if there is one).

    Raises KitError when the name is unknown or unreachable, or the family is not an encoder-decoder.
    """
    source = str(TINY) if config.name == "tiny" else config.name
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = compute_dtype(config, device)
    _quiet()
    try:
        settings = AutoConfig.from_pretrained(source, revision=config.revision)
        if not settings.is_encoder_decoder:
            raise KitError(f"{config.name} is a {settings.model_type}; this version reads encoder-decoders such as T5")
        tokenizer = AutoTokenizer.from_pretrained(source, revision=config.revision)
        model = AutoModelForSeq2SeqLM.from_pretrained(
            source,
            revision=config.revision,
            dtype=dtype,
            quantization_config=_four_bit(dtype) if config.quantization == "nf4" else None,
            device_map={"": device},
            use_safetensors=True,
            dropout_rate=0.0,  # what is frozen needs no dropout; the adapter has its own
        )
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise KitError(f"cannot load the language model '{config.name}': {first}") from error
    if config.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    for module in model.modules():
        # One no-grad forward would repack such a layer's weights for AVX512-BF16, and training through it would then
        # silently yield no gradient.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return EncoderDecoder(model, tokenizer, _identity(config, source, model, tokenizer))


def compute_dtype(config: LlmConfig, device: str) -> torch.dtype:
    """bfloat16 where the hardware computes it, float16 on older GPUs (T5's ``wo`` then stays float32), CPU float32."""
    if config.compute_dtype != "auto":
        return getattr(torch, config.compute_dtype)
    if not device.startswith("cuda"):
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def memory_footprint(llm: LanguageModel) -> int:
    """Bytes of the weights as loaded."""
    return int(llm.model.get_memory_footprint())


def _four_bit(dtype: torch.dtype) -> BitsAndBytesConfig:
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _identity(config: LlmConfig, source: str, model, tokenizer) -> dict[str, str]:
    weights = sorted(Path(source).glob("*.safetensors")) if Path(source).is_dir() else []
    digest = hashlib.sha256()
    for path in weights:
        digest.update(path.read_bytes())
    revision = getattr(model.config, "_commit_hash", None) or config.revision or ""
    return {
        "llm": config.name if config.name == "tiny" or not weights else Path(source).name,
        "revision": digest.hexdigest()[:16] if weights else revision,
        "tokenizer": hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()[:16],
    }


def _quiet() -> None:
    """Loading bars and hints about optional kernels say nothing that a reader of a notebook can act on."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)  # asked by peft
