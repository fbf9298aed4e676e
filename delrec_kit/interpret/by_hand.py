"""One person's question, put by hand: change the history or the candidates and ask again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import softmax
from scipy.stats import rankdata

from delrec_kit.data import Cases, Ragged
from delrec_kit.interpret.attention import attention_by_piece
from delrec_kit.interpret.gradients import integrated_gradients
from delrec_kit.interpret.question import Question, leave_one_out
from delrec_kit.llm import LlmRecommender, Prompt, PromptWriter
from delrec_kit.settings.errors import KitError
from delrec_kit.teachers import Scorer

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
    "model looks is not why it answers: see the verdict of notebook 05b on this run.",
    ATTENTION: "The attention that the piece gets where the answer is made. Where a model looks is not why it answers: "
    "see the verdict of notebook 05b on this run.",
}
LOOKS = {ATTENTION: "attention", ROLLOUT: "rollout"}  # column of attention_by_piece


@dataclass(frozen=True)
class Span:
    """text: as it is read; name and index: its piece, index -1 for instruction text; values: importance by explanation,
    empty for what is no piece."""

    text: str
    name: str
    index: int
    values: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class ByHand:
    """A recommender and its teacher, to be asked about one person. titles: of the catalogue, by item; off: soft tokens
    that are switched off."""

    recommender: LlmRecommender
    teacher: Scorer
    titles: Sequence[str]
    off: tuple[int, ...] = ()

    def ranking(self, history: Sequence[int], candidates: Sequence[int]) -> pd.DataFrame:
        """Who ranks what after ``history`` (items, oldest first), a row a candidate, in their order.

        Returns:
            item, title, teacher_rank, llm_rank, chance (the model's softmax over the candidates) and, where scores hold
            a prior, prior (the chance that it alone would give).

        Raises:
            KitError: an empty history, or fewer than two candidates.
        """
        question = self.question(history, candidates)
        items, prior = question.items[0], self.recommender.prior
        ours = self.recommender.score_prompts(question.prompts, question.items)[0]
        table = pd.DataFrame(
            {
                "item": items,
                "title": [self.titles[item] for item in items],
                "teacher_rank": rankdata(-self.teacher.scores(question.cases, question.items)[0]),
                "llm_rank": rankdata(-ours),
                "chance": softmax(ours.astype(float)),
            }
        )
        return table if prior is None else table.assign(prior=softmax(prior[items].cpu().numpy().astype(float)))

    def explained(
        self,
        history: Sequence[int],
        candidates: Sequence[int],
        how: Sequence[str] = tuple(SAID),
        layer: int | None = None,
        head: int | None = None,
    ) -> tuple[list[Span], float | None]:
        """The prompt in spans, each with what the explanations ``how`` say of it; and by how many nats integrated
        gradients miss what they should add up to, None where they are not asked for. layer, head: whose attention, else
        the mean. A title that is left out is taken from a conditioned P too; gradients and attention take P as it is.
        """
        question, columns, missed = self.question(history, candidates), {}, None
        if EFFECT in how:
            columns[EFFECT] = leave_one_out(question)
        if GRADIENTS in how:
            columns[GRADIENTS], sums = integrated_gradients(question)
            missed = float(sums["delta"].iloc[0])
        if LOOKS.keys() & set(how):
            seen = attention_by_piece(question, layer, head)
            columns |= {name: seen[["name", "index", column]] for name, column in LOOKS.items() if name in how}
        values: dict[tuple[str, int], dict[str, float]] = {}
        for name, table in columns.items():
            for piece, index, value in zip(table["name"], table["index"], table.iloc[:, -1], strict=True):
                values.setdefault((piece, index), {})[name] = float(value)
        return spans_of(self.recommender.writer, question.prompts[0], values), missed

    def question(self, history: Sequence[int], candidates: Sequence[int]) -> Question:
        """Raises KitError for an empty history or fewer than two candidates."""
        if not len(history):
            raise KitError("a history needs at least one title")
        if len(candidates) < 2:
            raise KitError("there must be at least two candidates to choose from")
        cases = Cases.of_histories(Ragged.from_lists([list(history)]))
        return Question(self.recommender, cases, np.asarray(candidates, dtype=np.int64)[None], self.off)


def spans_of(writer: PromptWriter, prompt: Prompt, values: Mapping[tuple[str, int], Mapping[str, float]]) -> list[Span]:
    """The prompt's spans in order, soft tokens one by one. values: (name, index) of a piece -> importances."""
    spans = []
    for segment in prompt.segments:
        ids = prompt.ids[segment.start : segment.stop]
        if segment.name == "soft" and (ids < 0).all():
            spans += [Span(f"P{n}", "soft", n, values.get(("soft", n), {})) for n in (-ids - 1).tolist()]
        else:
            text = writer.tokenizer.decode(ids, skip_special_tokens=True).strip()
            if not text and segment.index >= 0:  # a title in words that the tokenizer does not know
                text = writer.tokenizer.decode(ids).strip()
            spans.append(Span(text, segment.name, segment.index, values.get((segment.name, segment.index), {})))
    return [span for span in spans if span.text]
