"""The whole road with a masked encoder, a conditioned P and nothing listed, on a random model: every stage fits."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from delrec_kit.data import Cases, Ragged
from delrec_kit.interpret import THROUGH_P
from delrec_kit.llm import SoftPrompt
from delrec_kit.settings.errors import KitError
from delrec_kit.study import pictures
from delrec_kit.study.controls import controls, sentence_vectors
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
    "evaluation.methods=[llm_zero_shot, llm_untrained_prompt, llm_distilled_prompt,"
    "llm_distilled_prompt_no_history, llm_distilled_prompt_of_another]",
]  # fmt: skip

DELREC, KEPT, FADED, JOINT = (
    f"{name}_conditioned" for name in ("delrec", "delrec_kept", "delrec_faded", "delrec_joint_prompt")
)
DISTILLED_P, BOTH = "llm_distilled_prompt_conditioned", "llm_distilled_both_conditioned"

pytestmark = pytest.mark.slow


def test_controls_stand_beside_and_what_p_hears_matters(run):
    """What needs no language model, P that is told of somebody else, and P whose prompt shows no history."""
    folder, study = run.folder("evaluation"), Study(run)
    methods = json.loads((folder / "comparison.json").read_text())["methods"]
    assert {"content", "content_popularity", "teacher_vectors", "map", "map_popularity"} <= set(methods)
    assert {"map_popularity+teacher", "content_popularity+teacher"} <= set(methods)
    table = pd.read_parquet(folder / "scores.parquet")
    own, another, blind = (
        np.stack(table[name + "_conditioned"])
        for name in ("llm_distilled_prompt", "llm_distilled_prompt_of_another", "llm_distilled_prompt_no_history")
    )
    assert np.abs(own - another).max() > 1e-3 and np.abs(own - blind).max() > 1e-3
    cases, items, _ = study.ranked("test")
    P = study.recommender("llm_distilled_prompt_of_another")
    heard, meant = P.expects(cases), study.recommender("llm_distilled_prompt").expects(cases)
    np.testing.assert_allclose(heard[:-1], meant[1:], atol=1e-5)
    shown = study.recommender("llm_distilled_prompt_no_history").prompts(cases.take(np.arange(2)), items[:2])
    assert not {s.name for prompt in shown for s in prompt.segments} & {"history"}
    with pytest.raises(KitError, match="no method"):
        study.recommender("delrec_rps_conditioned")


def test_the_map_speaks_of_each_user_and_reads_no_prompt(run):
    study = Study(run)
    llm, writer = study.language_model()
    asked = study.asking("llm_zero_shot", llm, writer)
    rows = controls(study, asked, sentence_vectors(study, asked))
    cases, items, _ = study.ranked("test")
    linear, identity = rows["map"].linear, rows["teacher_vectors"].linear
    assert np.abs(linear - identity).max() > 0.01, "it was fitted"
    same = np.tile(items[:1], (len(items), 1))
    assert rows["map"].scores(cases, same).std(axis=0).max() > 1e-3, "each user has scores of their own"
    known = rows["map_popularity"].prior
    assert known[1:].std() > 0.1 and not rows["map"].prior.any()


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
        assert comparison["m"] == m and {DELREC, KEPT, "teacher"} <= set(comparison["methods"])
        assert np.stack(ranks[DELREC]).reshape(len(ranks), -1).shape[1] == draws
    cases, items, _ = Study(run).ranked("test")
    cut = Cases.of_histories(Ragged.from_lists([history[-2:] for history in cases.history]))
    scores = np.stack(pd.read_parquet(folder / "last-2" / "scores.parquet")["teacher"])
    np.testing.assert_allclose(scores, Study(run).teacher.scores(cut, items), atol=1e-5)
    assert not (folder / "orders.csv").exists(), "what is not listed has no order"
    assert len(pd.read_csv(run.folder("interpretation") / "recency.csv"))
    for name in (DISTILLED_P, DELREC):
        pieces = pd.read_csv(run.folder("interpretation") / name / "pieces.csv")
        assert set(pieces["name"]) == {"history", "soft"} and pieces["effect"].abs().max() > 0


def test_cold_items_are_ranked_by_every_row_and_one_rule_serves_all(run):
    study, folder = Study(run), run.folder("evaluation")
    N, rows = study.data.split.n_items, ["content", "teacher_from_titles", "llm_zero_shot", DELREC]
    rows += ["content+teacher_trusted", f"{DELREC}+teacher_trusted", "popularity+teacher_trusted"]
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
    again = Unseen(study, sentence_vectors(study, delrec)).beyond(delrec).scores(cases, items)
    np.testing.assert_allclose(np.stack(scores[DELREC]), again, atol=1e-4)
    mixed = pd.read_parquet(folder / "mixed" / "scores.parquet")["cold"]
    assert 0.4 < mixed.mean() < 0.6


def test_a_p_that_learns_on_is_its_own_and_every_row_is_priced_once(run):
    own = Study(run).recommender("delrec_joint_prompt").P
    assert (own.c, own.k) == (2, 3) and (run.folder("adapter") / JOINT / DISTILLED).is_file()
    costs = pd.read_csv(run.folder("evaluation") / "costs.csv").set_index("method")
    assert costs.loc[JOINT, "trainable"] == costs.loc[DELREC, "trainable"], "P is counted once"
    taught = costs.loc[DISTILLED_P, "teacher_examples"]
    assert taught > 48, "the warm start has read more than stage 1"
    alike = costs.loc[[DELREC, KEPT, FADED, BOTH], "teacher_examples"]
    assert (alike == taught).all(), "what both learn from is counted once"
    assert costs.loc[BOTH, "true_labels"] == 0 and (costs["seconds"] >= 0).all()


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
