# ruff: noqa: F401 (what the other rooms and the notebooks use)
"""Looking inside: where attention goes, what a choice hangs on and whether to believe it, what was distilled."""

from delrec_kit.interpret.agreement import MEASURES, agreement_per_user, agreement_table
from delrec_kit.interpret.attention import answering, attention_by_piece, attention_mass
from delrec_kit.interpret.by_hand import ATTENTION, EFFECT, GRADIENTS, ROLLOUT, SAID, THROUGH_P, ByHand, Span, spans_of
from delrec_kit.interpret.by_piece import Side, side
from delrec_kit.interpret.distilled_plots import (
    plot_agreement,
    plot_cosines,
    plot_growth,
    plot_projection,
    plot_recency,
    plot_two_runs,
    plot_words,
)
from delrec_kit.interpret.faithfulness import (
    KIND,
    WORDS,
    YARDSTICK,
    by_kind,
    deletion_curves,
    faithfulness_table,
    insertion_curves,
    rank_agreement,
    readouts,
    verdict,
    verdict_text,
)
from delrec_kit.interpret.gradients import MEAN_WORD, ZEROS, integrated_gradients
from delrec_kit.interpret.inside_plots import plot_attention, plot_effects, plot_faithfulness, plot_heads, plot_places
from delrec_kit.interpret.page import Page, plot_ranking, prompt_html
from delrec_kit.interpret.prompt_plot import plot_prompt
from delrec_kit.interpret.question import Question, leave_one_out, leave_out, pieces_of
from delrec_kit.interpret.recency import (
    distances,
    draw_stand_ins,
    recency_curves,
    recency_profile,
    recency_table,
    replaced,
)
from delrec_kit.interpret.two_runs import two_runs
from delrec_kit.interpret.vectors import nearest_words, projection, title_cosines
from delrec_kit.interpret.view import PromptView
