"""What the prompt of a method shows, and the examples that its adapter learns from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from delrec_kit.llm import Prompt, PromptWriter
from delrec_kit.settings.config import DistillConfig
from delrec_kit.settings.methods import DESCRIPTION, Method
from delrec_kit.training.examples import Examples, ExampleWriter, final_prompt
from delrec_kit.training.expectations import knowing


@dataclass(frozen=True)
class Ask:
    """How a method asks for the next item. shown: titles of the history that a prompt lists; k: soft tokens, used where
    the method has P; listed: whether the prompt lists the candidates."""

    method: Method
    shown: int
    k: int
    listed: bool = True

    def prompts(
        self,
        writer: PromptWriter,
        histories: Sequence[np.ndarray],
        candidates: np.ndarray,
        favourites: np.ndarray,
        states: np.ndarray | None = None,
    ) -> list[Prompt]:
        """One prompt a row of candidates (U, m); favourites (U, h): the teacher's first items; states (U, d): what it
        expects, for a method with a conditioned P."""
        soft = self.k if self.method.soft else 0
        text = DESCRIPTION if self.method.prompt == "described" else None
        shows = self.method.prompt == "teacher"
        prompts = [
            final_prompt(writer, history, row if self.listed else (), self.shown, soft, first if shows else (), text)
            for history, row, first in zip(histories, candidates, favourites, strict=True)
        ]
        return knowing(prompts, states) if soft and states is not None else prompts


@dataclass(frozen=True)
class Lessons:
    """Draws a method's examples. lists: the teacher's distillation table; distill: settings of the two tasks."""

    examples: ExampleWriter
    lists: pd.DataFrame
    distill: DistillConfig
    seed: int

    def of(self, method: Method, labels: int) -> Examples:
        """``labels`` true next items, and ``distill.examples`` of each task of stage 1, as far as the method learns
        from them; all in one set, for all are distributions over a prompt's candidates."""
        config = self.distill.model_copy(update={"k": self.distill.k if method.soft else 0})
        made = []
        if "ta" in method.lessons and config.weight_ta:
            made.append(self.examples.temporal_analysis(config.examples, config, self.seed))
        if "rps" in method.lessons and config.weight_rps:
            made.append(self.examples.pattern_simulating(self.lists, config.examples, config, self.seed))
        if "next_item" in method.lessons:
            made.append(self._next_item(method, labels, config.k))
        return Examples.joined(made)

    def _next_item(self, method: Method, labels: int, k: int) -> Examples:
        """With the teacher's items in the prompt, from the prefixes that it has labelled without seeing the user."""
        if method.prompt != "teacher":
            return self.examples.next_item(labels, k, self.seed)
        train, lists = self.examples.train, self.lists
        lists = lists[lists["length"].to_numpy() < train.lengths[lists["user"].to_numpy()]]
        rows = np.random.default_rng(self.seed).permutation(len(lists))[:labels]
        chosen = lists.iloc[np.sort(rows)]
        favourites = np.stack(chosen["top_items"])[:, : self.distill.h]
        users, stops = chosen["user"].to_numpy(), chosen["length"].to_numpy() + 1
        return self.examples.next_item(labels, k, self.seed, (users, stops), favourites)
