"""delrec_kit: distil a sequential recommender into soft prompts of a frozen, 4-bit language model.

The method is DELRec (arXiv 2406.11156). The rooms follow the stages, and each imports only from those to its left:
``data <- evaluation <- teachers <- llm <- training <- interpret``.

From Python: ``Dataset.from_frame(interactions, items)``, ``Teacher.fit(dataset)``, ``distill(teacher)``,
``finetune(distilled)``, and the ``Recommender`` that it gives. They are loaded when they are first named.

Notation, the same everywhere
    B  prompts in a batch          L  tokens in a prompt, or items in a teacher's sequence
    N  items in the catalogue      U  users (evaluation cases)
    P  the soft prompt, (k, d)     k  soft tokens          d  width of the LLM's embeddings
    C  a candidate set, m items    m  candidates, the answer included
    R  the teacher's top items     h  how many of them     a  items in TA's worked example
    T  temperature                 S  tokens of m packed titles
Items are integers 1…N in catalogue order; 0 is padding.
"""

import importlib
import logging
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from delrec_kit.api.dataset import Dataset
    from delrec_kit.api.recommender import Recommender
    from delrec_kit.api.stages import Distilled, Teacher, distill, finetune
    from delrec_kit.settings.errors import KitError

# Threads that wait spin unless told otherwise before torch is loaded: a tenth faster on free cores, but six times
# slower where another program keeps one of two busy (stage 1 of the demo, 200 examples: 15 and 140 s; so 17 and 23 s).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # before its first import, which hints at optional kernels

__version__ = "0.1.0"

__all__ = ["Dataset", "Distilled", "KitError", "Recommender", "Teacher", "distill", "finetune"]
_WHERE = {
    "Dataset": "api.dataset",
    "Recommender": "api.recommender",
    **dict.fromkeys(("Distilled", "Teacher", "distill", "finetune"), "api.stages"),
    "KitError": "settings.errors",
}


def __getattr__(name: str) -> Any:
    """PEP 562: torch and pandas are imported by whoever uses them, not by ``import delrec_kit``."""
    if name not in _WHERE:
        raise AttributeError(f"module 'delrec_kit' has no attribute '{name}'")
    return getattr(importlib.import_module(f"delrec_kit.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
