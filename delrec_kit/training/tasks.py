"""The three tasks of DELRec (arXiv 2406.11156): temporal analysis, pattern simulating, and the next item.

Their examples are made from training sequences and the teacher's lists only; no function here is given a validation or
a test case. Of their targets only this much is known: a user's own are never among the distractors of that user's
examples, as they never are among those of the evaluation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from delrec_kit.data import Cases, Ragged, draw_distractors
from delrec_kit.llm import Expectation, LlmRecommender, Prompt
from delrec_kit.settings.config import DistillConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.methods import Method
from delrec_kit.settings.streams import stream
from delrec_kit.teachers import Scorer, catalogue_scores
from delrec_kit.training.examples import Examples, Joined, OneOfAll


@dataclass(frozen=True, eq=False)
class TaskWriter:
    """Draws and writes training examples, in the prompts of one recommender.

    train: training sequences by user; consumed: all items a user ever had, which are never distractors; m: candidates;
    teacher: speaks of training prefixes and has not seen the user; lists: what it said of them (see
    ``distillation_table``).
    """

    recommender: LlmRecommender
    train: Ragged
    consumed: Ragged
    m: int
    teacher: Scorer
    lists: pd.DataFrame
    seed: int

    def of(self, method: Method, config: DistillConfig, labels: int) -> Joined:
        """All that an adapter learns from as ``method`` says: ``labels`` true next items, and ``config.examples`` of
        each task of stage 1."""
        made = []
        if "stage 1" in method.learns_from:
            made += list(self.stage_1(config).values())
        if "labels" in method.learns_from:
            made.append(self.next_item(labels, config.h))
        return Joined(made, method.fades)

    def stage_1(self, config: DistillConfig) -> dict[str, Examples]:
        """``config.examples`` of each of ``config.tasks``, by task."""
        writers = {
            "ta": lambda: self.temporal_analysis(config.examples, config.a),
            "rps": lambda: self.pattern_simulating(config.examples, config.h, config.rps),
        }
        return {task: write() for task, write in writers.items() if task in config.tasks}

    def temporal_analysis(self, count: int, a: int) -> Examples:
        """TA (section 4.2.1): a worked example from the start of the user's own history, then a gap to fill.

        The example shows items 1 … a with item a-1 as the gap; the question shows what follows up to n-2, a gap and
        item n. The answer is item n-1, among m candidates.
        """
        rng = stream(self.seed, "temporal analysis")
        users, stops = self._draw(count, shortest_for_ta(a), rng)
        sequences = [self.train[u][:n] for u, n in zip(users, stops, strict=True)]
        candidates, targets = self._among_random(users, stops, np.array([s[-2] for s in sequences]), rng)
        prompts = []
        for s, row, expected in zip(sequences, candidates, self._expected(users, stops - 2), strict=True):
            slots = {
                "example": s[: a - 2],
                "example_answer": s[a - 2 : a - 1],
                "example_last": s[a - 1 : a],
                "history": s[a:-2][-self.recommender.history :],
                "last": s[-1:],
                "candidates": self.recommender.listed(row),
            }
            prompts.append(self._write("ta", slots, expected))
        return Examples(prompts, candidates, targets)

    def pattern_simulating(self, count: int, h: int, form: str = "listwise") -> Examples:
        """RPS (section 4.2.2): answer as the teacher would, which has not seen the user it speaks of.

        C = R_1 … R_h and random items, in random order. form: "hard", the target is R_1 (the paper's); "hard_rest",
        and the prompt shows R_2 … R_h; "listwise", the target is softmax(f(C)). Where the model ranks all titles at
        once, the target is the teacher's distribution over the whole catalogue without the history, and h counts for
        nothing.
        """
        rng = stream(self.seed, "pattern simulating")
        chosen = self.lists.iloc[np.sort(rng.choice(len(self.lists), min(count, len(self.lists)), replace=False))]
        users, lengths = chosen["user"].to_numpy(), chosen["length"].to_numpy()
        tops = np.stack(chosen["top_items"])[:, :h]
        if not self.recommender.llm.ranks_all:
            items, scores = self._among_others(chosen, h, rng)
            targets = teacher_targets(scores, form)
        else:
            items, targets = np.empty((len(chosen), 0), dtype=np.int64), self._over_all(users, lengths, form)
        prompts = []
        rows = zip(users, lengths, tops, items, self._expected(users, lengths), strict=True)
        for user, length, top, row, expected in rows:
            slots = {
                "history": self.train[user][:length][-self.recommender.history :],
                "candidates": self.recommender.listed(row),
            }
            if form == "hard_rest":
                slots["teacher"] = top[1:]
            prompts.append(self._write("rps", slots, expected))
        return Examples(prompts, items, targets)

    def next_item(self, count: int, h: int = 0) -> Examples:
        """Stage 2 (section 4.3): history, candidates, and the item that truly came next.

        Where the prompt shows the teacher's first h items, the prefixes are among those that the teacher has labelled
        without seeing the user.
        """
        rng = stream(self.seed, "next item")
        if self.recommender.suggests is None:
            users, stops = self._draw(count, 2, rng)
            suggested = np.empty((len(users), 0), dtype=np.int64)
        else:
            users, stops, suggested = self._labelled_prefixes(count, h)
        answers = self.train.values[self.train.offsets[users] + stops - 1]
        candidates, targets = self._among_random(users, stops, answers, rng)
        rows = zip(users, stops, candidates, suggested, self._expected(users, stops - 1), strict=True)
        prompts = [
            self.recommender.ask(self.train[u][: n - 1], row, first, expected) for u, n, row, first, expected in rows
        ]
        return Examples(prompts, candidates, targets, true_labels=True)

    def _write(self, task: str, slots: dict[str, Sequence[int]], expected: np.ndarray | None) -> Prompt:
        return self.recommender.writer.write(task, slots, self.recommender.k, expects=expected)

    def _expected(self, users: np.ndarray, lengths: np.ndarray) -> Sequence[np.ndarray | None]:
        """What the teacher expects after the first ``lengths`` items, which end before anything that is asked."""
        if self.recommender.expects is None or not self.recommender.k:
            return [None] * len(users)
        return self._unseeing(Cases.of_histories(self._prefixes(users, lengths), users))

    @cached_property
    def _unseeing(self) -> Expectation:
        return replace(self.recommender.expects, teacher=self.teacher)

    def _prefixes(self, users: np.ndarray, lengths: np.ndarray) -> Ragged:
        return Ragged.slices(self.train.values, self.train.offsets[users], lengths)

    def _draw(self, count: int, shortest: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Users and prefix lengths, each pair at most once: all pairs with at least ``shortest`` items, sampled."""
        pairs = np.maximum(self.train.lengths - shortest + 1, 0)
        if not pairs.sum():
            raise KitError(f"no training sequence has {shortest} items, of which an example needs as many")
        ends = pairs.cumsum()
        flat = rng.permutation(ends[-1])[:count]
        users = np.searchsorted(ends, flat, side="right")
        return users, flat - (ends - pairs)[users] + shortest

    def _labelled_prefixes(self, count: int, h: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Users, lengths with the answer, and the teacher's first h items after all but the answer."""
        lists = self.lists
        lists = lists[lists["length"].to_numpy() < self.train.lengths[lists["user"].to_numpy()]]
        rows = stream(self.seed, "labelled prefixes").permutation(len(lists))[:count]
        chosen = lists.iloc[np.sort(rows)]
        return chosen["user"].to_numpy(), chosen["length"].to_numpy() + 1, np.stack(chosen["top_items"])[:, :h]

    def _among_random(self, users: np.ndarray, stops: np.ndarray, answers: np.ndarray, rng: np.random.Generator):
        """Candidates and targets of questions on the first ``stops`` items of ``users``."""
        table = self.recommender.writer.table
        if self.recommender.llm.ranks_all:
            nothing = np.empty((len(answers), 0), dtype=np.int64)
            return nothing, OneOfAll(answers, self._prefixes(users, stops), len(table.lengths) - 1)
        others = draw_distractors(self.consumed, users, answers, self.m - 1, rng, table.canonical)
        rows = np.concatenate([answers[:, None], others], axis=1)
        order = rng.permuted(np.tile(np.arange(self.m), (len(rows), 1)), axis=1)
        return np.take_along_axis(rows, order, 1), (order == 0).astype(np.float32)

    def _among_others(self, chosen: pd.DataFrame, h: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The teacher's first items and their scores, filled up to m by random others, in random order."""
        columns = {
            name: np.concatenate(
                [np.stack(chosen[f"top_{name}"])[:, :h], np.stack(chosen[f"other_{name}"])[:, : self.m - h]], axis=1
            )
            for name in ("items", "scores")
        }
        found = columns["items"].shape[1]
        if found < self.m:
            raise KitError(f"the teacher's lists allow {found} candidates, not data.candidates={self.m}")
        order = rng.permuted(np.tile(np.arange(self.m), (len(chosen), 1)), axis=1)
        return tuple(np.take_along_axis(values, order, 1) for values in columns.values())

    def _over_all(self, users: np.ndarray, lengths: np.ndarray, form: str) -> np.ndarray | OneOfAll:
        """(n, N) distributions of the teacher, in half precision, -1 at the items of the prefix; or first choices."""
        cases, targets = Cases.of_histories(self._prefixes(users, lengths), users), []
        for _, scores in catalogue_scores(self.teacher, cases, without_history=True):
            if form == "listwise":
                wanted = teacher_targets(scores, form)
                targets.append(np.where(np.isneginf(scores), -1, wanted)[:, 1:].astype(np.float16))
            else:
                targets.append(scores.argmax(1))
        if form == "listwise":
            return np.concatenate(targets)
        return OneOfAll(np.concatenate(targets), cases.history, len(self.recommender.writer.table.lengths) - 1)


def teacher_targets(scores: np.ndarray, form: str) -> np.ndarray:
    """(n, m) distributions that RPS trains towards, from the teacher's scores (n, m): one-hot, or their softmax."""
    if form != "listwise":
        return (np.arange(scores.shape[1]) == scores.argmax(1)[:, None]).astype(np.float32)
    weights = np.exp(scores - scores.max(1, keepdims=True))
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def shortest_for_ta(a: int) -> int:
    """Items that a sequence needs for temporal analysis: the worked example, one of history, the gap and the last."""
    return a + 3


def check_lengths(train: Ragged, config: DistillConfig) -> None:
    """Raise KitError where the training sequences are too short for what stage 1 is set to do."""
    longest, needed = max(train.lengths, default=0), shortest_for_ta(config.a)
    if "ta" in config.tasks and longest < needed:
        raise KitError(
            f"temporal analysis needs a training sequence of {needed} items (distill.a={config.a} and three), and the "
            f"longest has {longest}; set distill.tasks=[rps]"
            + (f", or distill.a={longest - 3}" if longest >= 6 else "")
        )
