"""How good a ranker is on validation cases: what both stages stop early on. No gradient flows from here."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from delrec_kit.data import Cases, answer_index
from delrec_kit.evaluation import expected_ranks
from delrec_kit.llm import LanguageModel, PromptWriter, SoftPrompt, score_candidates
from delrec_kit.training.examples import final_prompt


@dataclass(frozen=True)
class Validation:
    """cases, candidates (U, m) and the teacher's scores of them (U, m), cut to the users that are scored each time."""

    cases: Cases
    candidates: np.ndarray
    teacher: np.ndarray

    @classmethod
    def sample(cls, cases: Cases, candidates: np.ndarray, teacher: np.ndarray, users: int, seed: int) -> "Validation":
        chosen = np.sort(np.random.default_rng(seed).permutation(len(cases.user))[:users])
        return cls(cases.take(chosen), candidates[chosen], teacher[chosen])

    def measure(
        self,
        llm: LanguageModel,
        writer: PromptWriter,
        soft: SoftPrompt | None,
        history: int,
        length_normalised: bool = False,
    ) -> dict[str, float]:
        """loss: cross-entropy of the true next item among the candidates, in nats; HR@1; same first choice as the
        teacher."""
        k = 0 if soft is None else soft.k
        prompts = [
            final_prompt(writer, self.cases.history[u], row, history, k) for u, row in enumerate(self.candidates)
        ]
        scores = score_candidates(llm, writer, prompts, self.candidates, soft, length_normalised=length_normalised)
        answer = answer_index(self.candidates, self.cases.target)
        log_p = log_softmax(scores.astype(np.float64), axis=1)
        return {
            "loss": float(-log_p[np.arange(len(answer)), answer].mean()),
            "HR@1": float((expected_ranks(scores, answer) <= 1).mean()),
            "agreement": float((scores.argmax(1) == self.teacher.argmax(1)).mean()),
        }
