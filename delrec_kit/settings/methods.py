"""Every row that a comparison can hold, by name: what its prompt shows and what its adapter learns from.

DELRec section 5 (arXiv 2406.11156) compares most of them; the controls that it lacks distil into the language model's
weights in place of P. A distilled P is the paper's, constant and learned from both tasks, unless the name of its row
says otherwise: ``delrec_conditioned``, ``delrec_rps`` (without temporal analysis), ``delrec_ta`` (without pattern
simulating). Which it is follows from the settings, see ``named``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from delrec_kit.settings.errors import KitError, nearest

LABELS_ONLY, TEACHER_ONLY, BOTH = ("labels",), ("stage 1",), ("stage 1", "labels")


@dataclass(frozen=True)
class Method:
    """label: in figures; prompt: what stands in the place of P; learns_from: what is learned from in stage 2, nothing
    where a row has no stage 2; adapts: whether it has an adapter; learns_prompt: P learns, with the adapter or by
    itself; fades: the examples of stage 1 weigh less with every step, in the end nothing; history: whether the prompt
    shows what the user had; of_another: a conditioned P hears what the teacher expects of somebody else; base: the row
    whose P is the paper's."""

    label: str
    prompt: str = "none"  # none, untrained, distilled, shuffled, described (the pattern in words), teacher (its items)
    learns_from: tuple[str, ...] = ()
    adapts: bool = True
    learns_prompt: bool = False
    fades: bool = False
    history: bool = True
    of_another: bool = False
    base: str = ""

    @property
    def distilled(self) -> bool:
        """Whether its prompt holds what stage 1 made."""
        return self.prompt in ("distilled", "shuffled")


PAPER = {
    "llm_zero_shot": Method("LLM, zero-shot"),
    "llm_described": Method("LLM, pattern in words", "described"),
    "llm_teacher_items": Method("LLM, teacher's items", "teacher"),
    "llm_untrained_prompt": Method("LLM, untrained P", "untrained"),
    "llm_distilled_prompt": Method("LLM, distilled P", "distilled"),
    "llm_shuffled_prompt": Method("LLM, shuffled P", "shuffled"),
    "llm_distilled_prompt_no_history": Method("LLM, distilled P, no history", "distilled", history=False),
    "llm_distilled_prompt_of_another": Method("LLM, distilled P of another", "distilled", of_another=True),
    "llm_distilled_weights": Method("LLM, distilled weights", "none", TEACHER_ONLY),
    "llm_distilled_both": Method("LLM, distilled P and weights", "distilled", TEACHER_ONLY),
    "llm_finetuned": Method("LLM, fine-tuned", "none", LABELS_ONLY),
    "llm_prompt_tuned": Method("LLM, P from labels", "untrained", LABELS_ONLY, adapts=False, learns_prompt=True),
    "llm_finetuned_teacher_items": Method("LLM, fine-tuned, items", "teacher", LABELS_ONLY),
    "llm_finetuned_untrained_prompt": Method("LLM, fine-tuned, untrained P", "untrained", LABELS_ONLY),
    "llm_finetuned_joint_prompt": Method("LLM, fine-tuned with P", "untrained", LABELS_ONLY, learns_prompt=True),
    "llm_finetuned_distilled_weights": Method("LLM, fine-tuned, distilled weights", "none", BOTH),
    "delrec": Method("DELRec", "distilled", LABELS_ONLY),
    "delrec_joint_prompt": Method("DELRec, P learns on", "distilled", LABELS_ONLY, learns_prompt=True),
    "delrec_kept": Method("DELRec, teacher kept", "distilled", BOTH),
    "delrec_faded": Method("DELRec, teacher faded", "distilled", BOTH, fades=True),
}
UNLIKE = {  # the paper's P, and what the names of rows with another say
    (False, True, True): ("", ""),
    (False, False, True): ("_rps", ", RPS alone"),
    (False, True, False): ("_ta", ", TA alone"),
    (True, True, True): ("_conditioned", ", conditioned"),
    (True, False, True): ("_conditioned_rps", ", cond., RPS alone"),
    (True, True, False): ("_conditioned_ta", ", cond., TA alone"),
}
HEARS = "_conditioned"  # all that can set an untrained P apart


def _ending(name: str, ending: str) -> str:
    """As much of ``ending`` as applies to the row ``name``."""
    method = PAPER.get(name, Method(""))
    return ending if method.distilled else HEARS * (method.prompt == "untrained" and ending.startswith(HEARS))


METHODS = PAPER | {
    name + ending: replace(method, label=method.label + said, base=name)
    for ending, said in UNLIKE.values()
    for name, method in PAPER.items()
    if ending and _ending(name, ending) == ending
}


def named(name: str, conditioned: int, tasks: Sequence[str]) -> str:
    """The row ``name`` as it is called where ``conditioned`` vectors of P depend on the user and stage 1 has ``tasks``.
    Raises ValueError for a name that says otherwise."""
    base = base_of(name)
    if METHODS[name].of_another and not conditioned:
        raise ValueError(f"{name} needs a conditioned P: a constant one (distill.conditioned=0) hears of nobody")
    right = base + _ending(base, UNLIKE[conditioned > 0, "ta" in tasks, "rps" in tasks][0])
    if name not in (base, right):
        raise ValueError(f"with distill.conditioned={conditioned} and distill.tasks={list(tasks)}, {name} is {right}")
    return right


def base_of(name: str) -> str:
    """The row with the paper's P that ``name`` differs from in its P alone, or ``name`` itself."""
    return METHODS[name].base or name if name in METHODS else name


def alike(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """``pairs`` of rows, and the same pairs of rows with any other P."""

    found = ((a + _ending(a, ending), b + _ending(b, ending)) for ending, _ in UNLIKE.values() for a, b in pairs)
    return list(dict.fromkeys(found))


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
DELREC = "delrec"
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
    "content_popularity": "content + popularity",
    "teacher": "teacher",
    "teacher_from_titles": "teacher, from titles",
    "teacher_vectors": "teacher, by title vectors",
    "map": "linear map of the teacher",
    "map_popularity": "linear map + popularity",
    "teacher_gated": "teacher, gated",
    **BOUNDS,
}
LABELS = OTHERS | {name: method.label for name, method in METHODS.items()}  # in figures
DESCRIPTION = (  # for the rows whose prompt is "described"
    "what comes next follows from the last few: often the next part of the same series, or what people who had these "
    "chose right after, and seldom what is unlike them"
)
