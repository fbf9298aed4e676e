"""The whole road with a decoder whose prompts list nothing and whose scores are calibrated, on a random model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from delrec_kit.run.directory import read_json
from delrec_kit.study.explain import explain_user
from delrec_kit.study.recommend import recommend
from delrec_kit.study.scores import unprompted
from delrec_kit.study.study import Study

MODEL = "gemma3_text"
SETTINGS = [
    "llm.history=4", "llm.listed=false", "llm.prior=calibrated", "distill.k=3",
    "data.world_users=60", "data.candidates=8", "data.cold_items=0.1", "finetune.methods=[delrec]",
    "finetune.examples=32", "distill.examples=32", "evaluation.draws=2", "evaluation.protocols=[last-2]",
    "evaluation.methods=[llm_zero_shot, llm_distilled_prompt]", "evaluation.users=4",
]  # fmt: skip

pytestmark = pytest.mark.slow


def test_nothing_is_listed_in_training_or_asking(run):
    study = Study(run)
    recommender = study.recommender("llm_distilled_prompt")
    made = study.tasks(recommender).stage_1(run.config.distill)
    for prompt in [
        *recommender.prompts(*study.ranked("test")[:2])[:5],
        *made["ta"].prompts[:5],
        *made["rps"].prompts[:5],
    ]:
        assert "candidates" not in {segment.name for segment in prompt.segments}
    m = run.config.data.candidates
    assert made["ta"].candidates.shape[1] == made["rps"].candidates.shape[1] == m, "and yet m titles are ranked"


def test_every_row_has_weights_of_its_own_and_whoever_asks_uses_them(run):
    weights = read_json(run.folder("evaluation") / "calibration.json")
    assert list(weights) == ["llm_zero_shot", "llm_distilled_prompt", "delrec"]
    study = Study(run)
    recommender, split = study.recommender("delrec"), study.data.split
    assert recommender.weights == tuple(weights["delrec"]) and recommender.scale == weights["delrec"][0]
    cases, items, _ = study.ranked("test")
    cases, items = cases.take(np.arange(6)), items[:6]
    raw = replace(recommender, weights=None, prior=None)
    counts = np.bincount(split.train.values, minlength=split.n_items + 1) + 1.0
    canonical = recommender.writer.table.canonical
    counts = np.bincount(canonical, weights=counts, minlength=len(counts))[canonical]
    popularity = np.log(counts / (len(split.train.values) + split.n_items))
    told = unprompted(study, recommender)
    a, b, c = weights["delrec"]
    wanted = a * raw.scores(cases, items) + b * told[items] + c * popularity[items]
    np.testing.assert_allclose(recommender.scores(cases, items), wanted, atol=2e-3)


def test_cold_items_are_scored_by_the_same_three_terms(run):
    study = Study(run)
    told = unprompted(study, study.recommender("llm_zero_shot"))
    assert len(told) == study.data.split.n_items + len(study.data.cold) + 1
    assert (run.folder("evaluation") / "cold" / "comparison.json").is_file()


def test_training_sees_the_score_that_ranks(run):
    study = Study(run)
    begun = study.beginning("delrec")
    cases, items, _ = study.ranked("valid")
    prompts = begun.prompts(cases.take(np.arange(4)), items[:4])
    with torch.no_grad():
        logits = begun.logits(*begun.tensors(prompts, items[:4])).numpy()
    np.testing.assert_allclose(logits, begun.score_prompts(prompts, items[:4]), atol=2e-3)
    assert begun.weights is not None


def test_people_are_served_and_told_why(run):
    split = Study(run).data.split
    table = recommend(run, [split.titles[i] for i in split.train[0][:3]], top=3)
    assert table["score"].is_monotonic_decreasing and len(table) == 3
    page, view = explain_user(run, split.user_keys[0], "delrec")
    side, names = view.sides[0], [kind for kind, _ in view.sides[0].pieces]
    assert "<html" in page.html() and names == [*["history"] * names.count("history"), *["soft"] * 3, "rest"]
    assert (side.attention[:, :, 0, 1:-1] == 0).all(), "a token sees only what stands before it"
    for each in (side.attention, side.answering, side.rollout, side.rollout_answering):
        np.testing.assert_allclose(each.sum(-1), 1, atol=1e-4)
