"""How good a ranker is on validation cases: what both stages stop early on. No gradient flows from here."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from delrec_kit.data import Cases, answer_index
from delrec_kit.evaluation import expected_ranks
from delrec_kit.llm import LanguageModel, PromptWriter, SoftPrompt, score_candidates
from delrec_kit.training.lessons import Ask


@dataclass(frozen=True)
class Validation:
    """cases, candidates (U, m), the teacher's scores of them (U, m), its first items (U, h) and, for conditioned
    prompts, what it expects (U, d), cut to the users that are scored each time."""

    cases: Cases
    candidates: np.ndarray
    teacher: np.ndarray
    favourites: np.ndarray
    states: np.ndarray | None = None

    @classmethod
    def sample(
        cls,
        cases: Cases,
        candidates: np.ndarray,
        teacher: np.ndarray,
        favourites: np.ndarray,
        users: int,
        seed: int,
        states: np.ndarray | None = None,
    ) -> "Validation":
        chosen = np.sort(np.random.default_rng(seed).permutation(len(cases.user))[:users])
        known = None if states is None else states[chosen]
        return cls(cases.take(chosen), candidates[chosen], teacher[chosen], favourites[chosen], known)

    def measure(
        self,
        llm: LanguageModel,
        writer: PromptWriter,
        soft: SoftPrompt | None,
        ask: Ask,
        length_normalised: bool = False,
    ) -> dict[str, float]:
        """loss: cross-entropy of the true next item among the candidates, in nats; HR@1; same first choice as the
        teacher."""
        prompts = ask.prompts(writer, self.cases.history, self.candidates, self.favourites, self.states)
        scores = score_candidates(llm, writer, prompts, self.candidates, soft, length_normalised=length_normalised)
        answer = answer_index(self.candidates, self.cases.target)
        log_p = log_softmax(scores.astype(np.float64), axis=1)
        first, theirs = (values == values.max(1, keepdims=True) for values in (scores, self.teacher))
        return {
            "loss": float(-log_p[np.arange(len(answer)), answer].mean()),
            "HR@1": float((expected_ranks(scores, answer) <= 1).mean()),
            "agreement": float(((first & theirs).sum(1) / (first.sum(1) * theirs.sum(1))).mean()),
        }
