"""Looking inside: attention by prompt segment, agreement with the teacher, and their pictures."""

from delrec_kit.interpret.agreement import MEASURES, agreement_per_user, agreement_table
from delrec_kit.interpret.attention import attention_mass
from delrec_kit.interpret.plots import plot_agreement, plot_attention, plot_heads, plot_recency
from delrec_kit.interpret.recency import distances, recency_profile, recency_table, without

__all__ = [
    "MEASURES",
    "agreement_per_user",
    "agreement_table",
    "attention_mass",
    "distances",
    "plot_agreement",
    "plot_attention",
    "plot_heads",
    "plot_recency",
    "recency_profile",
    "recency_table",
    "without",
]
