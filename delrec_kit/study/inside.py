"""05b: what a run sees inside a method: recency, attention, what single pieces do, and whether to believe it."""

from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.interpret import (
    KIND,
    YARDSTICK,
    ZEROS,
    Question,
    attention_by_piece,
    attention_mass,
    by_kind,
    deletion_curves,
    draw_stand_ins,
    faithfulness_table,
    insertion_curves,
    integrated_gradients,
    leave_one_out,
    rank_agreement,
    recency_table,
    verdict,
)
from delrec_kit.interpret.by_hand import THROUGH_P
from delrec_kit.llm import LlmRecommender
from delrec_kit.run.directory import write_json
from delrec_kit.settings.config import KitConfig
from delrec_kit.settings.methods import DELREC, DISTILLED, METHODS, base_of
from delrec_kit.settings.rows import all_rows
from delrec_kit.study.compare import RESAMPLES
from delrec_kit.study.study import Study
from delrec_kit.teachers import Scorer

STEPS = 10  # back in a recency profile, at most
EXPLAINED = 24  # users, at most, whose prompts are taken apart piece by piece: of evaluation.users half, for it is slow
FEW = 8  # of whom integrated gradients are taken against a second baseline
PROFILED = ("llm_zero_shot", "llm_untrained_prompt", DISTILLED)  # whose recency is set beside the teacher's
EXPLANATIONS = {  # in figures -> column of pieces.csv
    YARDSTICK: "effect",
    "integrated gradients": "gradients",
    "attention": "attention",
    "attention rollout": "rollout",
    KIND: "kind",
}


def looked_into(config: KitConfig) -> list[str]:
    """The rows that a run looks inside: the distilled P and DELRec, as far as it has them, or else its last."""
    first = [name for wanted in (DISTILLED, DELREC) for name in all_rows(config) if base_of(name) == wanted]
    return first or all_rows(config)[-1:]


def look_inside(study: Study, folder: Path) -> None:
    """Write the interpretation folder of a run: ``recency.csv``, and a folder for each row that is looked into."""
    profiles, last = [recency(study, "teacher", study.teacher)], None
    for name in [name for name in study.rows() if base_of(name) in PROFILED or name in looked_into(study.run.config)]:
        last = study.recommender(name, like=last if last and not METHODS[last.name].learns_from else None)
        if base_of(name) in PROFILED:
            profiles.append(recency(study, name, last))
        if name in looked_into(study.run.config):
            take_apart(study, last, folder / name)
    pd.concat(profiles).to_csv(folder / "recency.csv", index=False)


def take_apart(study: Study, recommender: LlmRecommender, folder: Path) -> None:
    """Write ``attention.csv``, ``attention_by_user.csv`` and ``attention_by_place.csv``, ``pieces.csv`` (what
    explanations say of every piece), ``deletion.csv``, ``insertion.csv`` and ``verdicts.json``."""
    folder.mkdir(parents=True)
    asked = _question(study, recommender, study.run.config.evaluation.users)
    mass, by_user = attention_mass(asked)
    mass.to_csv(folder / "attention.csv", index=False)
    by_user.to_csv(folder / "attention_by_user.csv", index=False)
    attention_mass(asked, by_place=True)[0].to_csv(folder / "attention_by_place.csv", index=False)
    question = _question(study, recommender, min(EXPLAINED, len(asked.cases), max(FEW, len(asked.cases) // 2)))
    gradients, sums = integrated_gradients(question)
    looks, effects, seed = attention_by_piece(question), leave_one_out(question), study.run.config.seed
    pieces = effects.assign(
        attention=looks["attention"],
        rollout=looks["rollout"],
        gradients=gradients["gradients"],
        kind=by_kind(effects, seed),
    )
    pieces.to_csv(folder / "pieces.csv", index=False)
    importances = {name: pieces[column] for name, column in EXPLANATIONS.items()}
    draws, tests = {"resamples": RESAMPLES, "seed": seed}, {}
    for test, curves_of in {"deletion": deletion_curves, "insertion": insertion_curves}.items():
        curves = curves_of(question, importances, seed)
        curves.to_csv(folder / f"{test}.csv", index=False)
        tests[test] = faithfulness_table(curves, **draws)
    zeros = integrated_gradients(_question(study, recommender, min(FEW, len(question.cases))), baseline=ZEROS)[0]
    first = pieces[: len(zeros)]
    same = rank_agreement(first["gradients"].abs(), zeros["gradients"], first[["user", "name"]], **draws)
    write_json(
        folder / "verdicts.json",
        {
            "method": recommender.name,
            **_judged(pieces, importances, tests, draws),
            "users": len(question.cases),
            "notes": _notes(pieces, sums, conditioned=recommender.expects is not None),
            "convergence_delta": float(sums["delta"].abs().mean()),
            "gradients_total": float(sums["total"].abs().mean()),
            "baselines_agree": same,
        },
    )


def _question(study: Study, recommender: LlmRecommender, users: int) -> Question:
    """The first test users' candidates, asked of ``recommender``."""
    cases, items, _ = study.ranked("test")
    first = np.arange(min(users, len(cases)))
    return Question(recommender, cases.take(first), items[first])


def _judged(
    pieces: pd.DataFrame, importances: dict[str, pd.Series], tests: dict[str, pd.DataFrame], draws: dict[str, int]
) -> dict:
    """The verdicts on all explanations but leaving out itself, and the numbers behind them."""
    judged = [name for name in importances if name != YARDSTICK]
    among = {"spearman": ["user"], "spearman_of_a_kind": ["user", "name"]}
    rho = {
        key: {
            name: rank_agreement(importances[name].abs(), pieces["effect"], pieces[groups], **draws) for name in judged
        }
        for key, groups in among.items()
    }
    rows = {name: {test: table.set_index("explanation").loc[name] for test, table in tests.items()} for name in judged}
    kind = rho["spearman"][KIND][0]
    verdicts = [
        verdict(name, rho["spearman_of_a_kind"][name], rho["spearman"][name], kind, rows[name])
        for name in judged
        if name != KIND
    ]
    return {"verdicts": verdicts, "over_random": {t: table.to_dict("records") for t, table in tests.items()}, **rho}


def _notes(pieces: pd.DataFrame, sums: pd.DataFrame, conditioned: bool) -> list[str]:
    """What else to know before believing."""
    signs = (np.sign(pieces["gradients"]) == np.sign(pieces["effect"])).groupby(pieces["name"]).mean()
    agree = ", ".join(f"{share:.0%} of {kind}" for kind, share in signs.items())
    missed = sums["delta"].abs().mean() / sums["total"].abs().mean()
    notes = [
        f"the shares of integrated gradients miss what they should add up to by {missed:.0%}; by sign they agree with "
        f"leaving out for {agree} (by chance 50%)"
    ]
    return [*notes, THROUGH_P] if conditioned else notes


def recency(study: Study, name: str, scorer: Scorer) -> pd.DataFrame:
    """The recency profile of ``scorer`` over some test users, back to the last title that a prompt lists."""
    config, (cases, items, _), n_items = study.run.config, study.ranked("test"), study.data.split.n_items
    steps = max(0, min(config.llm.history, STEPS, int(np.median(cases.history.lengths)) - 1))
    long = np.flatnonzero(cases.history.lengths > steps)[: config.evaluation.users]
    some, stand_ins = draw_stand_ins(cases.take(long), items[long], n_items, steps, config.seed)
    rows = long[some]
    return recency_table({name: scorer}, cases.take(rows), items[rows], stand_ins)
