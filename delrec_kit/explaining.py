"""What a run looks at inside a method: attention, what single pieces of the prompt do, and whether to believe it."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.data import Cases
from delrec_kit.errors import KitError
from delrec_kit.interpret import (
    ATTENTION,
    EFFECT,
    SAID,
    ZEROS,
    ByHand,
    attention_by_piece,
    attention_mass,
    choices,
    deletion_curves,
    draw_stand_ins,
    faithfulness_table,
    insertion_curves,
    integrated_gradients,
    leave_one_out,
    leaves_some,
    rank_agreement,
    recency_table,
    user_page,
    verdict,
)
from delrec_kit.interpret.recency import Score
from delrec_kit.interpret.spans import Span
from delrec_kit.llm import LanguageModel, Prompt, PromptWriter, SoftPrompt, score_candidates
from delrec_kit.methods import METHODS
from delrec_kit.runs import write_json
from delrec_kit.style import label
from delrec_kit.workbench import Workbench

STEPS = 10  # back in a recency profile, at most
EXPLAINED = 24  # users whose prompts are taken apart piece by piece
FEW = 8  # of whom integrated gradients are taken against a second baseline
EXPLANATIONS = {  # in figures -> column of pieces.csv
    "leave-one-out": "effect",
    "integrated gradients": "gradients",
    "attention": "attention",
    "attention rollout": "rollout",
}


def look_inside(
    bench: Workbench, llm: LanguageModel, writer: PromptWriter, soft: SoftPrompt | None, name: str, folder: Path
) -> None:
    """Write ``attention.csv`` and ``attention_by_place.csv``, ``pieces.csv`` (what explanations say of every piece),
    ``deletion.csv``, ``insertion.csv`` and ``verdicts.json`` for the method ``name``."""
    settings, candidates = bench.run.config.evaluation, bench.data.test_candidates
    looked = slice(settings.attention_users)
    prompts = bench.prompts(writer, METHODS[name], "test", candidates, looked)
    for file, by_place in {"attention": False, "attention_by_place": True}.items():
        mass = attention_mass(llm, writer, prompts, candidates[looked], soft, by_place=by_place)
        mass.to_csv(folder / f"{file}.csv", index=False)
    prompts = prompts[:EXPLAINED]
    candidates = candidates[: len(prompts)]

    normalised = bench.run.config.llm.length_normalised

    def score(asked: Sequence[Prompt], users: np.ndarray) -> np.ndarray:
        return score_candidates(
            llm, writer, asked, candidates[users], soft, settings.batch, normalised, what="taking prompts apart"
        )

    pieces = leave_one_out(score, prompts)
    first = choices(score, prompts)[0]
    looked_at = attention_by_piece(llm, writer, prompts, candidates, soft, first)
    shares, sums = integrated_gradients(llm, writer, prompts, candidates, soft, length_normalised=normalised)
    pieces = pieces.assign(
        attention=looked_at["attention"], rollout=looked_at["rollout"], gradients=shares["gradients"]
    )
    pieces.to_csv(folder / "pieces.csv", index=False)
    explanations = {name: pieces[column] for name, column in EXPLANATIONS.items()}
    draws = {"resamples": settings.resamples, "seed": bench.run.config.seed}
    tables = {}
    for name, of in {"deletion": deletion_curves, "insertion": insertion_curves}.items():
        curves = of(score, prompts, explanations, bench.run.config.seed)
        curves.to_csv(folder / f"{name}.csv", index=False)
        tables[name] = faithfulness_table(curves, **draws)
    over_random, agreements = tables["deletion"].set_index("explanation"), {}
    for told, importance in list(explanations.items())[1:]:
        agreements[told] = rank_agreement(np.abs(importance), pieces["effect"], pieces["user"], **draws)
    few = prompts[:FEW]
    zeros = integrated_gradients(
        llm, writer, few, candidates[:FEW], soft, baseline=ZEROS, length_normalised=normalised
    )[0]["gradients"]
    same = rank_agreement(shares["gradients"][: len(zeros)].abs(), zeros, pieces["user"][: len(zeros)], **draws)
    write_json(
        folder / "verdicts.json",
        {
            "verdicts": [verdict(told, agreements[told], over_random.loc[told]) for told in agreements],
            "over_random": {name: table.to_dict("records") for name, table in tables.items()},
            "spearman": agreements,
            "convergence_delta": float(sums["delta"].abs().mean()),
            "gradients_total": float(sums["total"].abs().mean()),
            "baselines_agree": same,
        },
    )


def recency(bench: Workbench, name: str, score: Score) -> pd.DataFrame:
    """The recency profile over some test users, back to the last title that a prompt lists; score: cases and items
    (U, m) -> (U, m)."""
    config, cases = bench.run.config, bench.data.split.test
    steps = min(config.llm.history, STEPS, int(np.median(cases.history.lengths)) - 1)
    long = np.flatnonzero(cases.history.lengths > steps)[: config.evaluation.attention_users]
    items, n_items = bench.data.test_candidates[long], bench.data.split.n_items
    some = leaves_some(cases.take(long), items, n_items)  # in a small catalogue nothing may be left to stand in
    cases, items = cases.take(long[some]), items[some]
    stand_ins = draw_stand_ins(cases, items, n_items, max(steps, 0), config.seed)
    of = dict(zip(cases.user, items))

    def ask(some: Cases) -> np.ndarray:
        return score(some, np.stack([of[user] for user in some.user]))

    return recency_table({name: ask}, cases, stand_ins)


def by_hand(bench: Workbench, name: str) -> ByHand:
    """The method ``name`` and the teacher, to be asked about histories and candidates of one's own."""
    config, (llm, writer, soft) = bench.run.config, bench.open_method(name)
    return ByHand(
        llm,
        writer,
        soft,
        bench.ask(METHODS[name]),
        bench.teacher,
        bench.expectations(writer),
        bench.data.split.titles,
        config.distill.h,
        config.llm.length_normalised,
    )


