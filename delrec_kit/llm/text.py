"""How a model wants its text: what opens and closes a prompt, where the answer stands, how words are spaced."""

from dataclasses import dataclass
from typing import Any

from delrec_kit.settings.errors import KitError

MARK = "⟨prompt⟩"  # stands for the prompt while a chat template is read


@dataclass(frozen=True)
class TextFormat:
    """A prompt is ``opening``, the text, ``closing``, the ``answer`` slot and ``ending``, all but the text token ids.

    answer: empty where the last token of the text is the slot; start: the token behind which an answer is scored, None
    for the prompt's own last one; eos: closes an answer; pad: fills up a batch; gap and answer_gap: what stands between
    a word and the title before which it stands, in the prompt and in the answer; compares: answers are compared as
    vectors, and their words never read behind a prompt.
    """

    eos: int
    pad: int
    start: int | None = None
    opening: tuple[int, ...] = ()
    closing: tuple[int, ...] = ()
    answer: tuple[int, ...] = ()
    ending: tuple[int, ...] = ()
    gap: str = ""
    answer_gap: str = ""
    compares: bool = False


def encoder_decoder_format(tokenizer: Any, start: int = 0) -> TextFormat:
    """T5's: the prompt ends in its end-of-sequence token, the answer begins behind the decoder's start token."""
    eos = _eos(tokenizer)
    return TextFormat(eos, _pad(tokenizer), start, answer=(eos,), gap=_gap(tokenizer), answer_gap=_gap(tokenizer))


def decoder_only_format(tokenizer: Any) -> TextFormat:
    """The answer continues the prompt; a chat model's prompt is what its user says.

    Where a chat template does not show where an answer begins, the prompt is plain text, and a line says so. Raises
    KitError where the tokenizer has no end-of-sequence token.
    """
    eos, pad, gap = _eos(tokenizer), _pad(tokenizer), _gap(tokenizer)
    plain = TextFormat(eos, pad, opening=_opening(tokenizer), gap=gap, answer_gap=gap)
    if not getattr(tokenizer, "chat_template", None):
        return plain
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": MARK}], tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    before, found, after = text.partition(MARK)
    closing = tuple(tokenizer(after, add_special_tokens=False)["input_ids"])
    if not found or not closing:
        print("the tokenizer's chat template does not show where an answer begins: prompts are plain text")
        return plain
    opening = tuple(tokenizer(before, add_special_tokens=False)["input_ids"])
    return TextFormat(eos, pad, None, opening, closing[:-1], closing[-1:], gap=gap)


def masked_format(tokenizer: Any) -> TextFormat:
    """BERT's: [CLS] text [MASK] [SEP]; the mask is the answer slot, or [SEP] where there is no mask."""
    opening = () if tokenizer.cls_token_id is None else (int(tokenizer.cls_token_id),)
    end = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
    if end is None:
        raise KitError("the tokenizer has no token that ends a text; choose another model")
    mask = tokenizer.mask_token_id
    answer, ending = ((int(end),), ()) if mask is None else ((int(mask),), (int(end),))
    gap = _gap(tokenizer)
    return TextFormat(
        int(end), _pad(tokenizer), int(end), opening, (), answer, ending, gap=gap, answer_gap=gap, compares=True
    )


def _eos(tokenizer: Any) -> int:
    if tokenizer.eos_token_id is None:
        raise KitError("the tokenizer has no end-of-sequence token, so that a title has no end; choose another model")
    return int(tokenizer.eos_token_id)


def _pad(tokenizer: Any) -> int:
    """Padding is masked everywhere, so that any token will do where the tokenizer names none."""
    chosen = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return int(chosen or 0)


def _gap(tokenizer: Any) -> str:
    """A blank where the tokenizer neither adds one before a word nor ignores it: byte-level BPE such as GPT-2's."""
    bare, spaced = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("film", " film"))
    first = tokenizer.convert_ids_to_tokens(bare[:1])[0] if bare else ""
    return "" if bare == spaced or first.startswith(("▁", "Ġ")) else " "


def _opening(tokenizer: Any) -> tuple[int, ...]:
    """What the tokenizer itself puts before a text, such as a beginning-of-sequence token."""
    bare = tokenizer("film", add_special_tokens=False)["input_ids"]
    full = tokenizer("film")["input_ids"]
    return tuple(full[: full.index(bare[0])]) if bare and bare[0] in full else ()
