"""Stage 1 on the shipped 4-bit model: a teacher's habit is written into P, and the frozen model then follows it."""

import numpy as np
import pandas as pd
import pytest

from delrec_kit.data import Domain, Ragged
from delrec_kit.data.made_world.titles import make_catalogue
from delrec_kit.llm import LlmRecommender, PromptWriter, SoftPrompt, load_llm
from delrec_kit.settings.config import LlmConfig
from delrec_kit.settings.resolve import resolve
from delrec_kit.training import TaskWriter, distill

M, K, TRAINED_ON, HELD_OUT = 8, 6, 240, 100


@pytest.fixture(scope="module")
def films():
    return make_catalogue(360)


def lists_of_a_teacher_that_wants_the_same_genre(films, train):
    """Scores 4 for a film of the last film's genre, 0 for all others; one such film and M - 1 others a list."""
    rng = np.random.default_rng(1)
    genre = films["genre"].to_numpy()
    rows = []
    for user, films_seen in enumerate(train):
        same = genre == genre[films_seen[-1] - 1]
        alike, others = (rng.permutation(np.setdiff1d(np.flatnonzero(x) + 1, films_seen)) for x in (same, ~same))
        rows.append((user, len(films_seen), alike[:1], [4.0], others[:20], [0.0] * 20))
    return pd.DataFrame(rows, columns=["user", "length", "top_items", "top_scores", "other_items", "other_scores"])


def test_a_frozen_model_learns_a_habit_from_the_prompt_alone(films, tmp_path):
    rng = np.random.default_rng(0)
    train = Ragged.from_lists([rng.choice(360, 5, replace=False) + 1 for _ in range(TRAINED_ON + HELD_OUT)])
    llm = load_llm(LlmConfig(), "cpu")
    writer = PromptWriter(llm.tokenizer, Domain(), ["", *films["title"]])
    lists = lists_of_a_teacher_that_wants_the_same_genre(films, train)
    delrec = LlmRecommender(llm, writer, SoftPrompt.untrained(llm, K, seed=1), history=5)
    rps, unseen = (
        TaskWriter(delrec, train, train, M, None, part, seed=0).pattern_simulating(TRAINED_ON, h=1)
        for part in (lists[:TRAINED_ON], lists[TRAINED_ON:])
    )
    without = [
        writer.write("rps", {"history": train[u], "candidates": row})
        for u, row in zip(range(TRAINED_ON, len(train)), unseen.candidates, strict=True)
    ]

    def agreement(prompts):
        scores = delrec.score_prompts(prompts, unseen.candidates)
        return float((scores.argmax(1) == unseen.targets.argmax(1)).mean())

    before = agreement(unseen.prompts)
    config = resolve("demo", ["train.epochs=3", "distill.k=6"])
    to_the_end = iter(range(100, 0, -1))
    distill(delrec, {"rps": rps}, config, lambda: {"loss": float(next(to_the_end))}, tmp_path / "checkpoints")
    after = agreement(unseen.prompts)
    assert after > 0.8, f"the teacher is followed in {after:.0%} of the cases, {before:.0%} before"
    assert after > before + 0.3
    assert after > agreement(without) + 0.3
