"""Looking inside: where attention goes, what a choice hangs on and whether to believe it, what was distilled."""

from delrec_kit.interpret.agreement import MEASURES, agreement_per_user, agreement_table
from delrec_kit.interpret.attention import attention_by_piece, attention_mass
from delrec_kit.interpret.attention_plots import plot_attention, plot_heads, plot_places
from delrec_kit.interpret.attribution import choices, leave_one_out
from delrec_kit.interpret.by_hand import ATTENTION, EFFECT, GRADIENTS, ROLLOUT, SAID, ByHand
from delrec_kit.interpret.faithfulness import (
    KIND,
    YARDSTICK,
    by_kind,
    deletion_curves,
    faithfulness_table,
    insertion_curves,
    rank_agreement,
    readouts,
    verdict,
)
from delrec_kit.interpret.gradients import MEAN_WORD, ZEROS, integrated_gradients
from delrec_kit.interpret.page import STYLE, prompt_html, user_page
from delrec_kit.interpret.pieces import leave_out, pieces_of, retold
from delrec_kit.interpret.plots import plot_agreement, plot_recency, plot_two_runs
from delrec_kit.interpret.recency import (
    distances,
    draw_stand_ins,
    leaves_some,
    recency_curves,
    recency_profile,
    recency_table,
    replaced,
)
from delrec_kit.interpret.spans import Span, spans_of
from delrec_kit.interpret.trust_plots import plot_effects, plot_faithfulness
from delrec_kit.interpret.two_runs import two_runs
from delrec_kit.interpret.user_plots import plot_ranking
from delrec_kit.interpret.vector_plots import plot_cosines, plot_growth, plot_projection, plot_words
from delrec_kit.interpret.vectors import nearest_words, projection, title_cosines

__all__ = [
    "ATTENTION",
    "EFFECT",
    "GRADIENTS",
    "KIND",
    "MEAN_WORD",
    "MEASURES",
    "ROLLOUT",
    "SAID",
    "STYLE",
    "YARDSTICK",
    "ZEROS",
    "ByHand",
    "Span",
    "agreement_per_user",
    "agreement_table",
    "attention_by_piece",
    "attention_mass",
    "by_kind",
    "choices",
    "deletion_curves",
    "distances",
    "draw_stand_ins",
    "faithfulness_table",
    "insertion_curves",
    "integrated_gradients",
    "leave_one_out",
    "leave_out",
    "leaves_some",
    "nearest_words",
    "pieces_of",
    "plot_agreement",
    "plot_attention",
    "plot_cosines",
    "plot_effects",
    "plot_faithfulness",
    "plot_growth",
    "plot_heads",
    "plot_places",
    "plot_projection",
    "plot_ranking",
    "plot_recency",
    "plot_two_runs",
    "plot_words",
    "projection",
    "prompt_html",
    "rank_agreement",
    "readouts",
    "recency_curves",
    "recency_profile",
    "recency_table",
    "replaced",
    "retold",
    "spans_of",
    "title_cosines",
    "two_runs",
    "user_page",
    "verdict",
]
