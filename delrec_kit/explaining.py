"""What a run looks at inside a method: attention, what single pieces of the prompt do, and whether to believe it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.data import Cases
from delrec_kit.interpret import (
    attention_by_piece,
    attention_mass,
    deletion_curves,
    faithfulness_table,
    leave_one_out,
    rank_agreement,
    recency_table,
    verdict,
)
from delrec_kit.interpret.recency import Score
from delrec_kit.llm import LanguageModel, Prompt, PromptWriter, SoftPrompt, score_candidates
from delrec_kit.methods import METHODS
from delrec_kit.runs import write_json
from delrec_kit.workbench import Workbench

STEPS = 10  # back in a recency profile, at most
EXPLAINED = 24  # users whose prompts are taken apart piece by piece


def look_inside(
    bench: Workbench, llm: LanguageModel, writer: PromptWriter, soft: SoftPrompt | None, name: str, folder: Path
) -> None:
    """Write ``attention.csv``, ``pieces.csv`` (effect and attention of every piece), ``deletion.csv`` and
    ``verdicts.json`` for the method ``name``."""
    settings, candidates = bench.run.config.evaluation, bench.data.test_candidates
    looked = slice(settings.attention_users)
    prompts = bench.prompts(writer, METHODS[name], "test", candidates, looked)
    attention_mass(llm, writer, prompts, candidates[looked], soft).to_csv(folder / "attention.csv", index=False)
    prompts = prompts[:EXPLAINED]

    def score(asked: Sequence[Prompt], users: np.ndarray) -> np.ndarray:
        normalised = bench.run.config.llm.length_normalised
        return score_candidates(
            llm, writer, asked, candidates[users], soft, settings.batch, normalised, what="taking prompts apart"
        )

    pieces = leave_one_out(score, prompts)
    pieces["attention"] = attention_by_piece(llm, writer, prompts, candidates[: len(prompts)], soft)["attention"]
    pieces.to_csv(folder / "pieces.csv", index=False)
    explanations = {"leave-one-out": pieces["effect"], "attention": pieces["attention"]}
    curves = deletion_curves(score, prompts, explanations, bench.run.config.seed)
    curves.to_csv(folder / "deletion.csv", index=False)
    table = faithfulness_table(curves, settings.resamples, bench.run.config.seed).set_index("explanation")
    rho = rank_agreement(pieces["attention"], pieces["effect"], pieces["user"])
    write_json(
        folder / "verdicts.json",
        {
            "spearman": rho,
            "attention": verdict("attention", rho, table.loc["attention"]),
            "over_random": table.reset_index().to_dict("records"),
        },
    )


def recency(bench: Workbench, name: str, score: Score) -> pd.DataFrame:
    """The recency profile over some test users, back to the last title that a prompt lists; score: cases and items
    (U, m) -> (U, m)."""
    config, cases = bench.run.config, bench.data.split.test
    steps = min(config.llm.history, STEPS, int(np.median(cases.history.lengths)) - 1)
    long = np.flatnonzero(cases.history.lengths > steps)[: config.evaluation.attention_users]
    items = dict(zip(cases.user[long], bench.data.test_candidates[long]))

    def ask(some: Cases) -> np.ndarray:
        return score(some, np.stack([items[user] for user in some.user]))

    return recency_table({name: ask}, cases.take(long), steps, config.evaluation.resamples, config.seed)
