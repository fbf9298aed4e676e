"""One person's prompt piece by piece: who looks at whom, and what each piece does to each candidate.

The numbers behind the view that one can touch (``view``). A row is who looks: a piece of the prompt, or a candidate as
the answer. A column is what is looked at: a piece. The words that belong to no piece count together as one more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import log_softmax

from delrec_kit.interpret.attention import ANSWERED_BY, Attended, answering, mixtures
from delrec_kit.interpret.by_hand import THROUGH_P, ByHand, spans_of
from delrec_kit.interpret.gradients import integrated_gradients
from delrec_kit.interpret.question import Question, leave_out

REST = "rest"  # the kind of the piece that all other words make


@dataclass(frozen=True, eq=False)
class Side:
    """What one model does with one prompt of n pieces, the rest among them as the last, and m candidates.

    name: whose; spans: text and piece of the prompt, in its order; pieces: kind and index; answers: title, chance,
    teacher's rank and whether it came next; first: which of them the model chooses. attention: (layers, heads, n, n)
    among the pieces; answering: (layers, heads, r, n) of the candidates, r = m or 1 where all look alike; rollout
    (n, n) and rollout_answering (r, n): through all layers; effect (m, n): by how many nats each candidate's
    log-probability falls without each piece, 0 for the rest; gradients (n,): shares of the first choice, in nats;
    missed: by how many nats these miss what they should add up to; prior (m,): the chance that the prior alone would
    give each candidate, None without one; note: what else to know before believing.
    """

    name: str
    spans: Sequence[tuple[str, int]]
    pieces: Sequence[tuple[str, int]]
    answers: Sequence[tuple[str, float, float, bool]]
    first: int
    attention: np.ndarray
    answering: np.ndarray
    rollout: np.ndarray
    rollout_answering: np.ndarray
    effect: np.ndarray
    gradients: np.ndarray
    missed: float
    prior: np.ndarray | None = None
    note: str = ""

    def texts(self) -> list[str]:
        """(n,) what each piece says; the rest says nothing of its own."""
        said = {at: text for text, at in self.spans}
        return ["" if kind == REST else said.get(at, "") for at, (kind, _) in enumerate(self.pieces)]


def side(asked: ByHand, history: Sequence[int], candidates: Sequence[int], target: int, name: str) -> Side:
    """``asked`` about one person. Raises KitError for an empty history or fewer than two candidates."""
    question, ranks = asked.question(history, candidates), asked.ranking(history, candidates)
    prompt, pieces = question.prompts[0], question.pieces[0]
    named = [(piece.name, piece.index) for piece in pieces]
    left = np.setdiff1d(np.arange(len(prompt.ids)), np.concatenate([piece.places for piece in pieces]))
    shares, sums = integrated_gradients(question)
    attention, answers, rolled, rolled_answers = _looks(question, [*(piece.places for piece in pieces), left])
    return Side(
        name,
        [
            (span.text, named.index((span.name, span.index)) if (span.name, span.index) in named else len(named))
            for span in spans_of(asked.recommender.writer, prompt, {})
        ],
        [*named, (REST, 0)],
        [(row.title, row.chance, row.teacher_rank, row.item == target) for row in ranks.itertuples()],
        int(question.choice[0][0]),
        attention,
        answers,
        rolled,
        rolled_answers,
        _effects(question),
        np.append(shares["gradients"].to_numpy(), 0.0),
        float(sums["delta"].iloc[0]),
        ranks["prior"].to_numpy() if "prior" in ranks else None,
        "" if asked.recommender.expects is None else f"{name}: {THROUGH_P}.",
    )


def between(weights: torch.Tensor, looks: torch.Tensor, parts: Sequence[np.ndarray]) -> torch.Tensor:
    """(…, r, n) what r groups of tokens look at, of token weights (…, Q, L): the mean over the tokens of a group, each
    counted as looks (r, Q) says, and the sum over the tokens of each of n ``parts``. A row sums to 1."""
    member = torch.zeros(weights.shape[-1], len(parts), device=weights.device)
    for column, places in enumerate(parts):
        member[places, column] = 1
    reached = looks @ weights @ member
    return reached / reached.sum(-1, keepdim=True).clamp(min=1e-9)


@torch.no_grad()
def _looks(question: Question, parts: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Attention among the parts and from the candidates, by layer and head, and both rolled out."""
    recommender = question.recommender
    asked, titles = recommender.tensors(question.prompts, question.items)
    weights = recommender.attention(asked, titles)
    if answering(weights) == "cross":
        m = question.items.shape[1]
        answer = titles.block == torch.arange(m, device=titles.block.device)[:, None]
    else:
        answer = recommender.llm.read_out(asked)
    answer = answer.float() / answer.sum(1, keepdim=True)
    encoder, L = weights["encoder"], weights["encoder"].shape[-1]
    among = torch.zeros(len(parts), L, device=encoder.device)
    for row, places in enumerate(parts):
        among[row, places] = 1 / max(1, len(places))
    kind, last = answering(weights), recommender.llm.task_type == ANSWERED_BY
    each = {of: one.expand(-1, len(answer), -1, -1, -1) for of, one in weights.items()}
    rolled = Attended(0, question.prompts, each, {kind: answer}, last, answer).rollout()
    found = (
        between(encoder[:, 0], among, parts),
        between(weights[kind][:, 0], answer, parts),
        between(mixtures(encoder)[-1][0], among, parts),
        between(rolled, torch.eye(len(rolled), device=rolled.device), parts),
    )
    return tuple(one.float().cpu().numpy() for one in found)


def _effects(question: Question) -> np.ndarray:
    """(m, n) of every piece and, at 0, the rest."""
    pieces = question.pieces[0]
    without = [leave_out(question.prompts[0], [piece]) for piece in pieces]
    whole = log_softmax(question.scores(question.prompts, np.zeros(1, dtype=np.int64)).astype(float), axis=1)
    changed = question.scores(without, np.zeros(len(without), dtype=np.int64)).astype(float)
    fall = whole - log_softmax(changed, axis=1)
    return np.concatenate([fall, np.zeros((1, fall.shape[1]))]).T
