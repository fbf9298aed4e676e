"""What is ranked under each protocol: which items for whom, once or in several draws, and the teacher's scores of them.

``candidates``: the candidate sets of the run, the paper's protocol, in ``evaluation.draws`` draws of the distractors of
which the first is stored with the run. ``uniform-20``, ``popularity-15``: other candidate sets. ``last-1``: the
candidate sets, for people of whom the last title alone is known. ``rerank-N``: the
teacher's first N of the whole catalogue, nothing put in by hand. ``orders-N``: the first candidate sets, listed in N
orders. ``full-U``: the whole catalogue for U users.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from delrec_kit.data import Cases, draw_candidates
from delrec_kit.evaluation import expected_ranks
from delrec_kit.llm import LlmRecommender
from delrec_kit.settings.streams import stream
from delrec_kit.study.study import Study
from delrec_kit.teachers import Scorer

CANDIDATES, RERANK = "candidates", "rerank"
PARTS = ("valid", "test")


@dataclass(frozen=True)
class Ranked:
    """cases (U); items and the teacher's scores of them, both (D, U, m), in D draws."""

    cases: Cases
    items: np.ndarray
    teacher: np.ndarray

    def take(self, rows: np.ndarray) -> "Ranked":
        return Ranked(self.cases.take(rows), self.items[:, rows], self.teacher[:, rows])

    @cached_property
    def place(self) -> np.ndarray:
        """(D, U) column of each answer, -1 where it is not among the items."""
        found = self.items == self.cases.target[:, None]
        return np.where(found.any(axis=2), found.argmax(axis=2), -1)

    def ranks(self, scores: np.ndarray) -> np.ndarray:
        """Expected ranks of the answers from scores (D, U, m): (U,) for one draw, else (U, D). Infinite, so that every
        metric is 0, where the answer is not among the items."""
        ranks = np.full(self.place.shape, np.inf)
        listed = self.place >= 0
        ranks[listed] = expected_ranks(scores[listed], self.place[listed])
        return ranks[0] if len(ranks) == 1 else ranks.T


def number(study: Study, kind: str) -> int:
    """N of the protocol ``kind-N`` among those of the run; 0 where it is not among them."""
    wanted = [name.partition("-") for name in study.run.config.evaluation.protocols]
    return next((int(n) for name, _, n in wanted if name == kind), 0)


def protocols(study: Study) -> list[str]:
    """The protocols that compare methods on items of their own: candidates, other candidate sets, rerank."""
    wanted = [name for name in study.run.config.evaluation.protocols if name.partition("-")[0] in SETS]
    return [CANDIDATES, *wanted, *([RERANK] if number(study, RERANK) else [])]


SETS = ("uniform", "popularity", "last")


def ranked(study: Study, part: str, protocol: str) -> Ranked:
    """What is ranked of the test cases, as often as ``evaluation.draws`` says, or of the validation cases on which
    weights are fitted, once."""
    whole = _of_all(study, part, protocol)
    return whole.take(study.weighing) if part == "valid" else whole


def _of_all(study: Study, part: str, protocol: str) -> Ranked:
    if protocol == RERANK:
        return _proposed(study, part)
    cases, items, teacher = study.ranked(part)
    kind, _, last = protocol.partition("-")
    if kind == "last":
        cases = Cases(cases.user, cases.history.last(int(last)), cases.target)
        return Ranked(cases, items[None], study.teacher.scores(cases, items)[None])
    stored = Ranked(cases, items[None], teacher[None])
    draws = 1 if part == "valid" else study.run.config.evaluation.draws
    if protocol == CANDIDATES and draws == 1:
        return stored
    drawn = np.stack([_draw(study, part, protocol, n) for n in range(protocol == CANDIDATES, draws)])
    scores = score_sets(study.teacher, cases, {protocol: drawn})[protocol]
    if protocol != CANDIDATES:
        return Ranked(cases, drawn, scores)
    return Ranked(cases, np.concatenate([stored.items, drawn]), np.concatenate([stored.teacher, scores]))


def score_sets(scorer: Scorer, cases: Cases, sets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """(D, U, m) scores of each of ``sets``, (D, U, m) items for the cases. Whoever lists the items that it ranks is
    asked once a draw, everyone else once for all."""
    if isinstance(scorer, LlmRecommender) and scorer.llm.lists:
        return {name: np.stack([scorer.scores(cases, each) for each in items]) for name, items in sets.items()}
    flat = [items.swapaxes(0, 1).reshape(len(cases), -1) for items in sets.values()]
    scores = scorer.scores(cases, np.concatenate(flat, axis=1))
    parts = np.split(scores, np.cumsum([table.shape[1] for table in flat])[:-1], axis=1)
    return {
        name: part.reshape(len(cases), len(items), -1).swapaxes(0, 1)
        for part, (name, items) in zip(parts, sets.items(), strict=True)
    }


def reordered(sets: Ranked, orders: int, seed: int) -> Ranked:
    """The first draw's items in ``orders`` random orders."""
    rng = stream(seed, "orders of the candidates")
    shape = (orders, *sets.items.shape[1:])
    order = rng.permuted(np.tile(np.arange(shape[2]), (*shape[:2], 1)), axis=2)
    tables = (np.broadcast_to(table[0], shape) for table in (sets.items, sets.teacher))
    return Ranked(sets.cases, *(np.take_along_axis(table, order, 2) for table in tables))


def _proposed(study: Study, part: str) -> Ranked:
    """In random order: in the teacher's, the place in a list would tell its rank."""
    N, table = number(study, RERANK), study.proposed(part)
    items, scores = (np.stack(table[name])[:, :N] for name in ("top_items", "top_scores"))
    order = stream(study.run.config.seed, f"order of what is reranked, {part}").permuted(
        np.tile(np.arange(items.shape[1]), (len(items), 1)), axis=1
    )
    shuffled = (np.take_along_axis(values, order, 1)[None] for values in (items, scores))
    return Ranked(getattr(study.data.split, part), *shuffled)


def _draw(study: Study, part: str, protocol: str, draw: int) -> np.ndarray:
    settings, split = study.run.config.data, study.data.split
    distractors, m = settings.distractors, settings.candidates
    if protocol != CANDIDATES:
        distractors, _, size = protocol.partition("-")
        m = int(size)
    seed = [study.run.config.seed, 10 + PARTS.index(part), draw]
    return draw_candidates(split, getattr(split, part), m, seed, study.consumed, distractors)
