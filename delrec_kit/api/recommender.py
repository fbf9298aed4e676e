"""A trained recommender: lists for everybody, rankings of given items, explanations."""

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from delrec_kit.api.dataset import Dataset, check_given
from delrec_kit.data import Cases, Ragged
from delrec_kit.llm import LlmRecommender
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.methods import method_of
from delrec_kit.settings.streams import stream
from delrec_kit.study.explain import explain_user, row_to_ask
from delrec_kit.study.people import People, items_by_id, people_of, users_of, whole_ids
from delrec_kit.study.recommend import recommend_to
from delrec_kit.study.study import Study


class Page(str):
    """A web page that needs no server; a notebook shows it."""

    def _repr_html_(self) -> str:
        return str(self)

    def save(self, path: str | Path) -> None:
        """Write it as HTML."""
        Path(path).write_text(self, encoding="utf-8")


class Recommender:
    """A row of a run with a language model, by default DELRec. The model is loaded when it is first asked."""

    def __init__(self, dataset: Dataset, method: str | None = None):
        """Raises KitError for a method that the run does not have, or has not trained."""
        check_given(dataset, Dataset, "dk.Recommender(dataset), or dk.Recommender.load(run_dir)")
        self.dataset = dataset
        self.method = row_to_ask(self._study, method)
        dataset.run.require("adapter" if method_of(self.method).learns_from else "prompt")

    @classmethod
    def load(cls, run_dir: str | Path, method: str | None = None) -> "Recommender":
        """Of a run directory, whether ``save``, ``finetune`` or the command line made it. Raises KitError where stages
        are missing."""
        return cls(Dataset.open(run_dir), method)

    def save(self, folder: str | Path) -> None:
        """Copy the run to ``folder``, which must not be there: data, teacher, P and adapter, but not the language
        model, which is found by its name again. (``python -m delrec_kit export`` writes one checkpoint with all.)"""
        to = Path(folder).expanduser().resolve()
        if to.exists():
            raise KitError(f"{to} is there already; name another folder")
        draft = to.with_name(f".{to.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(self.dataset.run.path, draft, ignore=shutil.ignore_patterns(".*"))
        os.replace(draft, to)

    def recommend(self, users: Any = None, k: int = 10) -> pd.DataFrame:
        """The first k items for each user, of those that the user has not had.

        The teacher proposes its first max(m, k) items of the whole catalogue (m: ``data.candidates``), the language
        model ranks them. A user's history is all that is known, test target included: what is asked for is the future.

        Args:
            users: None for all, an id, several ids, or a DataFrame with the histories of other people: a row an item
                that somebody had, user and item (or title), oldest first or with timestamp.
            k: items a user at most.

        Returns:
            user, rank (1…k), item, title, score (nats; higher is better), teacher_rank (among all that the user has not
            had). Whoever has no history, or had the whole catalogue, has no rows. Ids are the caller's.

        Raises:
            KitError: for an unknown user, item or title, naming the nearest; for a k that is no whole number from 1 on.
        """
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise KitError(f"k={k!r} must be a whole number, at least 1")
        self.dataset.check_frames()
        brought = isinstance(users, pd.DataFrame)
        if brought:
            users = whole_ids(users, "histories")
        people = self._people(users)
        table = recommend_to(self._study, self._asked, people, k)
        whole = brought and pd.api.types.is_integer_dtype(users["user"])
        user = table["user"] if brought else self._as_given(table["user"], "user")
        return table.assign(user=user.astype(np.int64) if whole else user, item=self._as_given(table["item"], "item"))

    def rank(self, history: Sequence[Any], candidates: Sequence[Any]) -> pd.DataFrame:
        """Candidates for one person, best first.

        Args:
            history: ids of what the person had, oldest first; may be empty.
            candidates: ids of different items to rank.

        Returns:
            rank, item, title, score (nats), teacher_rank (among the candidates).

        Raises:
            KitError: for an unknown item, naming the nearest, or no candidate.
        """
        self.dataset.check_frames()
        split = self._study.data.split
        for ids, what in ((history, "history"), (candidates, "candidates")):
            if isinstance(ids, str) or not isinstance(ids, Iterable):
                raise KitError(f"{what} must be several ids, not {ids!r}")
        past, items = (
            items_by_id(split, [str(key) for key in ids], what)
            for ids, what in ((history, "history"), (candidates, "candidates"))
        )
        if not len(items) or len(set(items.tolist())) < len(items):
            raise KitError("candidates must be different items, at least one")
        person = Cases.of_histories(Ragged.from_lists([past]))
        seed = self.dataset.run.config.seed
        listed = stream(seed, f"order of candidates after {past.tolist()}").permutation(len(items))
        scores = np.empty(len(items), dtype=np.float32)
        scores[listed] = self._asked.scores(person, items[listed][None])[0]
        teacher = self._study.teacher.scores(person, items[None])[0]
        order = np.argsort(-scores, kind="stable")
        return pd.DataFrame(
            {
                "rank": np.arange(1, len(order) + 1),
                "item": self._as_given([split.item_keys[i] for i in items[order]], "item"),
                "title": [split.titles[i] for i in items[order]],
                "score": scores[order],
                "teacher_rank": (np.argsort(np.argsort(-teacher, kind="stable")) + 1)[order],
            }
        )

    def explain(self, user: Any) -> Page:
        """What was chosen for one user of the test and why, as a web page. Raises KitError for a user who is not
        tested."""
        return Page(explain_user(self.dataset.run, str(user), self.method)[0].html())

    def __repr__(self) -> str:
        return f"Recommender({self.method}, in {self.dataset.run.path})"

    @cached_property
    def _study(self) -> Study:
        return Study(self.dataset.run)

    @cached_property
    def _asked(self) -> LlmRecommender:
        return replace(self._study.recommender(self.method), name="")

    def _as_given(self, keys: Any, column: str) -> pd.Series:
        return self.dataset.as_given(keys, column)

    def _people(self, users: Any) -> People:
        if isinstance(users, pd.DataFrame):
            return people_of(self._study, users)
        if users is None:
            return users_of(self._study)
        several = isinstance(users, Iterable) and not isinstance(users, str)
        asked = whole_ids(pd.DataFrame({"user": list(users) if several else [users]}), "users")
        return users_of(self._study, [str(user) for user in asked["user"]])
