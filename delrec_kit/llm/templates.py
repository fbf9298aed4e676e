"""The prompt texts, one for each task, to be read and changed here and nowhere else.

``{history}``, ``{candidates}`` and so on are lists of titles; ``{soft}`` is where the soft prompt P stands (DELRec
section 4, arXiv 2406.11156). A part in square brackets is left out when what it shows is absent. ``{plural}``,
``{past}`` and ``{present}`` are the dataset's nouns: films are watched, items are purchased.
"""

import hashlib
from collections.abc import Mapping

TITLE_SEPARATOR = "; "

TEMPLATES = {
    "final": (
        "This person {past} these {plural}, oldest first: {history}.[ Pattern: {soft}.]"
        "[ A recommender suggests: {teacher}.]"
        "[ From the list: {candidates}.] The next {noun} they {present} is"
    ),
    "rps": (
        "This person {past} these {plural}, oldest first: {history}.[ Pattern: {soft}.]"
        "[ After its first choice the recommender likes: {teacher}.]"
        "[ From the list: {candidates}.] The recommender's first choice is"
    ),
    "ta": (
        "{past_title}: {example}; a gap; {example_last}. The gap was {example_answer}."
        " This person {past} these {plural}, oldest first: {history}; a gap; {last}.[ Pattern: {soft}.]"
        "[ From the list: {candidates}.] The {noun} in the gap is"
    ),
}

PATTERN = "[ Pattern: {soft}.]"


def placed(place: str) -> dict[str, str]:
    """The texts with P "after" the history, or "before" it, at the head of the prompt."""
    if place == "after":
        return dict(TEMPLATES)
    return {task: f"[Pattern: {{soft}}. ]{text.replace(PATTERN, '')}" for task, text in TEMPLATES.items()}


def template_hash(templates: Mapping[str, str] = TEMPLATES) -> str:
    """16 digits of a SHA-256 of all templates: a soft prompt is only good in the text that it was trained in."""
    return hashlib.sha256((TITLE_SEPARATOR + repr(sorted(templates.items()))).encode()).hexdigest()[:16]
