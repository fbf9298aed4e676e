"""What the teacher expects of whom, for prompts whose soft prompt is conditioned on it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from delrec_kit.data import Cases, Ragged
from delrec_kit.llm import Prompt
from delrec_kit.teachers import Scorer, expected_vectors


@dataclass(frozen=True)
class Expectations:
    """teacher: speaks of validation and test cases; unseeing: of training prefixes, by teachers that have not seen the
    user, whose future they would otherwise remember; train: training sequences; vectors (N+1, d): of titles."""

    teacher: Scorer
    unseeing: Scorer
    train: Ragged
    vectors: np.ndarray

    def of_cases(self, cases: Cases) -> np.ndarray:
        """(U, d)"""
        return expected_vectors(self.teacher, cases.history, cases.user, self.vectors)

    def of_history(self, history: np.ndarray) -> np.ndarray:
        """(d,) after these items; of nobody, who has none, every title is expected alike."""
        if not len(history):
            return self.vectors[1:].mean(0)
        nobody = np.zeros(1, dtype=np.int64)
        return self.of_cases(Cases(nobody, Ragged.from_lists([list(history)]), nobody))[0]

    def of_prefixes(self, users: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """(n, d) after the first ``lengths`` (n,) items of the training sequences of ``users`` (n,)."""
        histories = Ragged.slices(self.train.values, self.train.offsets[users], lengths)
        return expected_vectors(self.unseeing, histories, users, self.vectors)


def knowing(prompts: Sequence[Prompt], states: np.ndarray) -> list[Prompt]:
    """The prompts, each with its row of ``states`` (n, d)."""
    return [replace(prompt, state=state) for prompt, state in zip(prompts, states, strict=True)]
