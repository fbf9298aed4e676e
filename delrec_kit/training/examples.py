"""Training examples of the three tasks, made from training sequences and the teacher's lists only.

No function here is given a validation or a test case. Of their targets only this much is known: a user's own are never
among the distractors of that user's examples of TA and stage 2, as they never are among those of the evaluation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch.utils.data import Dataset

from delrec_kit.data import Ragged, draw_distractors
from delrec_kit.evaluation import membership
from delrec_kit.llm import Prompt, PromptWriter
from delrec_kit.settings.config import DistillConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.teachers import Scorer, scores_of_the_new
from delrec_kit.training.expectations import Expectations, knowing


@dataclass(frozen=True)
class Examples(Dataset):
    """prompts: n prompts; candidates (n, m); targets (n, m): a distribution over the candidates; true_labels: how many
    of them, the last ones, tell an item that truly came next. Where prompts list nothing, candidates are (n, 0) and
    targets (n, N), in half precision, over items 1 … N; -1 marks what the user has had, which is not ranked."""

    prompts: list[Prompt]
    candidates: np.ndarray
    targets: np.ndarray
    true_labels: int = 0

    @classmethod
    def joined(cls, parts: "Sequence[Examples]") -> "Examples":
        return cls(
            [prompt for part in parts for prompt in part.prompts],
            np.concatenate([part.candidates for part in parts]),
            np.concatenate([part.targets for part in parts]),
            sum(part.true_labels for part in parts),
        )

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each prompt."""
        return [len(prompt.ids) for prompt in self.prompts]

    def __getitem__(self, index: int) -> tuple[Prompt, np.ndarray, np.ndarray]:
        candidates, target = self.candidates[index], self.targets[index]
        if not len(candidates):
            candidates = np.arange(1, len(target) + 1)
        return self.prompts[index], candidates, target.astype(np.float32)


