"""What a run looks at inside a method: attention, what single pieces of the prompt do, and whether to believe it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.data import Cases
from delrec_kit.interpret import (
    KIND,
    YARDSTICK,
    ZEROS,
    attention_by_piece,
    attention_mass,
    by_kind,
    choices,
    deletion_curves,
    draw_stand_ins,
    faithfulness_table,
    insertion_curves,
    integrated_gradients,
    leave_one_out,
    leaves_some,
    rank_agreement,
    readouts,
    recency_table,
    retold,
    verdict,
)
from delrec_kit.interpret.by_hand import THROUGH_P
from delrec_kit.interpret.recency import Score
from delrec_kit.llm import LanguageModel, Prompt, PromptWriter, SoftPrompt, score_candidates
from delrec_kit.run.directory import write_json
from delrec_kit.settings.config import KitConfig
from delrec_kit.settings.methods import METHODS
from delrec_kit.study.workbench import Workbench

STEPS = 10  # back in a recency profile, at most
EXPLAINED = 24  # users whose prompts are taken apart piece by piece
FEW = 8  # of whom integrated gradients are taken against a second baseline
EXPLANATIONS = {  # in figures -> column of pieces.csv
    YARDSTICK: "effect",
    "integrated gradients": "gradients",
    "attention": "attention",
    "attention rollout": "rollout",
    KIND: "kind",
}


def looked_into(config: KitConfig) -> list[str]:
    """The rows that a run looks inside: those of ``evaluation.inside`` that it has, or else its last."""
    rows = [*config.evaluation.methods, *config.finetune.methods]
    return [name for name in config.evaluation.inside if name in rows] or rows[-1:]


def folder_inside(evaluation: Path, name: str | None = None) -> Path:
    """Where a run keeps what it saw inside the method ``name``, or inside all of them."""
    return evaluation / "inside" / (name or "")


def look_inside(
    bench: Workbench, llm: LanguageModel, writer: PromptWriter, soft: SoftPrompt | None, name: str, folder: Path
) -> None:
    """Write into ``folder`` of the method ``name``: ``attention.csv``, ``attention_by_user.csv`` and
    ``attention_by_place.csv``, ``pieces.csv`` (what explanations say of every piece), ``deletion.csv``,
    ``insertion.csv`` and ``verdicts.json``."""
    config, test = bench.run.config, bench.data.test_candidates
    folder.mkdir(parents=True, exist_ok=True)
    looked = slice(config.evaluation.attention_users)
    prompts = bench.prompts(writer, METHODS[name], "test", test, looked)
    mass, by_user = attention_mass(llm, writer, prompts, test[looked], soft)
    mass.to_csv(folder / "attention.csv", index=False)
    by_user.to_csv(folder / "attention_by_user.csv", index=False)
    places, _ = attention_mass(llm, writer, prompts, test[looked], soft, by_place=True)
    places.to_csv(folder / "attention_by_place.csv", index=False)
    prompts = prompts[:EXPLAINED]
    items, histories = test[: len(prompts)], list(bench.data.split.test.history)[: len(prompts)]
    expects, normalised = bench.expectations(writer) if soft else None, config.llm.length_normalised

    def score(asked: Sequence[Prompt], users: np.ndarray) -> np.ndarray:
        if expects is not None:
            asked = retold(asked, [histories[user] for user in users], config.llm.history, expects)
        batch, what = config.evaluation.batch, f"taking prompts of {name} apart"
        return score_candidates(llm, writer, asked, items[users], soft, batch, normalised, what=what)

    pieces = leave_one_out(score, prompts)
    looks = attention_by_piece(llm, writer, prompts, items, soft, choices(score, prompts)[0])
    gradients = partial(integrated_gradients, llm, writer, soft=soft, length_normalised=normalised)
    shares, sums = gradients(prompts, items)
    pieces = pieces.assign(
        attention=looks["attention"],
        rollout=looks["rollout"],
        gradients=shares["gradients"],
        kind=by_kind(pieces, config.seed),
    )
    pieces.to_csv(folder / "pieces.csv", index=False)
    told, kept = {name: pieces[column] for name, column in EXPLANATIONS.items()}, readouts(llm, writer, prompts)
    draws = {"resamples": config.evaluation.resamples, "seed": config.seed}
    tests = {}
    for test_name, of in {"deletion": deletion_curves, "insertion": insertion_curves}.items():
        curves = of(score, prompts, told, config.seed, kept=kept)
        curves.to_csv(folder / f"{test_name}.csv", index=False)
        tests[test_name] = faithfulness_table(curves, **draws)
    zeros = gradients(prompts[:FEW], items[:FEW], baseline=ZEROS)[0]["gradients"]
    first = pieces[: len(zeros)]
    same = rank_agreement(first["gradients"].abs(), zeros, first[["user", "name"]], **draws)
    write_json(
        folder / "verdicts.json",
        {
            "method": name,
            **_judged(pieces, told, tests, draws),
            "users": len(prompts),
            "notes": _notes(pieces, sums, conditioned=expects is not None),
            "convergence_delta": float(sums["delta"].abs().mean()),
            "gradients_total": float(sums["total"].abs().mean()),
            "baselines_agree": same,
        },
    )


def _judged(
    pieces: pd.DataFrame, told: dict[str, pd.Series], tests: dict[str, pd.DataFrame], draws: dict[str, int]
) -> dict:
    """The verdicts on all explanations but leaving out itself, and the numbers behind them."""
    asked = [name for name in told if name != YARDSTICK]
    among = {"spearman": ["user"], "spearman_of_a_kind": ["user", "name"]}
    rho = {
        what: {name: rank_agreement(told[name].abs(), pieces["effect"], pieces[groups], **draws) for name in asked}
        for what, groups in among.items()
    }
    rows = {name: {test: table.set_index("explanation").loc[name] for test, table in tests.items()} for name in asked}
    kind = rho["spearman"][KIND][0]
    verdicts = [
        verdict(name, rho["spearman_of_a_kind"][name], rho["spearman"][name], kind, rows[name])
        for name in asked
        if name != KIND
    ]
    return {"verdicts": verdicts, "over_random": {t: table.to_dict("records") for t, table in tests.items()}, **rho}


def _notes(pieces: pd.DataFrame, sums: pd.DataFrame, conditioned: bool) -> list[str]:
    """What else to know before believing."""
    signs = (np.sign(pieces["gradients"]) == np.sign(pieces["effect"])).groupby(pieces["name"]).mean()
    told = ", ".join(f"{share:.0%} of {kind}" for kind, share in signs.items())
    missed = sums["delta"].abs().mean() / sums["total"].abs().mean()
    notes = [
        f"the shares of integrated gradients miss what they should add up to by {missed:.0%}; by sign they agree with "
        f"leaving out for {told} (by chance 50%)"
    ]
    if conditioned:
        notes.append(THROUGH_P)
    return notes


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
