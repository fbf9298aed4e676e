"""The stages of a run as calls: teacher, stage 1, stage 2."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from delrec_kit.api.dataset import Dataset, check_given
from delrec_kit.api.recommender import Recommender
from delrec_kit.run.directory import read_json
from delrec_kit.settings.methods import DISTILLED as FROZEN_ROW
from delrec_kit.study.stages import distill_stage, finetune_stage, teacher_stage
from delrec_kit.study.study import DISTILLED


@dataclass(frozen=True, eq=False)
class Teacher:
    """The conventional recommender whose behaviour is distilled: SASRec, GRU4Rec or Caser (``teacher.name``)."""

    dataset: Dataset

    @classmethod
    def fit(cls, dataset: Dataset) -> "Teacher":
        """Train it, and its baselines, on the training sequences; label prefixes for ``distill``. Skipped if done."""
        check_given(dataset, Dataset, "dk.Teacher.fit(dataset), with what dk.Dataset.from_frame made")
        teacher_stage(dataset.run)
        return cls(dataset)

    @property
    def metrics(self) -> dict:
        """What notebook 02 shows: how it ranks the test cases, beside baselines that count. Choose no setting by them:
        what is tuned on test cases is no longer tested by them."""
        return read_json(self.dataset.run.require("teacher") / "metrics.json")


@dataclass(frozen=True, eq=False)
class Distilled:
    """What stage 1 made: the soft prompt P of a frozen language model."""

    dataset: Dataset

    @property
    def vectors(self) -> np.ndarray:
        """(k, d) float32: P; of a conditioned P, what it says of a user of whom nothing is expected."""
        return load_file(self.dataset.run.require("prompt") / DISTILLED)["vectors"]

    @property
    def curve(self) -> pd.DataFrame:
        """The learning curve."""
        return pd.read_csv(self.dataset.run.require("prompt") / "curve.csv")

    def recommender(self) -> Recommender:
        """The frozen language model with P, without stage 2."""
        return Recommender(self.dataset, FROZEN_ROW)


def distill(teacher: Teacher) -> Distilled:
    """Stage 1 (DELRec section 4, arXiv 2406.11156): teach P what the teacher does, without one true label.

    Skipped if done. Raises KitError for what is no Teacher, and where the language model cannot be had, or does not
    fit the memory.
    """
    check_given(teacher, Teacher, "dk.distill(teacher), with what dk.Teacher.fit(dataset) made")
    distill_stage(teacher.dataset.run)
    return Distilled(teacher.dataset)


def finetune(distilled: Distilled) -> Recommender:
    """Stage 2 (DELRec section 4.3, arXiv 2406.11156): P stays, the language model learns true labels by AdaLoRA.

    All of ``finetune.methods`` are trained, and ``delrec`` answers where it is among them. Skipped if done.
    Raises KitError for what is not Distilled.
    """
    check_given(distilled, Distilled, "dk.finetune(distilled), with what dk.distill(teacher) made")
    finetune_stage(distilled.dataset.run)
    return Recommender(distilled.dataset)