@dataclass(frozen=True)
class ExampleWriter:
    """Draws and writes examples. writer: the prompts' writer; train: training sequences by user; consumed: all items a
    user ever had, which are never distractors; m: candidates; history: titles that a prompt lists at most;
    expectations: the teacher's, which prompts with soft tokens then carry; listed: whether prompts list the candidates,
    or none, so that an example compares the whole catalogue; unseeing: the teacher that then speaks of all of it, which
    has not seen the user."""

    writer: PromptWriter
    train: Ragged
    consumed: Ragged
    m: int
    history: int
    expectations: Expectations | None = None
    listed: bool = True
    unseeing: Scorer | None = None

    def next_item(
        self,
        count: int,
        k: int,
        seed: int,
        prefixes: tuple[np.ndarray, np.ndarray] | None = None,
        favourites: np.ndarray | None = None,
    ) -> Examples:
        """Stage 2 (DELRec section 4.3): history, candidates, and the item that truly came next.

        prefixes: users and prefix lengths, the answer included, in place of drawn ones; favourites: (n, h) the items
        that the prompt of each says a recommender suggests.
        """
        rng = np.random.default_rng(seed)
        users, stops = prefixes or self._draw(count, 2, rng)
        answers = self.train.values[self.train.offsets[users] + stops - 1]
        candidates, targets = self._with_distractors(users, stops, answers, rng)
        told = [()] * len(users) if favourites is None else favourites
        prompts = [
            final_prompt(self.writer, self.train[u][: n - 1], self._shown(row), self.history, k, first)
            for u, n, row, first in zip(users, stops, candidates, told, strict=True)
        ]
        return Examples(self._knowing(prompts, users, stops - 1, k), candidates, targets, len(prompts))

    def temporal_analysis(self, count: int, config: DistillConfig, seed: int) -> Examples:
        """TA (DELRec section 4.2.1): a worked example from the start of the user's own history, then a gap to fill.

        The example shows items 1 … a with item a-1 as the gap; the question shows what follows up to n-2, a gap and
        item n. The answer is item n-1.
        """
        rng = np.random.default_rng(seed)
        a = config.a
        users, stops = self._draw(count, shortest_for_ta(config), rng)
        sequences = [self.train[u][:n] for u, n in zip(users, stops, strict=True)]
        candidates, targets = self._with_distractors(users, stops, np.array([s[-2] for s in sequences]), rng)
        prompts = []
        for s, row in zip(sequences, candidates, strict=True):
            slots = {
                "example": s[: a - 2],
                "example_answer": s[a - 2 : a - 1],
                "example_last": s[a - 1 : a],
                "history": s[a:-2][-self.history :],
                "last": s[-1:],
                "candidates": self._shown(row),
            }
            prompts.append(self.writer.write("ta", slots, config.k))
        return Examples(self._knowing(prompts, users, stops - 2, config.k), candidates, targets)

    def pattern_simulating(self, lists: pd.DataFrame, count: int, config: DistillConfig, seed: int) -> Examples:
        """RPS (DELRec section 4.2.2): answer as the teacher would, which has not seen the user it speaks of.

        ``lists`` is the teacher's distillation table; C = R_1 … R_h and random items in random order. Hard targets
        are R_1, the paper's; listwise ones are softmax(f(C) / T). Where nothing is listed, the target is the
        teacher's distribution over the whole catalogue without the history, and h counts for nothing.
        """
        rng = np.random.default_rng(seed)
        h = config.h
        chosen = lists.iloc[np.sort(rng.choice(len(lists), size=min(count, len(lists)), replace=False))]
        tops = np.stack(chosen["top_items"])[:, :h]
        told = tuple(chosen[column].to_numpy() for column in ("user", "length"))
        if self.listed:
            items, scores = self._among_others(chosen, tops, np.stack(chosen["top_scores"])[:, :h], rng)
            targets = teacher_targets(scores, config)
        else:
            items, targets = np.empty((len(chosen), 0), dtype=np.int64), self._over_all(*told, config)
        prompts = []
        for user, length, top, row in zip(chosen["user"], chosen["length"], tops, items, strict=True):
            slots = {"history": self.train[user][:length][-self.history :], "candidates": self._shown(row)}
            if config.show_rest:
                slots["teacher"] = top[1:]
            prompts.append(self.writer.write("rps", slots, config.k))
        return Examples(self._knowing(prompts, *told, config.k), items, targets)

    def _over_all(self, users: np.ndarray, lengths: np.ndarray, config: DistillConfig) -> np.ndarray:
        """(n, N) distributions of the teacher after the first ``lengths`` items of ``users``, -1 at these items."""
        histories = Ragged.slices(self.train.values, self.train.offsets[users], lengths)
        targets = []
        for _, scores in scores_of_the_new(self.unseeing, histories, users):
            made = teacher_targets(scores, config)
            targets.append(np.where(np.isneginf(scores), -1, made)[:, 1:].astype(np.float16))
        return np.concatenate(targets)

    def _shown(self, candidates: np.ndarray) -> np.ndarray:
        return candidates if self.listed else candidates[:0]

    def _among_others(self, chosen: pd.DataFrame, tops: np.ndarray, scores: np.ndarray, rng: np.random.Generator):
        """The teacher's first items and their scores, filled up to m by random others, in random order."""
        left = self.m - tops.shape[1]
        items = np.concatenate([tops, np.stack(chosen["other_items"])[:, :left]], axis=1)
        scores = np.concatenate([scores, np.stack(chosen["other_scores"])[:, :left]], axis=1)
        if items.shape[1] < self.m:
            raise KitError(f"the teacher's lists allow {items.shape[1]} candidates, not data.candidates={self.m}")
        order = rng.permuted(np.tile(np.arange(self.m), (len(chosen), 1)), axis=1)
        return np.take_along_axis(items, order, 1), np.take_along_axis(scores, order, 1)

    def _knowing(self, prompts: list[Prompt], users: np.ndarray, lengths: np.ndarray, k: int) -> list[Prompt]:
        """What the teacher expects after the first ``lengths`` items, which end before anything that is asked."""
        if self.expectations is None or not k:
            return prompts
        return knowing(prompts, self.expectations.of_prefixes(users, lengths))

    def _draw(self, count: int, shortest: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Users and prefix lengths, each pair at most once: all pairs with at least ``shortest`` items, sampled."""
        lengths = self.train.lengths
        pairs = np.maximum(lengths - shortest + 1, 0)
        if not pairs.sum():
            raise KitError(f"no training sequence has {shortest} items, of which an example needs as many")
        ends = pairs.cumsum()
        flat = rng.permutation(ends[-1])[:count]
        users = np.searchsorted(ends, flat, side="right")
        return users, flat - (ends - pairs)[users] + shortest

    def _with_distractors(self, users: np.ndarray, stops: np.ndarray, answers: np.ndarray, rng: np.random.Generator):
        """Candidates and targets of questions on the first ``stops`` items of ``users``."""
        if not self.listed:
            shown = Ragged.slices(self.train.values, self.train.offsets[users], stops)
            targets = -membership(shown, len(self.writer.table.lengths))[:, 1:].astype(np.float16)
            targets[np.arange(len(answers)), answers - 1] = 1
            return np.empty((len(answers), 0), dtype=np.int64), targets
        others = draw_distractors(self.consumed, users, answers, self.m - 1, rng, self.writer.table.canonical)
        rows = np.concatenate([answers[:, None], others], axis=1)
        order = rng.permuted(np.tile(np.arange(self.m), (len(rows), 1)), axis=1)
        return np.take_along_axis(rows, order, 1), (order == 0).astype(np.float32)


def shortest_for_ta(config: DistillConfig) -> int:
    """Items that a sequence needs for temporal analysis: the worked example, one of history, the gap and the last."""
    return config.a + 3


def check_lengths(train: Ragged, config: DistillConfig) -> None:
    """Raise KitError where the training sequences are too short for what stage 1 is set to do."""
    longest, needed = max(train.lengths, default=0), shortest_for_ta(config)
    if config.weight_ta and longest < needed:
        raise KitError(
            f"temporal analysis needs a training sequence of {needed} items (distill.a={config.a} and three), and the "
            f"longest has {longest}; set distill.weight_ta=0"
            + (f", or distill.a={longest - 3}" if longest >= 6 else "")
        )


def final_prompt(
    writer: PromptWriter,
    history: np.ndarray,
    candidates: np.ndarray,
    shown: int,
    k: int,
    favourites: Sequence[int] = (),
    text: str | None = None,
) -> Prompt:
    """The prompt that asks for the next item, listing the last ``shown`` titles of the history, with ``text`` in the
    place of P, and ``favourites`` as a recommender's suggestions, where they are given."""
    slots = {"history": history[-shown:], "candidates": candidates, "teacher": favourites}
    return writer.write("final", slots, k, text)


def teacher_targets(scores: np.ndarray, config: DistillConfig) -> np.ndarray:
    """(n, m) distributions that RPS trains towards, from the teacher's scores (n, m)."""
    if config.rps == "hard":
        return (np.arange(scores.shape[1]) == scores.argmax(1)[:, None]).astype(np.float32)
    shifted = (scores - scores.max(1, keepdims=True)) / config.temperature
    weights = np.exp(shifted)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
