"""Tiny random models of every family and tokenizers of every kind, made on the spot."""

from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

TITLES = ["", "Red Moon", "Blue Moon Rising", "Red Moon", "Silent Harbour", "The Last Harbour Song", "Rising"]
TITLES += [f"Film {number}" for number in range(1, 13)]
TEXT = [
    *(f"; {title}" for title in TITLES[1:]),
    *(f"x {letter}: x" for letter in "ABCDEFGH"),
    "This person watched these films, oldest first: ; . Pattern: From the list: The next film is",
] * 30

SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
GROUPED = SMALL | {"num_key_value_heads": 2, "max_position_embeddings": 512}
ARCHITECTURES = {
    "llama": ("LlamaConfig", "LlamaForCausalLM", GROUPED),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", GROUPED | {"head_dim": 16, "tie_word_embeddings": True}),
    "gemma2": ("Gemma2Config", "Gemma2ForCausalLM", GROUPED | {"head_dim": 16, "final_logit_softcapping": 2.0}),
    "gemma3_text": ("Gemma3TextConfig", "Gemma3ForCausalLM", GROUPED | {"head_dim": 16}),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512}),
    "bert": ("BertConfig", "BertModel", SMALL),
    "roberta": ("RobertaConfig", "RobertaForMaskedLM", SMALL | {"max_position_embeddings": 514}),
    "modernbert": ("ModernBertConfig", "ModernBertForMaskedLM", SMALL | {"local_attention": 16}),
}
DECODERS = ("llama", "qwen3", "gemma2", "gemma3_text", "gpt2")
ENCODERS = ("bert", "roberta", "modernbert")
CHAT = (
    "{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def make_model(folder: Path, name: str) -> Path:
    """A model of two layers whose weights follow from seed 0, with a tokenizer of its kind."""
    tokenizer = word_pieces() if name == "bert" else byte_level(name == "qwen3", name != "gpt2", name in ENCODERS)
    settings, architecture, sizes = ARCHITECTURES[name]
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = getattr(transformers, settings)(**sizes, vocab_size=len(tokenizer), **ids)
    torch.manual_seed(0)
    model = getattr(transformers, architecture)(config)
    with torch.no_grad():
        for parameter in model.parameters():  # far from uniform, so that a wrong score is far from the right one
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def byte_level(chat: bool = False, opens: bool = True, pads: bool = False) -> PreTrainedTokenizerFast:
    """As GPT-2 and Llama 3 have it: a blank is part of the word behind it. Theirs have no pad token."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<bos>", "<eos>", "<mask>", "<|user|>", "<|end|>", "<|assistant|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        TEXT, trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet)
    )
    if opens:
        core.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    names = {"bos_token": "<bos>", "eos_token": "<eos>", "mask_token": "<mask>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **names, cls_token="<bos>", sep_token="<eos>")
    if pads:
        tokenizer.pad_token = "<eos>"
    if chat:
        tokenizer.chat_template = CHAT
    return tokenizer


def word_pieces() -> PreTrainedTokenizerFast:
    """As BERT has it: blanks between words do not matter."""
    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    core.train_from_iterator(TEXT, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special))
    return PreTrainedTokenizerFast(tokenizer_object=core, **names)
