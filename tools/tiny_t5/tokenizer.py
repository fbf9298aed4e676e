"""A tokenizer of whole words (the catalogue's and the templates'), with letters to spell any other word."""

import string
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

PUNCTUATION = Regex("[.,:;?!]")
SPECIAL = ("<pad>", "</s>", "<unk>")


def build_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Every word of ``texts`` is one token, a year in brackets included; unknown words are spelled in letters."""
    split = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(PUNCTUATION, "isolated")])
    words = {word for text in texts for word, _ in split.pre_tokenize_str(text)}
    letters = sorted(set(string.printable) - set(string.whitespace))
    vocabulary = [*SPECIAL, *letters, *(f"##{c}" for c in letters), *sorted(words - set(letters))]
    core = Tokenizer(
        models.WordPiece({w: i for i, w in enumerate(vocabulary)}, unk_token="<unk>", max_input_chars_per_word=200)
    )
    core.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents()])
    core.pre_tokenizer = split
    core.decoder = decoders.Sequence(
        [decoders.WordPiece(prefix="##", cleanup=True), decoders.Replace(" ;", ";"), decoders.Replace(" :", ":")]
    )
    core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )
