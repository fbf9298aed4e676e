"""Titles as token ids in which nothing is a control token: "</s>" in a title is five characters like any others."""

import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

UNREACHABLE = "\ue000{}\ue001"  # what no title says: characters of nobody's script


def as_text(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text. Only those in which the tokenizer finds control tokens are read by another one, to which
    these are words."""
    if not texts:
        return []
    rows = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    control, unknown = control_tokens(tokenizer), getattr(tokenizer, "unk_token", None)
    ids = set(control.values()) - {tokenizer.unk_token_id}
    found = [
        place
        for place, (text, row) in enumerate(zip(texts, rows, strict=True))
        if not ids.isdisjoint(row) or (unknown and unknown in text)
    ]
    if found:
        reader = _without(tokenizer, control)
        again = reader.encode_batch([texts[place] for place in found], add_special_tokens=False)
        for place, encoding in zip(found, again, strict=True):
            rows[place] = encoding.ids
    return rows


def control_tokens(tokenizer: Any) -> dict[str, int]:
    """What the tokenizer sets apart: special tokens, and added ones that look like tags, as a chat template has them
    where a conversion forgot what they are. Not what is added for its blanks or as a word."""
    named = dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    for number, token in getattr(tokenizer, "added_tokens_decoder", {}).items():
        if token.special or (token.content[:1] in "<[" and token.content[-1:] in ">]"):
            named[str(token.content)] = int(number)
    return named


def _without(tokenizer: Any, control: dict[str, int]) -> Tokenizer:
    """The same tokenizer with the same ids, which knows no ``control`` tokens. A model's own vocabulary may hold them
    too, and would find them there (Unigram does): they are renamed."""
    made = json.loads(tokenizer.backend_tokenizer.to_str())
    made["added_tokens"] = [token for token in made["added_tokens"] if token["content"] not in control]
    made["post_processor"] = made["truncation"] = made["padding"] = None
    model = made["model"]
    merged = {part for pair in model.get("merges") or () for part in _parts(pair)}
    names = {
        word: UNREACHABLE.format(number) for word, number in control.items() if word not in merged and len(word) > 1
    }
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(word, word): number for word, number in model["vocab"].items()}
    else:
        model["vocab"] = [[names.get(word, word), score] for word, score in model["vocab"]]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    return Tokenizer.from_str(json.dumps(made))


def _parts(pair: str | list[str]) -> list[str]:
    """The two of a merge, and what they make."""
    two = pair.split(" ") if isinstance(pair, str) else list(pair)
    return [*two, "".join(two)]
