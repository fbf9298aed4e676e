"""How good a recommender is on validation cases: both stages keep the best of these. No gradient flows from here."""

import numpy as np
from scipy.special import log_softmax

from delrec_kit.data import Cases, answer_index
from delrec_kit.evaluation import expected_ranks
from delrec_kit.llm import LlmRecommender


class Validation:
    """Called, it measures a recommender as it is at that moment. cases: U validation cases; items (U, m): their
    candidates; teacher (U, m): the teacher's scores of these. The prompts are written once."""

    def __init__(self, recommender: LlmRecommender, cases: Cases, items: np.ndarray, teacher: np.ndarray):
        self.recommender, self.items = recommender, items
        self.prompts = recommender.prompts(cases, items)
        self.answer = answer_index(items, cases.target)
        self.teacher_first = teacher == teacher.max(1, keepdims=True)

    def __call__(self) -> dict[str, float]:
        """loss: cross-entropy of the true next item among the candidates, in nats; HR@1; agreement: same first choice
        as the teacher, shared out among ties."""
        scores = self.recommender.score_prompts(self.prompts, self.items)
        log_p = log_softmax(scores.astype(np.float64), axis=1)
        first = scores == scores.max(1, keepdims=True)
        both = (first & self.teacher_first).sum(1) / (first.sum(1) * self.teacher_first.sum(1))
        return {
            "loss": float(-log_p[np.arange(len(self.answer)), self.answer].mean()),
            "HR@1": float((expected_ranks(scores, self.answer) <= 1).mean()),
            "agreement": float(both.mean()),
        }
