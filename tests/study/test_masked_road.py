"""The whole road with a masked encoder, a conditioned P and nothing listed, on a random model: every stage fits."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from delrec_kit.data import Cases, Ragged
from delrec_kit.interpret import THROUGH_P
from delrec_kit.llm import SoftPrompt
from delrec_kit.study import pictures
from delrec_kit.study.explain import explain_user
from delrec_kit.study.recommend import recommend
from delrec_kit.study.study import DISTILLED, Study
from delrec_kit.study.unseen import Unseen

MODEL = "bert"
SETTINGS = [
    "llm.history=4", "llm.prior=popularity", "distill.k=3", "distill.conditioned=2",
    "data.world_users=100", "data.cold_items=0.1",
    "finetune.methods=[delrec, delrec_kept, delrec_faded, delrec_joint_prompt, llm_distilled_both]",
    "finetune.examples=64", "distill.examples=48", "evaluation.draws=2",
    "evaluation.protocols=[popularity-5,rerank-10,orders-2,last-2]",
    "evaluation.methods=[llm_zero_shot, llm_untrained_prompt, llm_distilled_prompt]",
]  # fmt: skip

pytestmark = pytest.mark.slow


def test_p_learned_and_depends_on_the_user(run):
    study = Study(run)
    delrec = study.recommender("llm_distilled_prompt")
    untrained = study.soft_prompt("llm_untrained_prompt", delrec.llm, delrec.writer)
    assert (delrec.P.k, delrec.P.c) == (3, 2) and delrec.P.numbers == 3 * 64 + 2 * 64 * 64
    prompts = delrec.prompts(*study.ranked("test")[:2])
    assert not {s.name for p in prompts for s in p.segments} & {"candidates"}, "nothing is listed"
    P = delrec.soft(delrec.writer.batch(prompts[:2]))
    assert (P[0, 1:] - P[1, 1:]).abs().max() > 1e-3 and (P[0, 0] == P[1, 0]).all()
    assert isinstance(untrained, SoftPrompt) and untrained.c == 2


def test_every_protocol_is_compared_over_its_draws(run):
    folder = run.folder("evaluation")
    for name, m, draws in (("", 15, 2), ("popularity-5", 5, 2), ("rerank", 10, 1), ("last-2", 15, 1)):
        comparison = json.loads((folder / name / "comparison.json").read_text())
        ranks = pd.read_parquet(folder / name / "per_user.parquet")
        assert comparison["m"] == m and {"delrec", "delrec_kept", "teacher"} <= set(comparison["methods"])
        assert np.stack(ranks["delrec"]).reshape(len(ranks), -1).shape[1] == draws
    cases, items, _ = Study(run).ranked("test")
    cut = Cases.of_histories(Ragged.from_lists([history[-2:] for history in cases.history]))
    scores = np.stack(pd.read_parquet(folder / "last-2" / "scores.parquet")["teacher"])
    np.testing.assert_allclose(scores, Study(run).teacher.scores(cut, items), atol=1e-5)
    assert not (folder / "orders.csv").exists(), "what is not listed has no order"
    assert len(pd.read_csv(run.folder("interpretation") / "recency.csv"))
    for name in ("llm_distilled_prompt", "delrec"):
        pieces = pd.read_csv(run.folder("interpretation") / name / "pieces.csv")
        assert set(pieces["name"]) == {"history", "soft"} and pieces["effect"].abs().max() > 0


def test_cold_items_are_ranked_by_every_row_and_one_rule_serves_all(run):
    study, folder = Study(run), run.folder("evaluation")
    N, rows = study.data.split.n_items, ["content", "teacher_from_titles", "llm_zero_shot", "delrec"]
    rows += ["content+teacher_trusted", "delrec+teacher_trusted", "popularity+teacher_trusted"]
    for protocol in ("cold", "mixed", "warm"):
        comparison = json.loads((folder / protocol / "comparison.json").read_text())
        assert comparison["protocol"] == protocol and set(rows) <= set(comparison["methods"])
        assert not {"llm_zero_shot+teacher_trusted"} & set(comparison["methods"]), "it has not validated"
    scores = pd.read_parquet(folder / "cold" / "scores.parquet")
    ranks = pd.read_parquet(folder / "cold" / "per_user.parquet")
    assert scores["cold"].all() and abs((ranks["popularity"] <= 5).mean() - 1 / 3) < 0.17, "all are tied: chance"
    cases, items = study.data.cold.sets["cold"]["test"]
    delrec = study.recommender("delrec")
    assert len(delrec.writer.table.lengths) == N + 1, "what trains knows no cold title"
    again = Unseen.by(study, delrec).beyond(delrec).scores(cases, items)
    np.testing.assert_allclose(np.stack(scores["delrec"]), again, atol=1e-4)
    mixed = pd.read_parquet(folder / "mixed" / "scores.parquet")["cold"]
    assert 0.4 < mixed.mean() < 0.6


def test_a_p_that_learns_on_is_its_own_and_every_row_is_priced_once(run):
    own = Study(run).recommender("delrec_joint_prompt").P
    assert (own.c, own.k) == (2, 3) and (run.folder("adapter") / "delrec_joint_prompt" / DISTILLED).is_file()
    costs = pd.read_csv(run.folder("evaluation") / "costs.csv").set_index("method")
    assert costs.loc["delrec_joint_prompt", "trainable"] == costs.loc["delrec", "trainable"], "P is counted once"
    taught = costs.loc["llm_distilled_prompt", "teacher_examples"]
    assert taught > 48, "the warm start has read more than stage 1"
    alike = costs.loc[["delrec", "delrec_kept", "delrec_faded", "llm_distilled_both"], "teacher_examples"]
    assert (alike == taught).all(), "what both learn from is counted once"
    assert costs.loc["llm_distilled_both", "true_labels"] == 0 and (costs["seconds"] >= 0).all()


def test_the_prior_counts_training_interactions_alone(run):
    study = Study(run)
    recommender, split = study.recommender("llm_zero_shot"), study.data.split
    canonical = recommender.writer.table.canonical
    counts = np.bincount(split.train.values, minlength=split.n_items + 1) + 1
    alike = [counts[canonical == first].sum() for first in canonical[1:]]
    np.testing.assert_allclose(recommender.prior[1:].exp().numpy(), np.array(alike) / counts[1:].sum(), rtol=1e-5)


def test_people_are_served_and_told_why(run):
    split = Study(run).data.split
    table = recommend(run, [split.titles[i] for i in split.train[0][:3]], top=3)
    assert table["score"].is_monotonic_decreasing and len(table) == 3
    page, view = explain_user(run, split.user_keys[0], "delrec_kept")
    html, (side, *_) = page.html(), view.sides
    assert html.count("<sup>") > 3 and "were not tested in this run" in html
    assert html.count(THROUGH_P) == 1, "P depends on the user: it is said, once"
    assert len(side.rollout_answering) == side.answering.shape[2] == 1, "all titles are compared with the same states"
    np.testing.assert_allclose(side.rollout_answering.sum(), 1, atol=1e-4)
    assert re.search(r"attention rollout: \w+, -?\d\.\d\d \[", explain_user(run, split.user_keys[0])[0].html())
    for draw in (pictures.words, pictures.cosines, pictures.projection):  # P depends on the user: that of a mean one
        assert len(draw(run)[1])
