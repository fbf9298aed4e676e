"""The final prompt as plain text, which a tokenizer reads as the kit reads the pieces that it joins.

The kit tokenises titles and instructions by themselves and joins the ids. Text that is tokenised as a whole gives the
same ids where words are split at blanks and signs (byte-level BPE, WordPiece). Tokenizers that mark the beginning of a
piece (SentencePiece) need a blank between the pieces, in place of those that stand there or beside them. Some (Gemma's)
join signs of two pieces, such as ");": they are told where the pieces end (``bound``). Where no way gives the same ids,
the pieces themselves are handed on, as ids with places for the titles.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from delrec_kit.llm.plain import soft_words
from delrec_kit.llm.prompts import NOUNS, SLOT, Prompt
from delrec_kit.llm.recommender import LlmRecommender
from delrec_kit.llm.templates import TITLE_SEPARATOR

JOINTS = (("", False), (" ", True), (" ", False))  # between pieces; whether they lose their own blanks


@dataclass(frozen=True)
class PlainText:
    """template: with ``{history}`` and, where candidates are listed, ``{candidates}``; separator: between titles;
    add_special_tokens: whether the tokenizer puts its own tokens around the text."""

    template: str
    separator: str
    add_special_tokens: bool

    def write(self, history: Sequence[str], candidates: Sequence[str]) -> str:
        """The prompt of one person, of titles."""
        between = self.separator.join
        return self.template.format(history=between(history), candidates=between(candidates))

    def told(self) -> dict:
        return asdict(self)


def plain_text(
    recommender: LlmRecommender, domain: Any, tokenizer: Any, prompts: Sequence[Prompt], titles: Sequence[tuple]
) -> tuple[PlainText, int]:
    """The way of writing whose text is most often tokenised as ``prompts`` were, and how often it is.

    titles: of each prompt the titles of the history and of the candidates that it lists.
    """
    wanted = [_with_words(prompt.ids, tokenizer) for prompt in prompts]
    best = None
    for way in _ways(recommender, domain, tokenizer):
        texts = [way.write(*shown) for shown in titles]
        ids = tokenizer(texts, add_special_tokens=way.add_special_tokens)["input_ids"]
        count = sum(own == other for own, other in zip(ids, wanted, strict=True))
        if best is None or count > best[1]:
            best = way, count
    return best


def bound(recommender: LlmRecommender, domain: Any, folder: Path) -> None:
    """Tell the tokenizer in ``folder`` that separators and the pieces of the instruction are read by themselves."""
    gap, run = recommender.writer.format.gap, []
    rules = [f"{TITLE_SEPARATOR.rstrip()}(?=[ ▁])" if gap else TITLE_SEPARATOR.replace(" ", "[ ▁]")]
    for part in [*_parts(recommender, domain), ""]:
        if part and not part.startswith(("{history}", "{candidates}", "<P0>")):
            run.append(re.escape(part.replace("{{", "{").replace("}}", "}")).replace(r"\ ", "[ ▁]"))
            continue
        run = [*run[:-1], run[-1].removesuffix("[ ▁]") if gap and part else run[-1]] if run else []
        around = zip(["", *run], run, [*run[1:], ""])  # each piece between those that it stands between
        rules += [f"(?<={left}){own}(?={right})" if left else f"{own}(?={right})" for left, own, right in around]
        run = []
    file, settings = folder / "tokenizer.json", folder / "tokenizer_config.json"
    content, config = (json.loads(path.read_text(encoding="utf-8")) for path in (file, settings))
    split = {"type": "Split", "pattern": {"Regex": "|".join(rules)}, "behavior": "Isolated", "invert": False}
    before = content["pre_tokenizer"]
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, *([before] if before else [])]}
    config["tokenizer_class"] = "PreTrainedTokenizerFast"  # other classes build their own rules, whatever the file says
    for path, new in ((file, content), (settings, config)):
        path.write_text(json.dumps(new, ensure_ascii=False), encoding="utf-8")


def pieces(recommender: LlmRecommender, tokenizer: Any) -> dict:
    """The prompt as ids, with "history" and "candidates" where titles stand, each read by itself, and
    ``separator_ids`` between them."""
    writer, told = recommender.writer, []
    prompt = recommender.ask([1], [1])
    ids = _with_words(prompt.ids, tokenizer)
    for segment in prompt.segments:
        slot = segment.name in ("history", "candidates")
        told += [segment.name] if slot else ids[segment.start : segment.stop]
    separator = tokenizer(TITLE_SEPARATOR.rstrip() if writer.format.gap else TITLE_SEPARATOR, add_special_tokens=False)
    return {"pieces": told, "separator_ids": separator["input_ids"]}


def _ways(recommender: LlmRecommender, domain: Any, tokenizer: Any) -> Iterator[PlainText]:
    before, after, adds = _frame(recommender, tokenizer)
    for joint, strips in JOINTS:
        text, separator = _joined(_parts(recommender, domain), joint, strips), TITLE_SEPARATOR
        separator = f"{joint}{separator.strip() if strips else separator}{joint}" if joint else separator
        yield PlainText(f"{_bare(before)}{text}{_bare(after)}", separator, adds)


def _joined(pieces: list[str], joint: str, strips: bool) -> str:
    """The pieces as one text; nothing more is put before P, which is no piece of text."""
    text = ""
    for piece in pieces:
        text += ("" if not text or piece.startswith("<P0>") else joint) + (piece.strip() if strips else piece)
    return text


def _parts(recommender: LlmRecommender, domain: Any) -> list[str]:
    """The final template with its nouns filled in, cut where titles and P stand."""
    nouns = {name: getattr(domain, name) for name in NOUNS[:4]} | {"past_title": domain.past.capitalize()}
    there = {"history": "{history}", "candidates": "{candidates}" if recommender.llm.lists else "", "teacher": ""}
    there["soft"] = "".join(soft_words(recommender.k)) or _bare(recommender.pattern or "")
    pieces: list[str] = []
    for chunk in re.split(r"(\[[^\]]*\])", recommender.writer.templates["final"]):
        parts = SLOT.split(SLOT.sub(lambda s: nouns.get(s[1], s[0]), chunk.strip("[]")))
        if chunk.startswith("[") and not all(there[slot] for slot in parts[1::2]):
            continue
        for i, part in enumerate(parts):
            if i % 2 and part == "soft" and recommender.k and recommender.writer.format.gap:
                pieces[-1] = pieces[
                    -1
                ].rstrip()  # the blank before a slot belongs to the word that fills it: P has none
            if part:
                pieces.append(there[part] if i % 2 else _bare(part))
    return pieces


def _frame(recommender: LlmRecommender, tokenizer: Any) -> tuple[str, str, bool]:
    """What stands before and behind the text, as text, and whether the tokenizer adds the outermost of it itself."""
    form = recommender.writer.format
    before, after = list(form.opening), [*form.closing, *form.answer, *form.ending]
    bare = tokenizer("film", add_special_tokens=False)["input_ids"]
    full = tokenizer("film")["input_ids"]
    start = next(i for i in range(len(full)) if full[i : i + len(bare)] == bare)
    opens, closes = full[:start], full[start + len(bare) :]
    adds = before[: len(opens)] == opens and after[len(after) - len(closes) :] == closes
    if adds:
        before, after = before[len(opens) :], after[: len(after) - len(closes)]
    return tokenizer.decode(before), tokenizer.decode(after), adds


def _with_words(ids: np.ndarray, tokenizer: Any) -> list[int]:
    """Token ids with those of ``<Pj>`` where soft token j stands."""
    k = int(-ids.min(initial=0))
    words = np.array(tokenizer.convert_tokens_to_ids(soft_words(k)) or [0])
    return np.where(ids < 0, words[np.clip(-ids - 1, 0, None)], ids).tolist()


def _bare(text: str) -> str:
    """With braces as ``str.format`` wants them where they mean themselves."""
    return text.replace("{", "{{").replace("}", "}}")
