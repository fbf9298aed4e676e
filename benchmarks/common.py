"""What the benchmarks share: models of real shape with random weights, real prompts, medians of interleaved runs."""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from delrec_kit.data import PreparedData, prepare
from delrec_kit.llm import LlmRecommender, PromptWriter, SoftPrompt, load_llm
from delrec_kit.llm.place import TINY
from delrec_kit.settings.config import DataConfig, LlmConfig
from delrec_kit.training import Examples, TaskWriter

SHAPES = {
    "t5-small": (T5Config, {"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_heads": 6}),
    "t5-mini": (T5Config, {"d_model": 256, "d_kv": 64, "d_ff": 512, "num_layers": 4, "num_heads": 4}),
    "t5-xl": (T5Config, {"d_model": 2048, "d_kv": 64, "d_ff": 5120, "num_layers": 24, "num_heads": 32}),
    "llama-8b": (
        LlamaConfig,
        {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32}
        | {"num_attention_heads": 32, "num_key_value_heads": 8},
    ),
    "llama-tiny": (
        LlamaConfig,
        {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4}
        | {"num_attention_heads": 4, "num_key_value_heads": 2},
    ),
}
FLAN = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "decoder_start_token_id": 0}


@dataclass(frozen=True)
class Material:
    """Data and tokenizer that prompts are made of."""

    data: PreparedData
    tokenizer: str
    name: str

    @classmethod
    def load(cls, data_dir: str | None, tokenizer: str | None, m: int) -> "Material":
        """MovieLens-100K and another tokenizer where they are given, else the demo world and the shipped one."""
        dataset = "ml-100k" if data_dir else "demo"
        data = prepare(DataConfig(dataset=dataset, data_dir=data_dir, candidates=m), 0)
        return cls(
            data, tokenizer or str(TINY), f"{dataset}, {Path(tokenizer).name if tokenizer else 'tiny'} tokenizer"
        )


@lru_cache(maxsize=2)
def model_folder(shape: str, tokenizer: str) -> Path:
    """A checkpoint of this shape with random weights, so that loading takes the road that real ones take."""
    folder = Path(tempfile.mkdtemp(prefix=f"{shape}-"))
    words = AutoTokenizer.from_pretrained(tokenizer)
    if words.eos_token_id is None:  # a bare T5 vocabulary, without the settings that lie beside it
        words.eos_token, words.pad_token = "</s>", "<pad>"
    kind, sizes = SHAPES[shape]
    extra = FLAN if kind is T5Config else {}
    ids = {"pad_token_id": words.pad_token_id, "eos_token_id": words.eos_token_id, "vocab_size": len(words)}
    torch.manual_seed(0)
    architecture = T5ForConditionalGeneration if kind is T5Config else LlamaForCausalLM
    big = shape in ("t5-xl", "llama-8b")
    ids["vocab_size"] = max(len(words), 32128) if big else len(words)
    model = architecture._from_config(kind(**sizes, **extra, **ids), dtype=torch.bfloat16 if big else torch.float32)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def open_model(shape: str, material: Material, k: int = 0, quantization: str = "fp32", **settings) -> LlmRecommender:
    """A recommender over random weights of this shape, with an untrained P of ``k`` vectors where k is not 0."""
    llm = load_llm(LlmConfig(name=str(model_folder(shape, material.tokenizer)), quantization=quantization, **settings))
    writer = PromptWriter(llm.tokenizer, material.data.domain, material.data.split.titles, format=llm.format)
    return LlmRecommender(llm, writer, SoftPrompt.untrained(llm, k, 0) if k else None)


def next_item_examples(material: Material, recommender: LlmRecommender, count: int, m: int) -> Examples:
    split = material.data.split
    return TaskWriter(recommender, split.train, split.consumed(), m, None, None, seed=0).next_item(count)


def medians(ways: dict[str, Callable[[], object]], runs: int, warm: int = 1) -> dict[str, float]:
    """Seconds of each way: the median of ``runs``, the ways taking turns so that a slow moment hits all."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(warm + runs):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn >= warm:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(seconds) for name, seconds in times.items()}
