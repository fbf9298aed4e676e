"""What is ranked under each protocol: which items for whom, once or in several draws, and the teacher's scores of them.

``candidates``: the candidate sets of the run, the paper's protocol, in ``evaluation.draws`` draws of the distractors of
which the first is stored with the run. ``uniform-20``, ``popularity-15``: the same with other sets, as named by
``evaluation.sets``. ``rerank``: the teacher's first N of the whole catalogue, nothing put in by hand.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from delrec_kit.data import Cases, draw_candidates
from delrec_kit.evaluation import expected_ranks
from delrec_kit.study.workbench import Workbench
from delrec_kit.teachers import Scorer, scores_of

RERANK = "rerank"
PARTS = ("valid", "test")


@dataclass(frozen=True)
class Ranked:
    """cases (U); items and the teacher's scores of them, both (D, U, m), in D draws."""

    cases: Cases
    items: np.ndarray
    teacher: np.ndarray

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

    def scored_by(self, scorer: Scorer) -> np.ndarray:
        """(D, U, m) scores of the items."""
        return _folded(scores_of(scorer, self.cases, _flat(self.items)), len(self.items))


def protocols(bench: Workbench) -> list[str]:
    """Those that the run's settings ask for, the whole catalogue apart."""
    settings = bench.run.config.evaluation
    return ["candidates", *settings.sets, *([RERANK] if settings.rerank else [])]


def ranked(bench: Workbench, part: str, protocol: str) -> Ranked:
    """Validation cases, on which weights are fitted, are drawn once; test cases as often as ``evaluation.draws``."""
    cases, items, teacher = bench.ranked(part, RERANK if protocol == RERANK else "candidates")
    stored = Ranked(cases, items[None], teacher[None])
    draws = 1 if part == "valid" else bench.run.config.evaluation.draws
    if protocol == RERANK or (protocol == "candidates" and draws == 1):
        return stored
    drawn = [_draw(bench, part, protocol, n) for n in range(protocol == "candidates", draws)]
    fresh = Ranked(cases, np.stack(drawn), np.empty(0))
    scores = fresh.scored_by(bench.teacher)
    if protocol != "candidates":
        return Ranked(cases, fresh.items, scores)
    return Ranked(cases, np.concatenate([stored.items, fresh.items]), np.concatenate([stored.teacher, scores]))


def reordered(sets: Ranked, orders: int, seed: int) -> Ranked:
    """The first draw's items in ``orders`` random orders."""
    items, teacher = sets.items[0], sets.teacher[0]
    rng = np.random.default_rng([seed, 3])
    order = rng.permuted(np.tile(np.arange(items.shape[1]), (orders, len(items), 1)), axis=2)
    taken = (np.take_along_axis(np.broadcast_to(table, order.shape), order, 2) for table in (items, teacher))
    return Ranked(sets.cases, *taken)


def _draw(bench: Workbench, part: str, protocol: str, draw: int) -> np.ndarray:
    settings = bench.run.config.data
    distractors, m = settings.distractors, settings.candidates
    if protocol != "candidates":
        distractors, _, size = protocol.partition("-")
        m = int(size)
    seed = [bench.run.config.seed, 10 + PARTS.index(part), draw]
    return draw_candidates(bench.data.split, getattr(bench.data.split, part), m, seed, bench.consumed, distractors)


def _flat(table: np.ndarray) -> np.ndarray:
    """(D, U, m) as (U, D * m)."""
    return table.transpose(1, 0, 2).reshape(table.shape[1], -1)


def _folded(table: np.ndarray, draws: int) -> np.ndarray:
    """(U, D * m) as (D, U, m)."""
    return table.reshape(len(table), draws, -1).transpose(1, 0, 2)
