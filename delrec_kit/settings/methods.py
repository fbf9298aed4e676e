"""Every row that a comparison can hold, by name: what its prompt shows and what its adapter learns from.

DELRec section 5 (arXiv 2406.11156) compares most of them; the controls that it lacks distil into the language model's
weights in place of P. "Without temporal analysis" and "without pattern simulating" are runs of their own.
"""

from dataclasses import dataclass

from delrec_kit.settings.errors import KitError, nearest

LABELS_ONLY, TEACHER_ONLY, BOTH = ("labels",), ("stage 1",), ("stage 1", "labels")


@dataclass(frozen=True)
class Method:
    """label: in figures; prompt: what stands in the place of P; learns_from: what an adapter learns from, nothing where
    the language model stays frozen; learns_prompt: P learns together with the adapter; fades: the examples of stage 1
    weigh less with every step, in the end nothing."""

    label: str
    prompt: str = "none"  # none, untrained, distilled, shuffled, described (the pattern in words), teacher (its items)
    learns_from: tuple[str, ...] = ()
    learns_prompt: bool = False
    fades: bool = False


METHODS = {
    "llm_zero_shot": Method("LLM, zero-shot"),
    "llm_described": Method("LLM, pattern in words", "described"),
    "llm_teacher_items": Method("LLM, teacher's items", "teacher"),
    "llm_untrained_prompt": Method("LLM, untrained P", "untrained"),
    "llm_distilled_prompt": Method("LLM, distilled P", "distilled"),
    "llm_shuffled_prompt": Method("LLM, shuffled P", "shuffled"),
    "llm_distilled_weights": Method("LLM, distilled weights", "none", TEACHER_ONLY),
    "llm_distilled_both": Method("LLM, distilled P and weights", "distilled", TEACHER_ONLY),
    "llm_finetuned": Method("LLM, fine-tuned", "none", LABELS_ONLY),
    "llm_finetuned_teacher_items": Method("LLM, fine-tuned, items", "teacher", LABELS_ONLY),
    "llm_finetuned_untrained_prompt": Method("LLM, fine-tuned, untrained P", "untrained", LABELS_ONLY),
    "llm_finetuned_joint_prompt": Method("LLM, fine-tuned with P", "untrained", LABELS_ONLY, learns_prompt=True),
    "llm_finetuned_distilled_weights": Method("LLM, fine-tuned, distilled weights", "none", BOTH),
    "delrec": Method("DELRec", "distilled", LABELS_ONLY),
    "delrec_joint_prompt": Method("DELRec, P learns on", "distilled", LABELS_ONLY, learns_prompt=True),
    "delrec_kept": Method("DELRec, teacher kept", "distilled", BOTH),
    "delrec_faded": Method("DELRec, teacher faded", "distilled", BOTH, fades=True),
}


def method_of(name: str) -> Method:
    """Raises KitError, with the nearest, for an unknown one."""
    if name not in METHODS:
        raise KitError(f"no method '{name}'{nearest(name, METHODS)}")
    return METHODS[name]


WITHOUT_P = {  # row -> the one that differs from it in P alone
    "delrec": "llm_finetuned",
    "llm_distilled_prompt": "llm_zero_shot",
    "llm_untrained_prompt": "llm_zero_shot",
    "llm_shuffled_prompt": "llm_zero_shot",
    "llm_finetuned_untrained_prompt": "llm_finetuned",
    "llm_distilled_both": "llm_distilled_weights",
    "delrec_kept": "llm_finetuned_distilled_weights",
}
DISTILLED = "llm_distilled_prompt"  # what stage 1 made, in the frozen language model
ADAPTED = tuple(name for name, method in METHODS.items() if method.learns_from)
FROZEN = tuple(name for name, method in METHODS.items() if not method.learns_from)
FUSED = "+teacher"  # after a method's name: its scores and the teacher's, weighed on validation cases
GATED = "+teacher_gated"  # weighed by what each is sure of
TRUSTED = "+teacher_trusted"  # and with popularity, weighed by how often an item was seen
BOUNDS = {"oracle": "oracle", "ceiling": "ceiling"}  # what no method can beat
OTHERS = {  # without a language model
    "popularity": "popularity",
    "markov": "Markov",
    "popularity_from_titles": "popularity, from titles",
    "content": "content",
    "teacher": "teacher",
    "teacher_from_titles": "teacher, from titles",
    "teacher_gated": "teacher, gated",
    **BOUNDS,
}
LABELS = OTHERS | {name: method.label for name, method in METHODS.items()}  # in figures
DESCRIPTION = (  # for the rows whose prompt is "described"
    "what comes next follows from the last few: often the next part of the same series, or what people who had these "
    "chose right after, and seldom what is unlike them"
)
