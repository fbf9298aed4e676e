"""Looking inside: where attention goes, what a choice hangs on and whether to believe it, what was distilled."""

from delrec_kit.interpret.agreement import MEASURES, agreement_per_user, agreement_table
from delrec_kit.interpret.attention import attention_mass
from delrec_kit.interpret.attribution import attention_by_piece, leave_one_out
from delrec_kit.interpret.faithfulness import deletion_curves, faithfulness_table, rank_agreement, verdict
from delrec_kit.interpret.gradients import integrated_gradients
from delrec_kit.interpret.page import user_page
from delrec_kit.interpret.pieces import leave_out, pieces_of
from delrec_kit.interpret.plots import (
    plot_agreement,
    plot_attention,
    plot_deletion,
    plot_effects,
    plot_heads,
    plot_projection,
    plot_recency,
    plot_words,
)
from delrec_kit.interpret.recency import distances, recency_profile, recency_table, without
from delrec_kit.interpret.spans import Span, spans_of
from delrec_kit.interpret.vectors import nearest_words, projection

__all__ = [
    "MEASURES",
    "Span",
    "agreement_per_user",
    "agreement_table",
    "attention_by_piece",
    "attention_mass",
    "deletion_curves",
    "distances",
    "faithfulness_table",
    "integrated_gradients",
    "leave_one_out",
    "leave_out",
    "nearest_words",
    "pieces_of",
    "plot_agreement",
    "plot_attention",
    "plot_deletion",
    "plot_effects",
    "plot_heads",
    "plot_projection",
    "plot_recency",
    "plot_words",
    "projection",
    "rank_agreement",
    "recency_profile",
    "recency_table",
    "spans_of",
    "user_page",
    "verdict",
    "without",
]
