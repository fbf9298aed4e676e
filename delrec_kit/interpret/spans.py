"""A prompt as spans of text, each with what an explanation says of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from delrec_kit.llm import Prompt, PromptWriter


@dataclass(frozen=True)
class Span:
    """text: as it is read; name and index: its piece, index -1 for instruction text; values: importance by explanation,
    empty for what is no piece."""

    text: str
    name: str
    index: int
    values: Mapping[str, float]


def spans_of(writer: PromptWriter, prompt: Prompt, values: Mapping[tuple[str, int], Mapping[str, float]]) -> list[Span]:
    """The prompt's spans in order, soft tokens one by one. values: (name, index) of a piece -> importances."""
    spans = []
    for segment in prompt.segments:
        ids = prompt.ids[segment.start : segment.stop]
        if segment.name == "soft" and (ids < 0).all():
            spans += [Span(f"P{n + 1}", "soft", n, values.get(("soft", n), {})) for n in range(len(ids))]
        else:
            text = writer.tokenizer.decode(ids, skip_special_tokens=True).strip()
            if not text and segment.index >= 0:  # a title in words that the tokenizer does not know
                text = writer.tokenizer.decode(ids).strip()
            spans.append(Span(text, segment.name, segment.index, values.get((segment.name, segment.index), {})))
    return [span for span in spans if span.text]
