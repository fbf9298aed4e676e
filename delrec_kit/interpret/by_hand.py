"""One person's question, put by hand: change the history or the candidates and ask again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import softmax
from scipy.stats import rankdata

from delrec_kit.data import Cases, Ragged
from delrec_kit.interpret.attention import attention_by_piece
from delrec_kit.interpret.attribution import choices, leave_one_out
from delrec_kit.interpret.gradients import integrated_gradients
from delrec_kit.interpret.pieces import retold
from delrec_kit.interpret.spans import Span, spans_of
from delrec_kit.llm import LanguageModel, Prompt, PromptWriter, SoftPrompt, score_candidates
from delrec_kit.settings.errors import KitError
from delrec_kit.teachers import Scorer, scores_of, top_items
from delrec_kit.training import Ask, Expectations

EFFECT, GRADIENTS = "Effect of leaving it out", "Integrated gradients"
ATTENTION, ROLLOUT = "Attention", "Attention rollout"
THROUGH_P = (
    "P depends on the user here: left out, a title is taken from the teacher too, which speaks through P, while "
    "gradients and attention take P as it is and do not count that path"
)
SAID = {
    EFFECT: "By how many nats the log-probability of the first choice falls when the piece is left out alone: blue and "
    "solid speaks for the choice, orange and dashed against it.",
    GRADIENTS: "The piece's share of the log-probability, in nats, against the same prompt with the mean word of the "
    "vocabulary in the place of all pieces.",
    ROLLOUT: "The piece's share of the answer if attention alone carried it, followed through all layers. Where a "
    "model looks is not why it answers: see the verdict of notebook 05 on this run.",
    ATTENTION: "The attention that the piece gets where the answer is made. Where a model looks is not why it answers: "
    "see the verdict of notebook 05 on this run.",
}


@dataclass(frozen=True)
class ByHand:
    """A language model with its P, and its teacher, ready to be asked. titles: of the catalogue, by item; h: how many
    items of the teacher a prompt may show."""

    llm: LanguageModel
    writer: PromptWriter
    soft: SoftPrompt | None
    ask: Ask
    teacher: Scorer
    expectations: Expectations | None
    titles: Sequence[str]
    h: int
    length_normalised: bool = False

    def ranking(self, history: Sequence[int], candidates: Sequence[int]) -> pd.DataFrame:
        """Who ranks what after ``history`` (items, oldest first): item, title, teacher_rank, llm_rank, chance (the
        model's softmax over the candidates) and, where scores hold a prior, prior (the chance that it alone would
        give); in the order of ``candidates``. Raises KitError for an empty history or fewer than two candidates."""
        case, items = self._case(history), self._items(candidates)
        ours = self._score([self.prompt(history, candidates)], items)[0]
        table = pd.DataFrame(
            {
                "item": items[0],
                "title": [self.titles[item] for item in items[0]],
                "teacher_rank": rankdata(-scores_of(self.teacher, case, items)[0]),
                "llm_rank": rankdata(-ours),
                "chance": softmax(ours.astype(float)),
            }
        )
        if self.llm.prior is None:
            return table
        return table.assign(prior=softmax(self.llm.prior[items[0]].cpu().numpy().astype(float)))

    def explained(
        self,
        history: Sequence[int],
        candidates: Sequence[int],
        how: Sequence[str] = tuple(SAID),
        layer: int | None = None,
        head: int | None = None,
    ) -> tuple[list[Span], float | None]:
        """The prompt in spans, each with what every explanation of ``how`` says of it; attention of one layer or head,
        or their mean. And by how many nats integrated gradients miss what they should add up to, where they were asked
        for. Leaving a title out, a conditioned P is told anew; gradients and attention take P as it is."""
        prompt, items = self.prompt(history, candidates), self._items(candidates)
        model = (self.llm, self.writer, [prompt], items, self.soft)

        def score(asked: Sequence[Prompt], users: np.ndarray) -> np.ndarray:
            if self.expectations is not None:
                asked = retold(asked, [history] * len(asked), self.ask.shown, self.expectations)
            return self._score(asked, np.repeat(items, len(asked), axis=0))

        columns, missed = {}, None
        if EFFECT in how:
            columns[EFFECT] = leave_one_out(score, [prompt])
        if GRADIENTS in how:
            columns[GRADIENTS], sums = integrated_gradients(*model, length_normalised=self.length_normalised)
            missed = float(sums["delta"].iloc[0])
        if {ATTENTION, ROLLOUT} & set(how):
            first = choices(score, [prompt])[0]
            seen = attention_by_piece(*model, first, layer=layer, head=head)
            columns |= {name: seen[["name", "index", column]] for name, column in LOOKS.items() if name in how}
        values: dict[tuple[str, int], dict[str, float]] = {}
        for name, table in columns.items():
            for piece, index, value in zip(table["name"], table["index"], table.iloc[:, -1], strict=True):
                values.setdefault((piece, index), {})[name] = float(value)
        return spans_of(self.writer, prompt, values), missed

    def prompt(self, history: Sequence[int], candidates: Sequence[int]) -> Prompt:
        """What the model is asked."""
        case, items = self._case(history), self._items(candidates)
        first = np.empty((1, 0), dtype=np.int64)
        if self.ask.method.prompt == "teacher":
            first = top_items(self.teacher.scores(case.history, case.user), case.history, self.h)
        states = self.expectations.of_cases(case) if self.expectations and self.ask.method.soft else None
        return self.ask.prompts(self.writer, list(case.history), items, first, states)[0]

    def _score(self, prompts: Sequence[Prompt], items: np.ndarray) -> np.ndarray:
        return score_candidates(
            self.llm, self.writer, prompts, items, self.soft, length_normalised=self.length_normalised
        )

    @staticmethod
    def _case(history: Sequence[int]) -> Cases:
        if not len(history):
            raise KitError("a history needs at least one title")
        nobody = np.zeros(1, dtype=np.int64)
        return Cases(nobody, Ragged.from_lists([list(history)]), nobody)

    @staticmethod
    def _items(candidates: Sequence[int]) -> np.ndarray:
        if len(candidates) < 2:
            raise KitError("there must be at least two candidates to choose from")
        return np.asarray(candidates, dtype=np.int64)[None]


LOOKS = {ATTENTION: "attention", ROLLOUT: "rollout"}
