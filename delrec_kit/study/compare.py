"""The comparison of a run: every method on the same test cases, under the protocols that its settings ask for.

What is ranked is said in ``protocols``; ``full`` ranks the whole catalogue without the history, for some users, by
prompts that list no candidates.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.evaluation import (
    PAIRS,
    Fusion,
    compare,
    context,
    full_ranks,
    gap_table,
    per_user,
    slice_table,
    write_comparison,
)
from delrec_kit.interpret import agreement_table
from delrec_kit.run.directory import RunDirectory, read_json, write_json
from delrec_kit.settings.methods import DISTILLED, FUSED, GATED, METHODS
from delrec_kit.study.inside import folder_inside, look_inside, looked_into, recency
from delrec_kit.study.protocols import RERANK, Ranked, protocols, ranked, reordered
from delrec_kit.study.workbench import Workbench
from delrec_kit.teachers import scores_of

Scores = dict[str, dict[str, np.ndarray]]  # method -> part (valid, test) -> (D, U, m)
ALONE = "teacher_gated"
ENDINGS = {"weight": [(FUSED, False)], "gate": [(FUSED, False), (GATED, True)]}
PROFILED = ("llm_zero_shot", "llm_untrained_prompt", DISTILLED)  # whose recency is set beside the teacher's
SPREAD = ("HR@1", "NDCG@5")
START = "llm_untrained_prompt"  # from which the gap to the oracle is measured


def evaluate(bench: Workbench, folder: Path) -> None:
    """Score, compare, and write the evaluation folder of a run."""
    config = bench.run.config
    sets = {name: {part: ranked(bench, part, name) for part in ("valid", "test")} for name in protocols(bench)}
    ours = _llm_scores(bench, folder, sets)
    for protocol, parts in sets.items():
        _compare(bench, protocol, parts, ours[protocol], folder if protocol == "candidates" else folder / protocol)
    if config.evaluation.full_users:
        _compare_full(bench, ours["full"], folder / "full")
    costs(bench.run).to_csv(folder / "costs.csv", index=False)


def costs(run: RunDirectory) -> pd.DataFrame:
    """What each method of the language model learned and what it cost, so that a comparison can be fair.

    Returns:
        method, prompt, trainable (numbers that learned, P's included), teacher_examples (different ones, labelled by
        the teacher or masked; an adapter's are among those that P learned from), true_labels, seconds (of training,
        P's included), peak_mib (see ``Price``).
    """
    prompt, rows = read_json(run.require("prompt") / "metrics.json"), []
    read = dict(prompt["examples"])
    read["rps"] = max(read.get("rps", 0), read.pop("warm_start", 0))  # the warm start reads those of RPS, and more
    taught = sum(read.values())
    price = _price(run.folder("prompt"))
    for name in (*run.config.evaluation.methods, *run.config.finetune.methods):
        method, folder = METHODS[name], run.folder("adapter") / name
        distilled = method.prompt in ("distilled", "shuffled")
        own = read_json(folder / "metrics.json") if method.lessons else {}
        labels = own.get("true_labels", 0)
        paid = ([price] if distilled else []) + ([_price(folder)] if method.lessons else [])
        rows.append(
            {
                "method": name,
                "prompt": method.prompt,
                "trainable": own.get("trainable", 0) + prompt["trainable"] * (distilled and not method.learns_prompt),
                "teacher_examples": max(own.get("examples", 0) - labels, taught * distilled),
                "true_labels": labels,
                "seconds": sum(seconds for seconds, _ in paid),
                "peak_mib": max((mib for _, mib in paid), default=0.0),
            }
        )
    return pd.DataFrame(rows)


def _price(folder: Path) -> tuple[float, float]:
    """Seconds of a training and MiB, from its curve; none where nothing was trained."""
    curve = pd.read_csv(folder / "curve.csv")
    return (curve["seconds"].max(), curve["peak_mib"].max()) if "seconds" in curve else (0.0, 0.0)


def _llm_scores(bench: Workbench, folder: Path, sets: dict[str, dict[str, Ranked]]) -> dict[str, Scores]:
    """Scores by protocol, of the distilled P and the methods with an adapter also of the validation cases; looks
    inside, and what the order of the candidates changes, on the way."""
    config, scores = bench.run.config, {protocol: {} for protocol in (*sets, "full")}
    orders, profiles, frozen = [], [recency(bench, "teacher", partial(scores_of, bench.teacher))], None
    for name in (*config.evaluation.methods, *config.finetune.methods):
        adapted = bool(METHODS[name].lessons)
        if adapted or frozen is None:
            llm, writer, soft = bench.open_method(name)
            frozen = None if adapted else llm
        else:  # the same frozen model, with another P
            soft = bench.soft_prompt(METHODS[name], llm)
        ask = partial(bench.score, llm, writer, soft, name)
        ours = adapted or name == DISTILLED  # weighed with the teacher, and left to rerank what it proposes
        wanted = {protocol: of for protocol, of in sets.items() if ours or protocol != RERANK}
        for part in ("valid", "test") if ours and config.evaluation.fuse != "none" else ("test",):
            for protocol, table in ask(part, {name: of[part].items for name, of in wanted.items()}).items():
                scores[protocol].setdefault(name, {})[part] = table
        if config.evaluation.orders > 1:
            shuffled = reordered(sets["candidates"]["test"], config.evaluation.orders, config.seed)
            table = ask("test", {"other orders": shuffled.items})["other orders"]
            orders.append(_order_table(name, shuffled, table))
        if ours and config.evaluation.full_users:
            scores["full"][name] = {"test": bench.score_catalogue(llm, writer, soft, name)}
        if name in PROFILED:
            profiles.append(recency(bench, name, partial(bench.score_cases, llm, writer, soft, name)))
        if name in looked_into(config):
            look_inside(bench, llm, writer, soft, name, folder_inside(folder, name))
    pd.concat(profiles).to_csv(folder / "recency.csv", index=False)
    if orders:
        pd.concat(orders).to_csv(folder / "orders.csv", index=False)
    return scores


def _compare(bench: Workbench, protocol: str, parts: dict[str, Ranked], ours: Scores, folder: Path) -> None:
    config, split, sets = bench.run.config, bench.data.split, parts["test"]
    counted = {name: sets.scored_by(scorer) for name, scorer in bench.baselines.items()}
    scores = {**counted, "teacher": sets.teacher, **{name: of["test"] for name, of in ours.items()}}
    fused, weights = _fused(bench, parts, ours, counted)
    scores |= fused
    ranks = {method: sets.ranks(values) for method, values in scores.items()}
    if protocol == "candidates" and bench.data.oracle is not None:
        scores["oracle"] = bench.data.oracle[None]
        ranks["oracle"] = Ranked(sets.cases, sets.items[:1], sets.teacher[:1]).ranks(scores["oracle"])
    if protocol == RERANK:
        ranks["ceiling"] = np.where(sets.place[0] >= 0, 1.0, np.inf)
    users = [split.user_keys[u] for u in sets.cases.user]
    folder.mkdir(exist_ok=True)
    pd.DataFrame({"user": users, **{method: list(v[0]) for method, v in scores.items()}}).to_parquet(
        folder / "scores.parquet", index=False
    )
    settings = {"seed": config.seed, "resamples": config.evaluation.resamples}
    pairs = [*PAIRS, *((name, "teacher") for name in fused)]
    pairs += [(name, ALONE) for name in fused if name.endswith(GATED)]
    pairs += [(name + FUSED, simple + FUSED) for name in ours for simple in counted if name + FUSED in fused]
    comparison = compare(ranks, protocol=protocol, m=sets.items.shape[2], pairs=pairs, **settings)
    write_comparison(folder, comparison, ranks, users)
    write_json(folder / "fusion.json", weights)
    counts = np.bincount(split.train.values, minlength=split.n_items + 1)
    trains = split.train.lengths[sets.cases.user] > 0
    slice_table(ranks, sets.cases.history.lengths, counts[sets.cases.target], trains, **settings).to_csv(
        folder / "slices.csv", index=False
    )
    if "oracle" in ranks and bench.data.patterns is not None and START in ranks:
        first = {method: each[:, 0] if each.ndim == 2 else each for method, each in ranks.items()}
        gap_table(first, bench.data.patterns, START, **settings).to_csv(folder / "gap.csv", index=False)
    if len(sets.items) > 1:
        draw_table(ranks).to_csv(folder / "draws.csv", index=False)
    if protocol == "candidates":
        told = {"popularity": np.log(np.maximum(scores["popularity"][0], 1e-6))}  # what the prior alone would say
        told |= {name: scores[name][0] for name in ours}
        agreement_table(told, sets.teacher[0], config.distill.h, **settings).to_csv(
            folder / "agreement.csv", index=False
        )


def _compare_full(bench: Workbench, ours: Scores, folder: Path) -> None:
    config, split = bench.run.config, bench.data.split
    cases = split.test.take(np.arange(min(config.evaluation.full_users, len(split.test))))
    scorers = {**bench.baselines, "teacher": bench.teacher}
    scores = {name: scorer.scores(cases.history) for name, scorer in scorers.items()}
    scores |= {name: of["test"] for name, of in ours.items()}
    ranks = {name: full_ranks(values, cases.target, cases.history) for name, values in scores.items()}
    comparison = compare(
        ranks, protocol="full", m=split.n_items, seed=config.seed, resamples=config.evaluation.resamples
    )
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


def _order_table(name: str, sets: Ranked, scores: np.ndarray) -> pd.DataFrame:
    """HR@1 in each order of the same candidates, and the share of users whose first choice is not that of order 0."""
    first = np.take_along_axis(sets.items, scores.argmax(axis=2)[..., None], 2)[..., 0]
    hits = per_user(sets.ranks(scores).T.ravel())["HR@1"].reshape(first.shape).mean(axis=1)
    changed = (first != first[0]).mean(axis=1)
    return pd.DataFrame({"method": name, "order": range(len(first)), "HR@1": hits, "changed": changed})


def _fused(
    bench: Workbench, parts: dict[str, Ranked], ours: Scores, counted: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict]:
    """Each method of ours and the teacher, weighed on validation cases whose answer is listed; beside them what needs
    no language model: the baselines, which count (``counted``: what they say of the test cases), weighed in the same
    way, and the gate alone. Scores, and weights."""
    split, scores, told = bench.data.split, {}, {}
    seen, test, endings = parts["valid"], parts["test"], ENDINGS.get(bench.run.config.evaluation.fuse, [])
    listed = seen.place[0] >= 0
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
    votes = []
    for name, on_test in counted.items():
        tables = {"valid": seen.scored_by(bench.baselines[name]), "test": on_test}
        votes.append((name, {part: np.log(table + once) for part, table in tables.items()}, plain))
    votes += [(ALONE, nothing, [("", gated) for _, gated in endings if gated])]
    votes += [(name, of, endings if "valid" in of else []) for name, of in ours.items()]
    for name, of, asked in votes:
        for ending, gated in asked:
            known = (table[0][listed] for table in (of["valid"], seen.teacher, seen.place, about["valid"]))
            fusion = Fusion.fit(*known, gated)
            each = zip(of["test"], test.teacher, about["test"], strict=True)
            scores[name + ending] = np.stack([fusion.scores(*draw) for draw in each])
            told[name + ending] = {"share": fusion.share, "weights": fusion.weights.tolist()}
    return scores, told
