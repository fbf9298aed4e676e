"""Conventional sequential recommenders: training, baselines, and the lists that the language model learns from."""

from delrec_kit.teachers.baselines import Markov, Popularity
from delrec_kit.teachers.crossfit import CrossFitted, distillation_table, fold_teachers
from delrec_kit.teachers.models import MODELS
from delrec_kit.teachers.plots import plot_beyond_popularity, plot_learning, plot_teachers
from delrec_kit.teachers.scorer import CatalogueScorer, Scorer, catalogue_scores, expected_vectors, top_items
from delrec_kit.teachers.stage import train_stage
from delrec_kit.teachers.teacher import Teacher
from delrec_kit.teachers.training import train_teacher
from delrec_kit.teachers.unseen import Content, Counted, LogShare, knowing_more, popularity_from_titles

__all__ = [
    "MODELS",
    "CatalogueScorer",
    "Content",
    "Counted",
    "CrossFitted",
    "LogShare",
    "Markov",
    "Popularity",
    "Scorer",
    "Teacher",
    "catalogue_scores",
    "distillation_table",
    "expected_vectors",
    "fold_teachers",
    "knowing_more",
    "plot_beyond_popularity",
    "plot_learning",
    "plot_teachers",
    "popularity_from_titles",
    "top_items",
    "train_stage",
    "train_teacher",
]
