"""Items that no training has seen (``data.cold_items``): every row ranks them, and one rule says whom to trust where.

Three protocols have the same rows. ``cold``: among cold items; ``mixed``: cold and warm ones of like popularity, for
answers of both kinds; ``warm``: the run's candidate sets. The rule (``by_exposure``) is fitted once a row, on
validation cases of all three. Rows without a language model: content, and what titles say of popularity and of the
teacher's items.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from delrec_kit.data import answer_index
from delrec_kit.data.cold import COLD, MIXED, PARTS
from delrec_kit.evaluation import Fusion, by_exposure, compare, slice_table, write_comparison
from delrec_kit.llm import LlmRecommender, popularity_prior
from delrec_kit.run.directory import write_json
from delrec_kit.settings.methods import TRUSTED, alike
from delrec_kit.settings.streams import stream
from delrec_kit.study.protocols import CANDIDATES, Ranked, ranked, score_sets
from delrec_kit.study.scores import with_popularity
from delrec_kit.study.study import Study
from delrec_kit.teachers import (
    Content,
    Counted,
    LogShare,
    Markov,
    Popularity,
    Scorer,
    knowing_more,
    popularity_from_titles,
)

WARM = "warm"
CONTENT, POPULARITY = "content", "popularity"
SIMPLE = [POPULARITY + TRUSTED, CONTENT + TRUSTED]  # the rule without a language model
Scores = dict[str, dict[str, np.ndarray]]  # protocol -> part (valid, test) -> (1, U, m)


@dataclass(frozen=True)
class Unseen:
    """vectors (N+M+1, d): of the titles of all items, those that nobody has trained on behind the others."""

    study: Study
    vectors: np.ndarray

    @cached_property
    def counts(self) -> np.ndarray:
        """(N+M+1,) training choices."""
        return np.bincount(self.study.data.split.train.values, minlength=len(self.vectors))

    @cached_property
    def expected(self) -> np.ndarray:
        """(N+M+1,) training choices, and of cold items those that their titles make one expect."""
        return popularity_from_titles(self.counts[: self.study.data.split.n_items + 1], self.vectors)

    @cached_property
    def sets(self) -> dict[str, dict[str, Ranked]]:
        """protocol -> part -> what is ranked; of validation only cases that stopped no training."""
        study, found = self.study, {WARM: {part: ranked(self.study, part, CANDIDATES) for part in PARTS}}
        found[WARM]["test"] = replace(
            found[WARM]["test"], items=found[WARM]["test"].items[:1], teacher=found[WARM]["test"].teacher[:1]
        )
        stopping = study.data.split.valid.user[study.stopping]
        for protocol in (COLD, MIXED):
            found[protocol] = {}
            for part, (cases, items) in study.data.cold.sets[protocol].items():
                if part == "valid" and protocol == MIXED:  # both kinds of answers, else one would be left too often
                    rows = np.flatnonzero(~np.isin(cases.user, stopping))
                    cases, items = cases.take(rows), items[rows]
                found[protocol][part] = Ranked(cases, items[None], np.zeros((1, *items.shape), np.float32))
        return found

    @cached_property
    def simple(self) -> dict[str, Scorer]:
        """The rows that need no language model; content reads as many titles as do best on validation."""
        split, valid = self.study.data.split, self.sets[COLD]["valid"]
        whole = replace(split, titles=[*split.titles, *self.study.data.cold.titles])
        known, more = self.counts[: split.n_items + 1], len(self.study.data.cold)
        answer = answer_index(valid.items[0], valid.cases.target)
        return {
            POPULARITY: Popularity(whole),
            "popularity_from_titles": Counted(self.expected),
            "markov": Markov(whole),
            "teacher": knowing_more(self.study.teacher, None, known, more),
            "teacher_from_titles": knowing_more(self.study.teacher, self.vectors, known, more),
            CONTENT: Content.chosen(self.vectors, valid.cases, valid.items[0], answer),
        }

    def scores(self, recommender: LlmRecommender, warm: dict[str, np.ndarray]) -> Scores:
        """Of a language model that is told the titles of all items. warm: part -> (D, U, m) what it has said of the
        run's candidate sets; it is asked for the same parts."""
        found = {WARM: {part: scores[:1] for part, scores in warm.items()}}
        recommender = self.beyond(recommender)
        for protocol in (COLD, MIXED):
            of = self.sets[protocol]
            found[protocol] = {part: score_sets(recommender, of[part].cases, {"": of[part].items})[""] for part in warm}
        return found

    def beyond(self, recommender: LlmRecommender) -> LlmRecommender:
        """The recommender, who can also score cold items; a prior speaks of these as their titles make one expect."""
        split, writer = self.study.data.split, self.study.writer(recommender.llm, recommender.writer.templates, True)
        told = replace(recommender, writer=writer)
        if recommender.prior is None:
            return told
        share = np.log((self.expected[split.n_items + 1 :] + 1) / (len(split.train.values) + split.n_items))
        known = popularity_prior(split.train, recommender.writer.table.canonical)
        return with_popularity(self.study, told, np.concatenate([known, share.astype(np.float32)]))

    def evaluate(self, ours: dict[str, Scores], folder: Path) -> None:
        """Compare all rows under each protocol, in a folder each."""
        rows = {name: self._of(scorer) for name, scorer in self.simple.items()} | ours
        trusted, weights = self._trusted(rows)
        pairs = _pairs(list(ours), list(trusted))
        for protocol, parts in self.sets.items():
            sets, split = parts["test"], self.study.data.split
            scores = {name: of[protocol]["test"] for name, of in (rows | trusted).items()}
            if protocol in self.study.data.cold.oracle:
                scores["oracle"] = self.study.data.cold.oracle[protocol][None]
            luck = stream(self.study.run.config.seed, f"order of ties, {protocol}").random(sets.items.shape)
            ranks = {name: sets.ranks(_places(values, luck)) for name, values in scores.items()}
            users = [split.user_keys[u] for u in sets.cases.user]
            seed, m = self.study.run.config.seed, sets.items.shape[2]
            to = folder / protocol
            write_comparison(to, compare(ranks, protocol=protocol, m=m, seed=seed, pairs=pairs), ranks, users)
            first = {name: list(values[0]) for name, values in scores.items()}
            pd.DataFrame({"user": users, "cold": sets.cases.target > split.n_items, **first}).to_parquet(
                to / "scores.parquet", index=False
            )
            trains = split.train.lengths[sets.cases.user] > 0
            choices = self.counts[sets.cases.target]
            slices = slice_table(ranks, sets.cases.history.lengths, choices, trains, seed=seed)
            slices.to_csv(to / "slices.csv", index=False)
        write_json(folder / COLD / "fusion.json", weights)

    def _of(self, scorer: Scorer) -> Scores:
        return {
            protocol: {part: scorer.scores(sets.cases, sets.items[0])[None] for part, sets in parts.items()}
            for protocol, parts in self.sets.items()
        }

    def _trusted(self, rows: dict[str, Scores]) -> tuple[dict[str, Scores], dict]:
        """Each row of ``rows`` that validated, content and popularity among them, weighed with the teacher and
        popularity by how often an item was seen."""
        n = self.study.data.split.n_items
        teacher = self._of(LogShare(self.simple["teacher_from_titles"], n))
        popular = self._of(Counted(np.log(self.expected + 1)))
        asked = {POPULARITY: [], **{name: [of] for name, of in rows.items() if name not in self.simple}}
        asked[CONTENT] = [rows[CONTENT]]
        asked = {name: of for name, of in asked.items() if all("valid" in each[COLD] for each in of)}
        found, weights = {}, {}
        for name, of in asked.items():
            parts = {
                (protocol, part): by_exposure(
                    [
                        *(log_softmax(each[protocol][part][0].astype(np.float64), axis=1) for each in of),
                        *(each[protocol][part][0] for each in (teacher, popular)),
                    ],
                    self.counts[sets.items[0]],
                )
                for protocol, both in self.sets.items()
                for part, sets in both.items()
            }
            answers = [sets["valid"].place[0] for sets in self.sets.values()]
            known = [parts[protocol, "valid"] for protocol in self.sets]
            fusion = Fusion.fit(np.concatenate(known), np.concatenate(answers))
            found[name + TRUSTED] = {
                protocol: {"test": fusion.scores(parts[protocol, "test"])[None]} for protocol in self.sets
            }
            weights[name + TRUSTED] = {"weights": fusion.weights.tolist(), "spread": fusion.spread.tolist()}
        return found, weights


def _places(scores: np.ndarray, luck: np.ndarray) -> np.ndarray:
    """(…, m) places of the scores, 0 the worst, ties in random order: a row that knows nothing ties all, and its
    expected rank of 8 among 15 would be a hit at 10 for everybody."""
    return np.lexsort((luck, scores)).argsort(axis=-1).astype(np.float32)


def _pairs(ours: list[str], trusted: list[str]) -> list[tuple[str, str]]:
    """What each row is compared with: what needs no language model, and what it is made of."""
    made = [("delrec", "llm_finetuned"), ("delrec", "llm_distilled_prompt"), ("llm_distilled_prompt", "llm_zero_shot")]
    pairs = [(name, CONTENT) for name in ours] + alike([*made, ("llm_distilled_prompt", "teacher_from_titles")])
    pairs += [(name, simple) for name in trusted for simple in SIMPLE if name not in SIMPLE]
    return pairs + [(name, name.removesuffix(TRUSTED)) for name in trusted]
