"""Conventional sequential recommenders: training, baselines, and the lists that the language model learns from."""

from delrec_kit.teachers.baselines import Markov, Popularity
from delrec_kit.teachers.crossfit import CrossFitted, assign_folds, distillation_table, fold_teachers
from delrec_kit.teachers.expectation import expected_vectors
from delrec_kit.teachers.models import MODELS, Caser, GRU4Rec, SASRec
from delrec_kit.teachers.plots import plot_beyond_popularity, plot_learning, plot_teachers
from delrec_kit.teachers.scorer import Scorer, scores_of, scores_of_the_new, top_items
from delrec_kit.teachers.stage import case_table, measure, train_stage
from delrec_kit.teachers.teacher import Teacher, load_teacher
from delrec_kit.teachers.training import train_teacher

__all__ = [
    "MODELS",
    "Caser",
    "CrossFitted",
    "GRU4Rec",
    "Markov",
    "Popularity",
    "SASRec",
    "Scorer",
    "Teacher",
    "assign_folds",
    "case_table",
    "distillation_table",
    "expected_vectors",
    "fold_teachers",
    "load_teacher",
    "measure",
    "plot_beyond_popularity",
    "plot_learning",
    "plot_teachers",
    "scores_of",
    "scores_of_the_new",
    "top_items",
    "train_stage",
    "train_teacher",
]
