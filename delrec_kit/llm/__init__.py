"""Language models: loading (4-bit), one interface whatever the family, prompts, the soft prompt, the recommender."""

from delrec_kit.llm.calibration import fit, unprompted, weighed
from delrec_kit.llm.families.model import LanguageModel
from delrec_kit.llm.from_teacher import Expectation, OfAnother, Suggestions
from delrec_kit.llm.loading import Words, check_reachable, load_llm, memory_footprint, words_of
from delrec_kit.llm.prior import popularity_prior
from delrec_kit.llm.prompts import Prompt, PromptBatch, PromptWriter, Segment
from delrec_kit.llm.recommender import LlmRecommender
from delrec_kit.llm.soft_prompt import SoftPrompt
from delrec_kit.llm.titles import PackedTitles, TitleTable

__all__ = [
    "Expectation",
    "LanguageModel",
    "LlmRecommender",
    "OfAnother",
    "PackedTitles",
    "Prompt",
    "PromptBatch",
    "PromptWriter",
    "Segment",
    "SoftPrompt",
    "Suggestions",
    "TitleTable",
    "Words",
    "check_reachable",
    "fit",
    "load_llm",
    "memory_footprint",
    "popularity_prior",
    "unprompted",
    "weighed",
    "words_of",
]
