"""Conventional sequential recommenders: training, baselines, and the lists that the language model learns from."""

from delrec_kit.teachers.baselines import Markov, Popularity
from delrec_kit.teachers.crossfit import CrossFitted, distillation_table, fold_teachers
from delrec_kit.teachers.models import MODELS
from delrec_kit.teachers.plots import plot_beyond_popularity, plot_learning, plot_teachers
from delrec_kit.teachers.scorer import CatalogueScorer, Scorer, catalogue_scores, expected_vectors, top_items
from delrec_kit.teachers.stage import train_stage
from delrec_kit.teachers.teacher import Teacher
from delrec_kit.teachers.training import train_teacher

__all__ = [
    "MODELS",
    "CatalogueScorer",
    "CrossFitted",
    "Markov",
    "Popularity",
    "Scorer",
    "Teacher",
    "catalogue_scores",
    "distillation_table",
    "expected_vectors",
    "fold_teachers",
    "plot_beyond_popularity",
    "plot_learning",
    "plot_teachers",
    "top_items",
    "train_stage",
    "train_teacher",
]
