"""05a: every row of the comparison on the same test cases, under the protocols that the settings ask for."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.evaluation import (
    PAIRS,
    Fusion,
    compare,
    context,
    features,
    full_ranks,
    gap_table,
    per_user,
    slice_table,
    write_comparison,
)
from delrec_kit.interpret import agreement_table
from delrec_kit.llm import LlmRecommender
from delrec_kit.run.directory import write_json
from delrec_kit.settings.methods import DISTILLED, FUSED, GATED, METHODS, base_of
from delrec_kit.study.controls import controls, sentence_vectors
from delrec_kit.study.costs import costs_table
from delrec_kit.study.protocols import CANDIDATES, RERANK, Ranked, number, protocols, ranked, reordered, score_sets
from delrec_kit.study.scores import CALIBRATION
from delrec_kit.study.study import Study
from delrec_kit.study.unseen import Unseen
from delrec_kit.teachers import Scorer

Scores = dict[str, dict[str, np.ndarray]]  # method -> part (valid, test) -> (D, U, m)
RESAMPLES = 2000
TEACHER_GATED = "teacher_gated"
ENDINGS = {"none": [], "weight": [(FUSED, False)], "gate": [(FUSED, False), (GATED, True)]}
SPREAD = ("HR@1", "NDCG@5")
BASELINES = ("popularity", "markov", "content_popularity", "map_popularity")  # that what is weighed is set against
START = "llm_untrained_prompt"  # from which the gap to the oracle is measured


def evaluate(study: Study, folder: Path) -> None:
    """Score, compare, and write the evaluation folder of a run."""
    sets = {name: {part: ranked(study, part, name) for part in ("valid", "test")} for name in protocols(study)}
    scores: dict[str, Scores] = {protocol: {} for protocol in (*sets, "full")}
    orders, last, unseen, beyond, weights, simple = [], None, None, {}, {}, {}
    for name in study.rows():
        last = study.recommender(name, like=last if last and not METHODS[last.name].learns_from else None)
        if not simple:
            vectors = sentence_vectors(study, last)
            simple = {**study.baselines, **controls(study, last, vectors)}
            unseen = Unseen(study, vectors) if study.data.cold is not None else None
        _score(study, last, sets, scores)
        if last.weights:
            weights[name] = last.weights
        if unseen:
            beyond[name] = unseen.scores(last, scores[CANDIDATES][name])
        if number(study, "orders") and last.llm.lists:
            orders.append(_order_table(study, last, sets[CANDIDATES]["test"]))
    for protocol, parts in sets.items():
        own = folder if protocol == CANDIDATES else folder / protocol
        _compare(study, Protocol(protocol, parts, simple), scores[protocol], own)
    if scores["full"]:
        _compare_full(study, scores["full"], simple, folder / "full")
    if unseen:
        unseen.evaluate(beyond, folder)
    if orders:
        pd.concat(orders).to_csv(folder / "orders.csv", index=False)
    if weights:
        write_json(folder / CALIBRATION, weights)
    costs_table(study.run).to_csv(folder / "costs.csv", index=False)


def _score(study: Study, recommender: LlmRecommender, sets: dict[str, dict[str, Ranked]], scores: dict) -> None:
    """Add the recommender's scores to ``scores``: of the test cases, and where it is weighed with the teacher and left
    to rerank what that proposes, of the validation cases too."""
    name, config = recommender.name, study.run.config.evaluation
    weighed = bool(METHODS[name].learns_from) or base_of(name) == DISTILLED
    wanted = {protocol: parts for protocol, parts in sets.items() if weighed or protocol != RERANK}
    shared = {protocol: parts for protocol, parts in wanted.items() if not protocol.startswith("last-")}
    for part in ("valid", "test") if weighed and config.fuse != "none" else ("test",):
        for group in (shared, *({protocol: wanted[protocol]} for protocol in wanted if protocol not in shared)):
            items = {protocol: parts[part].items for protocol, parts in group.items()}
            for protocol, table in score_sets(recommender, next(iter(group.values()))[part].cases, items).items():
                scores[protocol].setdefault(name, {})[part] = table
    if weighed and number(study, "full"):
        scores["full"][name] = {"test": recommender.scores(_first_cases(study))}


@dataclass(frozen=True)
class Protocol:
    """name; parts: what is ranked of the valid and the test cases; simple: the rows that need no language model."""

    name: str
    parts: dict[str, Ranked]
    simple: dict[str, Scorer]

    def scores(self, row: str, part: str) -> np.ndarray:
        """(D, U, m) of a row that needs no language model."""
        sets = self.parts[part]
        return score_sets(self.simple[row], sets.cases, {"": sets.items})[""]


def _compare(study: Study, asked: Protocol, ours: Scores, folder: Path) -> None:
    config, split, sets, protocol = study.run.config, study.data.split, asked.parts["test"], asked.name
    counted = {name: asked.scores(name, "test") for name in asked.simple}
    scores = {**counted, "teacher": sets.teacher, **{name: of["test"] for name, of in ours.items()}}
    fused, weights = _fused(study, asked, ours, counted)
    scores |= fused
    ranks = {method: sets.ranks(values) for method, values in scores.items()}
    if protocol == CANDIDATES and study.data.oracle is not None:
        scores["oracle"] = study.data.oracle[None]
        ranks["oracle"] = Ranked(sets.cases, sets.items[:1], sets.teacher[:1]).ranks(scores["oracle"])
    if protocol == RERANK:
        ranks["ceiling"] = np.where(sets.place[0] >= 0, 1.0, np.inf)
    users = [split.user_keys[u] for u in sets.cases.user]
    folder.mkdir(exist_ok=True)
    first = {method: list(values[0]) for method, values in scores.items()}
    pd.DataFrame({"user": users, **first}).to_parquet(folder / "scores.parquet", index=False)
    pairs = [*PAIRS, *((name, "teacher") for name in fused)]
    pairs += [(name, TEACHER_GATED) for name in fused if name.endswith(GATED)]
    pairs += [(name + FUSED, simple + FUSED) for name in ours for simple in BASELINES if name + FUSED in fused]
    comparison = compare(ranks, protocol=protocol, m=sets.items.shape[2], pairs=pairs, seed=config.seed)
    write_comparison(folder, comparison, ranks, users)
    write_json(folder / "fusion.json", weights)
    counts = np.bincount(split.train.values, minlength=split.n_items + 1)
    trains = split.train.lengths[sets.cases.user] > 0
    slices = slice_table(ranks, sets.cases.history.lengths, counts[sets.cases.target], trains, seed=config.seed)
    slices.to_csv(folder / "slices.csv", index=False)
    start = next((name for name in ranks if base_of(name) == START), None)
    if "oracle" in ranks and study.data.patterns is not None and start:
        one_draw = {method: each[:, 0] if each.ndim == 2 else each for method, each in ranks.items()}
        gap_table(one_draw, study.data.patterns, start, seed=config.seed).to_csv(folder / "gap.csv", index=False)
    if len(sets.items) > 1:
        draw_table(ranks).to_csv(folder / "draws.csv", index=False)
    if protocol == CANDIDATES:
        alone = {"popularity": np.log(np.maximum(scores["popularity"][0], 1e-6))}  # what the prior alone would say
        alone |= {name: scores[name][0] for name in ours}
        agreement = agreement_table(alone, sets.teacher[0], config.distill.h, RESAMPLES, config.seed)
        agreement.to_csv(folder / "agreement.csv", index=False)


def _fused(
    study: Study, asked: Protocol, ours: Scores, counted: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict]:
    """Scores of every row of ours weighed with the teacher on validation cases whose answer is listed, and the weights.

    Beside them stands what needs no language model (``counted``: its scores of the test cases), weighed in the same
    way, and the gate alone.
    """
    split, parts, scores, weights = study.data.split, asked.parts, {}, {}
    valid, test, endings = parts["valid"], parts["test"], ENDINGS[study.run.config.evaluation.fuse]
    listed = valid.place[0] >= 0
    if not endings or not listed.any():
        return {}, {}
    counts = np.bincount(split.train.values, minlength=split.n_items + 1)
    about = {
        part: np.stack([context(sets.cases.history.lengths, items, counts) for items in sets.items])
        for part, sets in parts.items()
    }
    nothing = {part: np.zeros_like(sets.teacher) for part, sets in parts.items()}
    plain = [(ending, gated) for ending, gated in endings if not gated]
    once = 1 / max(1, len(split.train.values))  # as if each item had been chosen once more; ``llm.prior`` counts so too
    rows = []
    for name, on_test in [(name, counted[name]) for name in BASELINES]:
        both = {"valid": asked.scores(name, "valid"), "test": on_test}
        if name in study.baselines:  # shares, which are compared by their logs
            both = {part: np.log(of + once) for part, of in both.items()}
        rows.append((name, both, plain))
    rows += [(TEACHER_GATED, nothing, [("", gated) for _, gated in endings if gated])]
    rows += [(name, of, endings if "valid" in of else []) for name, of in ours.items()]
    for name, of, asked in rows:
        for ending, gated in asked:
            known = (table[0][listed] for table in (of["valid"], valid.teacher, about["valid"]))
            fusion = Fusion.fit(features(*known, gated), valid.place[0][listed])
            each = zip(of["test"], test.teacher, about["test"], strict=True)
            scores[name + ending] = np.stack([fusion.scores(features(*draw, gated)) for draw in each])
            weights[name + ending] = {"share": fusion.share, "weights": fusion.weights.tolist()}
    return scores, weights


def _first_cases(study: Study):
    """The test cases for which the whole catalogue is ranked."""
    test = study.data.split.test
    return test.take(np.arange(min(number(study, "full"), len(test))))


def _compare_full(study: Study, ours: Scores, simple: dict[str, Scorer], folder: Path) -> None:
    cases, split = _first_cases(study), study.data.split
    scorers = {**simple, "teacher": study.teacher}
    scores = {name: scorer.scores(cases) for name, scorer in scorers.items()}
    scores |= {name: of["test"] for name, of in ours.items()}
    ranks = {name: full_ranks(values, cases.target, cases.history) for name, values in scores.items()}
    comparison = compare(ranks, protocol="full", m=split.n_items, seed=study.run.config.seed)
    write_comparison(folder, comparison, ranks, [split.user_keys[u] for u in cases.user])


def draw_table(ranks: dict[str, np.ndarray]) -> pd.DataFrame:
    """Each draw of the distractors by itself: method, draw, metric, value; of ranks (U, D)."""
    rows = [
        (method, draw, metric, per_user(of)[metric].mean())
        for method, each in ranks.items()
        if each.ndim == 2
        for draw, of in enumerate(each.T)
        for metric in SPREAD
    ]
    return pd.DataFrame(rows, columns=["method", "draw", "metric", "value"])


def _order_table(study: Study, recommender: LlmRecommender, candidates: Ranked) -> pd.DataFrame:
    """HR@1 in each order of the same candidates, and the share of users whose first choice is not that of order 0."""
    sets = reordered(candidates, number(study, "orders"), study.run.config.seed)
    scores = score_sets(recommender, sets.cases, {"": sets.items})[""]
    first = np.take_along_axis(sets.items, scores.argmax(axis=2)[..., None], 2)[..., 0]
    hits = per_user(sets.ranks(scores).T.ravel())["HR@1"].reshape(first.shape).mean(axis=1)
    changed = (first != first[0]).mean(axis=1)
    return pd.DataFrame({"method": recommender.name, "order": range(len(first)), "HR@1": hits, "changed": changed})
