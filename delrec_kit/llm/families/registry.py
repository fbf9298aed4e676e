"""Which family a checkpoint belongs to, and what peft calls its query and value projections."""

from collections import Counter
from typing import Any

from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as PEFT_TARGETS
from torch import nn
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
)
from transformers.pytorch_utils import Conv1D

from delrec_kit.llm.families.decoder_only import DecoderOnly
from delrec_kit.llm.families.encoder_decoder import EncoderDecoder
from delrec_kit.llm.families.masked import MaskedEncoder
from delrec_kit.llm.families.model import LanguageModel
from delrec_kit.settings.errors import KitError

RELATIVE = ("t5", "mt5", "umt5", "longt5")  # packed titles need positions that are counted from the title itself
NO_POSITIONS = ("bloom", "mpt", "mamba", "mamba2", "falcon_mamba", "rwkv", "jamba", "xlnet")
RECURRENT = ("lfm2", "lfm2_moe", "recurrent_gemma", "bamba", "zamba", "zamba2", "falcon_h1", "qwen3_next", "nemotron_h")
RECURRENT += ("granitemoehybrid", "xlstm", "minimax", "reformer")  # titles would see each other through their states
LOADERS = {EncoderDecoder: AutoModelForSeq2SeqLM, DecoderOnly: AutoModelForCausalLM, MaskedEncoder: AutoModel}
QUERY_VALUE = (
    {"q", "v"},
    {"q_proj", "v_proj"},
    {"query", "value"},
    {"q_lin", "v_lin"},
    {"query_proj", "value_proj"},
    {"Wqkv"},
    {"c_attn"},
    {"query_key_value"},
    {"qkv_proj"},
)


def family_of(settings: Any, name: str) -> type[LanguageModel]:
    """The family of a transformers configuration. Raises KitError for one whose titles could not be scored exactly."""
    kind = settings.model_type
    beyond = any(getattr(settings, f"{sense}_config", None) is not None for sense in ("vision", "audio"))
    if beyond or kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES or kind in MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES:
        raise KitError(f"{name} is a {kind}, which sees or hears too; give a model of text alone")
    if settings.is_encoder_decoder:
        if kind not in RELATIVE:
            raise KitError(f"{name} is a {kind}; encoder-decoders that the kit reads are {', '.join(RELATIVE)}")
        return EncoderDecoder
    if kind in NO_POSITIONS:
        raise KitError(
            f"{name} is a {kind}, which takes no position ids, so that titles cannot be packed behind a prompt"
        )
    if kind in RECURRENT or getattr(settings, "alibi", False):
        raise KitError(f"{name} is a {kind}, which is not all attention by position, so that titles cannot be packed")
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(settings, "is_decoder", False):
        return MaskedEncoder
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return DecoderOnly
    raise KitError(f"{name} is a {kind}: neither an encoder-decoder, nor decoder-only, nor a masked encoder")


def adapter_targets(model: nn.Module, wanted: list[str] | None = None) -> list[str]:
    """Names of the attention query and value projections, or the ``wanted`` ones.

    Raises KitError naming the linear layers that there are, where they cannot be told.
    """
    linear = Counter(
        name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)
    )
    if wanted:
        missing = [name for name in wanted if name not in linear]
        if missing:
            raise KitError(f"finetune.targets names no layer '{missing[0]}'; {_choices(linear)}")
        return list(wanted)
    known = PEFT_TARGETS.get(model.config.model_type)
    choices = [set(known)] if isinstance(known, list) else []
    for names in [*QUERY_VALUE, *choices]:
        if names <= linear.keys():
            return sorted(names)
    raise KitError(f"cannot tell the query and value projections of a {model.config.model_type}; {_choices(linear)}")


def _choices(linear: Counter) -> str:
    layers = ", ".join(f"{name} ({count})" for name, count in linear.most_common(12))
    return f"choose with finetune.targets among: {layers}"
