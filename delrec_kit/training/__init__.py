"""Training: the three tasks, the loss, stage 1 (distil into P) and stage 2 (AdaLoRA)."""

from delrec_kit.training.adalora import live_ranks, load_adapter
from delrec_kit.training.distill import distill
from delrec_kit.training.examples import Examples, Joined
from delrec_kit.training.finetune import finetune
from delrec_kit.training.identity import identity
from delrec_kit.training.loss import Ranker, kl_loss
from delrec_kit.training.plots import plot_curves, worth_of_P
from delrec_kit.training.tasks import TaskWriter, check_lengths
from delrec_kit.training.validation import Validation
from delrec_kit.training.warm_start import fit_map, warm_start

__all__ = [
    "Examples",
    "Joined",
    "Ranker",
    "TaskWriter",
    "Validation",
    "check_lengths",
    "distill",
    "finetune",
    "fit_map",
    "identity",
    "kl_loss",
    "live_ranks",
    "load_adapter",
    "plot_curves",
    "warm_start",
    "worth_of_P",
]
