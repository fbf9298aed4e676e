"""The comparison of a run: every method on the same test cases, under one to three protocols.

``candidates``: the answer among m listed items, the paper's. ``rerank``: the teacher's first N of the whole catalogue,
nothing put in by hand; an answer that is not among them is missed by all, and the row ``ceiling`` says how many are.
``full``: the whole catalogue without the history, for some users, by prompts that list no candidates.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.evaluation import (
    PAIRS,
    Fusion,
    compare,
    context,
    expected_ranks,
    full_ranks,
    slice_table,
    write_comparison,
)
from delrec_kit.interpret import agreement_table, attention_mass
from delrec_kit.methods import FUSED, GATED, METHODS
from delrec_kit.runs import RunDirectory, read_json, write_json
from delrec_kit.teachers import Markov, Popularity
from delrec_kit.workbench import Workbench

Scores = dict[str, dict[str, np.ndarray]]  # method -> part (valid, test) -> (U, m)
ENDINGS = {"weight": [(FUSED, False)], "gate": [(FUSED, False), (GATED, True)]}
MEASURED = "llm_distilled_prompt"  # whose attention is kept


def evaluate(bench: Workbench, folder: Path) -> None:
    """Score, compare, and write the evaluation folder of a run."""
    config = bench.run.config
    protocols = ["candidates", *(["rerank"] if config.evaluation.rerank else [])]
    ours = _llm_scores(bench, folder, protocols)
    for protocol in protocols:
        _compare(bench, protocol, ours[protocol], folder if protocol == "candidates" else folder / protocol)
    if config.evaluation.full_users:
        _compare_full(bench, ours["full"], folder / "full")
    costs(bench.run).to_csv(folder / "costs.csv", index=False)


def costs(run: RunDirectory) -> pd.DataFrame:
    """What each method of the language model learned, so that a comparison can be fair: method, prompt, trainable
    (numbers that learned, P's included), teacher_examples (labelled by the teacher or masked), true_labels."""
    prompt, rows = read_json(run.require("prompt") / "metrics.json"), []
    taught = sum(prompt["examples"].values())
    for name in (*run.config.evaluation.methods, *run.config.finetune.methods):
        method = METHODS[name]
        distilled = method.prompt == "distilled"
        own = read_json(run.folder("adapter") / name / "metrics.json") if method.lessons else {}
        labels = own.get("true_labels", 0)
        rows.append(
            {
                "method": name,
                "prompt": method.prompt,
                "trainable": own.get("trainable", 0) + prompt["trainable"] * distilled,
                "teacher_examples": own.get("examples", 0) - labels + taught * distilled,
                "true_labels": labels,
            }
        )
    return pd.DataFrame(rows)


def _llm_scores(bench: Workbench, folder: Path, protocols: list[str]) -> dict[str, Scores]:
    """Scores by protocol, of the methods with an adapter also of the validation cases; the attention of the distilled
    P on the way."""
    config, scores = bench.run.config, {protocol: {} for protocol in (*protocols, "full")}
    frozen = None
    for name in (*config.evaluation.methods, *config.finetune.methods):
        adapted = bool(METHODS[name].lessons)
        if adapted or frozen is None:
            llm, writer, soft = bench.open_method(name)
            frozen = None if adapted else llm
        else:  # the same frozen model, with another P
            soft = bench.soft_prompt(METHODS[name], llm)
        parts = ("test", "valid") if adapted and config.evaluation.fuse != "none" else ("test",)
        for protocol in protocols:
            if adapted or protocol == "candidates":
                scores[protocol][name] = {part: bench.score(llm, writer, soft, name, part, protocol) for part in parts}
        if adapted and config.evaluation.full_users:
            scores["full"][name] = {"test": bench.score_catalogue(llm, writer, soft, name)}
        if name == MEASURED:
            looked = slice(config.evaluation.attention_users)
            prompts = bench.prompts(writer, METHODS[name], "test", rows=looked)
            attention_mass(llm, writer, prompts, bench.data.test_candidates[looked], soft).to_csv(
                folder / "attention.csv", index=False
            )
    return scores


def _compare(bench: Workbench, protocol: str, ours: Scores, folder: Path) -> None:
    config, split = bench.run.config, bench.data.split
    cases, items, teacher = bench.ranked("test", protocol)
    scores = bench.baselines() if protocol == "candidates" else {"teacher": teacher}
    scores |= {name: of["test"] for name, of in ours.items()}
    fused, weights = _fused(bench, protocol, ours)
    scores |= fused
    if protocol == "candidates" and bench.data.oracle is not None:
        scores["oracle"] = bench.data.oracle
    place = places(items, cases.target)
    ranks = {method: _ranks(values, place) for method, values in scores.items()}
    if protocol == "rerank":
        ranks["ceiling"] = np.where(place >= 0, 1.0, np.inf)
    users = [split.user_keys[u] for u in cases.user]
    folder.mkdir(exist_ok=True)
    pd.DataFrame({"user": users, **{method: list(v) for method, v in scores.items()}}).to_parquet(
        folder / "scores.parquet", index=False
    )
    settings = {"seed": config.seed, "resamples": config.evaluation.resamples}
    pairs = [*PAIRS, *((name, "teacher") for name in fused)]
    comparison = compare(ranks, protocol=protocol, m=items.shape[1], pairs=pairs, **settings)
    write_comparison(folder, comparison, ranks, users)
    write_json(folder / "fusion.json", weights)
    counts = np.bincount(split.train.values, minlength=split.n_items + 1)
    trains = split.train.lengths[cases.user] > 0
    slice_table(ranks, cases.history.lengths, counts[cases.target], trains, **settings).to_csv(
        folder / "slices.csv", index=False
    )
    if protocol == "candidates":
        agreement_table({name: scores[name] for name in ours}, teacher, config.distill.h, **settings).to_csv(
            folder / "agreement.csv", index=False
        )


def _compare_full(bench: Workbench, ours: Scores, folder: Path) -> None:
    config, split = bench.run.config, bench.data.split
    cases = split.test.take(np.arange(min(config.evaluation.full_users, len(split.test))))
    scorers = {"popularity": Popularity(split), "markov": Markov(split), "teacher": bench.teacher()}
    scores = {name: scorer.scores(cases.history) for name, scorer in scorers.items()}
    scores |= {name: of["test"] for name, of in ours.items()}
    ranks = {name: full_ranks(values, cases.target, cases.history) for name, values in scores.items()}
    comparison = compare(
        ranks, protocol="full", m=split.n_items, seed=config.seed, resamples=config.evaluation.resamples
    )
    write_comparison(folder, comparison, ranks, [split.user_keys[u] for u in cases.user])


def _fused(bench: Workbench, protocol: str, ours: Scores) -> tuple[dict[str, np.ndarray], dict]:
    """Each adapted method with the teacher, weighed on validation cases whose answer is listed; the weights."""
    split, scores, told = bench.data.split, {}, {}
    counts = np.bincount(split.train.values, minlength=split.n_items + 1)
    cases, items, teacher = (dict(zip(("valid", "test"), both)) for both in zip(
        bench.ranked("valid", protocol), bench.ranked("test", protocol)
    ))  # fmt: skip
    about = {part: context(cases[part].history.lengths, items[part], counts) for part in cases}
    answer = places(items["valid"], cases["valid"].target)
    listed = answer >= 0
    for name, of in ours.items():
        if "valid" not in of or not listed.any():
            continue
        for ending, gated in ENDINGS[bench.run.config.evaluation.fuse]:
            seen = (of["valid"][listed], teacher["valid"][listed], answer[listed], about["valid"][listed])
            fusion = Fusion.fit(*seen, gated)
            scores[name + ending] = fusion.scores(of["test"], teacher["test"], about["test"])
            told[name + ending] = {"share_of_llm": fusion.share, "weights": fusion.weights.tolist()}
    return scores, told


def places(items: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(U,) column of each target in items (U, m), -1 where it is not there."""
    found = items == target[:, None]
    return np.where(found.any(axis=1), found.argmax(axis=1), -1)


def _ranks(scores: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(U,) expected ranks; infinite, so that every metric is 0, where the answer is not listed."""
    ranks = np.full(len(place), np.inf)
    listed = place >= 0
    ranks[listed] = expected_ranks(scores[listed], place[listed])
    return ranks
