"""Training: examples of the three tasks, stage 1 (distil into P) and stage 2 (AdaLoRA)."""

from delrec_kit.training.adapter import live_ranks, load_adapter
from delrec_kit.training.distill import distill
from delrec_kit.training.examples import Examples, ExampleWriter, check_lengths, final_prompt, teacher_targets
from delrec_kit.training.expectations import Expectations
from delrec_kit.training.finetune import finetune
from delrec_kit.training.lessons import Ask, Lessons
from delrec_kit.training.plots import plot_curves
from delrec_kit.training.validation import Validation
from delrec_kit.training.warm_start import warm_start

__all__ = [
    "Ask",
    "ExampleWriter",
    "Examples",
    "Expectations",
    "Lessons",
    "Validation",
    "check_lengths",
    "distill",
    "final_prompt",
    "finetune",
    "live_ranks",
    "load_adapter",
    "plot_curves",
    "teacher_targets",
    "warm_start",
]