def tested(bench: Workbench, user: str) -> tuple[list[int], list[int], int]:
    """History, candidates and target of one user of the test. Raises KitError for a user that is not tested, naming the
    nearest key."""
    split = bench.data.split
    keys = [split.user_keys[u] for u in split.test.user]
    if user not in keys:
        close = get_close_matches(user, keys, n=1) or keys[:1]
        raise KitError(f"no test case of user '{user[:80]}'; one of the {len(keys)} that are tested is '{close[0]}'")
    row = keys.index(user)
    return split.test.history[row].tolist(), bench.data.test_candidates[row].tolist(), int(split.test.target[row])


def explain_user(bench: Workbench, user: str, name: str) -> str:
    """The page (HTML) that explains what the method ``name`` chose for one user of the test. Raises KitError for a user
    that is not tested."""
    history, candidates, target = tested(bench, user)
    asked = by_hand(bench, name)
    ranks = asked.ranking(history, candidates)
    ranking = pd.DataFrame(
        {
            "candidate": ranks["title"],
            "answer": ranks["item"] == target,
            "rank, teacher": ranks["teacher_rank"],
            f"rank, {label(name)}": ranks["llm_rank"],
            f"chance, {label(name)}": ranks["chance"],
        }
    )
    if "prior" in ranks:
        ranking["chance, popularity alone"] = ranks["prior"]
    ranking = ranking.sort_values(f"rank, {label(name)}")
    told = {name: text for name, text in SAID.items() if name != ATTENTION}
    spans = asked.explained(history, candidates, list(told))
    facts = [
        ("run", str(bench.run.path)),
        ("method", label(name)),
        ("first choice", ranking["candidate"].iloc[0]),
        ("what came next", bench.data.split.titles[target]),
        ("what it hangs on most", _strongest(spans)),
    ]
    return user_page(f"What {label(name)} chose for user {user}", facts, ranking, spans, told)


def _strongest(spans: Sequence[Span]) -> str:
    most = max((span for span in spans if span.values), key=lambda span: abs(span.values[EFFECT]))
    return f"{most.text} ({most.name}, {most.values[EFFECT]:+.2f} nats)"
