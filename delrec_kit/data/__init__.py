"""Raw files -> Interactions -> Split -> candidate sets."""

from delrec_kit.data.candidates import answer_index, draw_candidates, draw_distractors
from delrec_kit.data.domain import Domain
from delrec_kit.data.filters import k_core
from delrec_kit.data.interactions import Interactions
from delrec_kit.data.prepared import PreparedData, prepare
from delrec_kit.data.ragged import Ragged
from delrec_kit.data.sources import read_source
from delrec_kit.data.split import Cases, Split, halves, leave_one_out
from delrec_kit.data.titles import items_of

__all__ = [
    "Cases",
    "Domain",
    "Interactions",
    "PreparedData",
    "Ragged",
    "Split",
    "answer_index",
    "draw_candidates",
    "draw_distractors",
    "halves",
    "items_of",
    "k_core",
    "leave_one_out",
    "prepare",
    "read_source",
]
