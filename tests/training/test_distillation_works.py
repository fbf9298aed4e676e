"""Stage 1 on the shipped 4-bit model: a teacher's habit is written into P, and the frozen model then follows it."""

import numpy as np
import pandas as pd
import pytest

from delrec_kit.data import Domain, Ragged
from delrec_kit.data.world_titles import make_catalogue
from delrec_kit.llm import PromptWriter, SoftPrompt, load_llm, score_candidates
from delrec_kit.settings.config import DistillConfig, LlmConfig
from delrec_kit.training import ExampleWriter, distill

M, TRAINED_ON, HELD_OUT = 8, 240, 100


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
    config = DistillConfig(k=6, h=1, epochs=3, batch=20, validations=3, patience=9, weight_ta=0.0)
    examples = ExampleWriter(writer, train, train, M, 5)
    rps = examples.pattern_simulating(lists[:TRAINED_ON], TRAINED_ON, config, seed=0)
    unseen = examples.pattern_simulating(lists[TRAINED_ON:], HELD_OUT, config, seed=0)
    without = [
        writer.write("rps", {"history": train[u], "candidates": row})
        for u, row in zip(range(TRAINED_ON, len(train)), unseen.candidates, strict=True)
    ]

    def agreement(prompts, soft):
        scores = score_candidates(llm, writer, prompts, unseen.candidates, soft)
        return float((scores.argmax(1) == unseen.targets.argmax(1)).mean())

    soft = SoftPrompt.untrained(llm, config.k, seed=0)
    before = agreement(unseen.prompts, soft)
    measure = lambda: {"loss": -agreement(unseen.prompts, soft)}  # noqa: E731
    distill(llm, writer, soft, {"rps": rps}, measure, config, 0, tmp_path / "checkpoints")
    after = agreement(unseen.prompts, soft)
    assert after > 0.8, f"the teacher is followed in {after:.0%} of the cases, {before:.0%} before"
    assert after > before + 0.3
    assert after > agreement(without, None) + 0.3
