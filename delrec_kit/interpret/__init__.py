"""Looking inside: attention by prompt segment, agreement with the teacher, and their pictures."""

from delrec_kit.interpret.agreement import MEASURES, agreement_per_user, agreement_table
from delrec_kit.interpret.attention import attention_mass
from delrec_kit.interpret.plots import plot_agreement, plot_attention, plot_heads

__all__ = [
    "MEASURES",
    "agreement_per_user",
    "agreement_table",
    "attention_mass",
    "plot_agreement",
    "plot_attention",
    "plot_heads",
]
