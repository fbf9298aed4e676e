"""The whole road with a masked encoder, a conditioned P and nothing listed, on a random model: every stage fits."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from delrec_kit.llm import SoftPrompt
from delrec_kit.settings.methods import METHODS
from delrec_kit.study import pictures, pipeline
from delrec_kit.study.explain import explain_user
from delrec_kit.study.workbench import OWN_PROMPT

spec = importlib.util.spec_from_file_location("families", Path(__file__).parents[1] / "families.py")
families = importlib.util.module_from_spec(spec)
spec.loader.exec_module(families)
SETTINGS = [
    "llm.among=catalogue", "llm.history=4", "llm.prior=popularity", "distill.k=3", "distill.conditioned=2",
    "data.world_users=60", "data.world_items=80",
    "finetune.methods=[delrec, delrec_kept, delrec_faded, delrec_joint_prompt, llm_distilled_both]",
    "finetune.examples=64", "distill.examples=48", "evaluation.sets=[popularity-5]", "evaluation.orders=1",
    "evaluation.draws=2", "evaluation.rerank=10",
    "evaluation.methods=[llm_zero_shot, llm_untrained_prompt, llm_distilled_prompt]",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    model = families.make_model(tmp_path_factory.mktemp("bert"), "bert")
    run = pipeline.open_run(tmp_path_factory.mktemp("run"), "smoke", [*SETTINGS, f"llm.name={json.dumps(str(model))}"])
    pipeline.prepare_stage(run)
    pipeline.teacher_stage(run)
    pipeline.prompt_stage(run)
    pipeline.adapter_stage(run)
    pipeline.evaluation_stage(run)
    return run


def test_p_learned_and_depends_on_the_user(run):
    bench = pipeline.workbench(run)
    llm, writer, soft = bench.open_method("llm_distilled_prompt")
    untrained = bench.soft_prompt(METHODS["llm_untrained_prompt"], llm)
    assert (soft.k, soft.c) == (3, 2) and soft.numbers == 3 * 64 + 2 * 64 * 64
    prompts = bench.prompts(writer, METHODS["llm_distilled_prompt"], "test", bench.data.test_candidates)
    assert not {s.name for p in prompts for s in p.segments} & {"candidates"}, "nothing is listed"
    P = soft(writer.batch(prompts[:2]))
    assert (P[0, 1:] - P[1, 1:]).abs().max() > 1e-3 and (P[0, 0] == P[1, 0]).all()
    assert isinstance(untrained, SoftPrompt) and untrained.c == 2


def test_every_protocol_is_compared_over_its_draws(run):
    folder = run.folder("evaluation")
    for name, m, draws in (("", 15, 2), ("popularity-5", 5, 2), ("rerank", 10, 1)):
        comparison = json.loads((folder / name / "comparison.json").read_text())
        ranks = pd.read_parquet(folder / name / "per_user.parquet")
        assert comparison["m"] == m and {"delrec", "delrec_kept", "teacher"} <= set(comparison["methods"])
        assert np.stack(ranks["delrec"]).reshape(len(ranks), -1).shape[1] == draws
    assert len(pd.read_csv(folder / "recency.csv"))
    for name in ("llm_distilled_prompt", "delrec"):
        pieces = pd.read_csv(folder / "inside" / name / "pieces.csv")
        assert set(pieces["name"]) == {"history", "soft"} and pieces["effect"].abs().max() > 0


def test_a_p_that_learns_on_is_its_own_and_every_row_is_priced_once(run):
    _, _, own = pipeline.workbench(run).open_method("delrec_joint_prompt")
    assert (own.c, own.k) == (2, 3) and (run.folder("adapter") / "delrec_joint_prompt" / OWN_PROMPT).is_file()
    costs = pd.read_csv(run.folder("evaluation") / "costs.csv").set_index("method")
    assert costs.loc["delrec_joint_prompt", "trainable"] == costs.loc["delrec", "trainable"], "P is counted once"
    taught = costs.loc["llm_distilled_prompt", "teacher_examples"]
    assert taught > 48, "the warm start has read more than stage 1"
    alike = costs.loc[["delrec", "delrec_kept", "delrec_faded", "llm_distilled_both"], "teacher_examples"]
    assert (alike == taught).all(), "what both learn from is counted once"
    assert costs.loc["llm_distilled_both", "true_labels"] == 0 and (costs["seconds"] >= 0).all()


def test_the_prior_counts_training_interactions_alone(run):
    bench = pipeline.workbench(run)
    llm, writer = bench.open_llm()
    split = bench.data.split
    counts = np.bincount(split.train.values, minlength=split.n_items + 1) + 1
    alike = [counts[writer.table.canonical == first].sum() for first in writer.table.canonical[1:]]
    np.testing.assert_allclose(llm.prior[1:].exp().numpy(), np.array(alike) / counts[1:].sum(), rtol=1e-5)


def test_people_are_served_and_told_why(run):
    split = pipeline.load_data(run).split
    table = pipeline.recommend(run, [split.titles[i] for i in split.train[0][:3]], top=3)
    assert table["score"].is_monotonic_decreasing and len(table) == 3
    page = explain_user(pipeline.workbench(run), split.user_keys[0], "delrec_kept")
    assert "Integrated gradients" in page and page.count("<sup>") > 3 and "were not tested in this run" in page
    assert "attention rollout is" in explain_user(pipeline.workbench(run), split.user_keys[0])
    for draw in (pictures.words, pictures.cosines, pictures.projection):  # P depends on the user: that of a mean one
        assert len(draw(run)[1])
