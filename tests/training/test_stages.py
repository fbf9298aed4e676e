"""Both stages on the toy model, 4-bit and not: what learns, what must not move, and that a killed run resumes."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from delrec_kit.data import Cases, Ragged
from delrec_kit.llm import LlmRecommender, SoftPrompt, load_llm
from delrec_kit.settings.config import LlmConfig
from delrec_kit.settings.resolve import resolve
from delrec_kit.training import Joined, Ranker, TaskWriter, Validation, distill, finetune, load_adapter
from delrec_kit.training.examples import collate

K, M = 3, 5
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # threads may add in another order; a lost optimizer state is off by 1e-2
COST = ["seconds", "peak_mib"]
STAGE_1 = resolve("smoke", ["train.epochs=2", "train.batch=4", "distill.learning_rate=0.05", "distill.h=3"])
STAGE_2 = resolve("smoke", ["train.epochs=4", "train.batch=4", "finetune.learning_rate=5e-3", "finetune.rank=2"])


@pytest.fixture
def train():
    rng = np.random.default_rng(0)
    return Ragged.from_lists([rng.permutation([1, 2, *range(4, 13)])[:9] for _ in range(8)])


@pytest.fixture
def lists(train):
    """A teacher that always wants the highest item id that the user has not seen."""
    rows = []
    for user in range(len(train)):
        for length in (4, 6, 8):
            left = [i for i in range(18, 0, -1) if i not in train[user] and i != 3]
            rows.append((user, length, left[:4], [4.0, 3.0, 2.0, 1.0], left[4:8], [0.0] * 4))
    columns = ["user", "length", "top_items", "top_scores", "other_items", "other_scores"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture
def asking(writer):
    """A recommender over a language model, with a fresh P."""
    return lambda llm: LlmRecommender(llm, writer, SoftPrompt.untrained(llm, K, seed=0), history=5, name="delrec")


@pytest.fixture
def tasks(train, lists):
    return lambda recommender: TaskWriter(recommender, train, train, M, None, lists, seed=1)


@pytest.fixture
def validation(train):
    """Real metrics, but a loss that falls with the distance travelled: random targets teach nothing that lasts."""
    users = np.arange(len(train))
    cases = Cases(users, train, np.array([18 - u for u in users]))
    items = np.stack([np.array([18 - u, 13 if u < 5 else 18, 14 if u != 4 else 18, 15, 16]) for u in users])
    items[:, 3:] = [[17 if u != 1 else 12, 6] for u in users]

    def _validation(recommender, learns=lambda name: False):
        measure = Validation(recommender, cases, items, np.zeros(items.shape))
        parts = [p for name, p in Ranker(recommender).named_parameters() if learns(name)]
        start = [p.detach().clone() for p in parts]
        moved = lambda: sum((p - q).norm().item() for p, q in zip(parts, start, strict=True))  # noqa: E731
        return lambda: measure() | ({"loss": -moved()} if parts else {})

    return _validation


def of_p(name):
    return name == "soft.vectors"


def run_distill(delrec, tasks, measure, folder):
    delrec.P.requires_grad_(True)
    curve, travelled = distill(delrec, tasks(delrec).stage_1(STAGE_1.distill), STAGE_1, measure, folder)
    return curve.merge(travelled[travelled["token"] == 0], on="step")


def run_finetune(delrec, tasks, measure, folder, config=STAGE_2):
    """Stage 2 with a frozen P; by default validation likes a long way of the singular values, which start at zero."""
    delrec.P.requires_grad_(False)
    far = lambda: {"loss": -sum(p.norm().item() for n, p in delrec.llm.named_parameters() if "lora_E" in n)}  # noqa: E731
    return finetune(delrec, Joined([tasks(delrec).next_item(24)]), config, measure or far, folder)


def bits(module):
    return {
        n: t.detach().clone() for n, t in {**dict(module.named_parameters()), **dict(module.named_buffers())}.items()
    }


def test_stage_1_moves_only_the_soft_prompt(llm, asking, tasks, validation, tmp_path):
    before, delrec = bits(llm), asking(llm)
    untrained = delrec.P.vectors.detach().clone()
    validation(delrec)()  # an evaluation first: 4-bit layers must still pass gradients afterwards
    curve = run_distill(delrec, tasks, validation(delrec, of_p), tmp_path / "c")
    assert curve["step"].tolist() == list(range(13)), "24 examples in batches of 4, twice"
    assert ((delrec.P.vectors - untrained).abs().amax(dim=1) > 1e-3).all(), "every soft vector must learn"
    after = bits(llm)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), f"{name} moved"
    assert not (tmp_path / "c").exists(), "checkpoints are cleaned up"


def test_stage_1_learns_the_teacher(plain_llm, asking, tasks, tmp_path):
    delrec = asking(plain_llm)
    rps, config = tasks(delrec).pattern_simulating(24, h=3), resolve("smoke", ["train.epochs=20", "train.batch=4"])
    batch, ranker = collate(delrec.writer, [rps[i] for i in range(len(rps))]), Ranker(delrec)
    loss = lambda: ranker(batch["prompts"], batch["titles"], batch["targets"]).item()  # noqa: E731
    before = loss()
    distill(delrec, {"rps": rps}, config, lambda: {"loss": loss()}, tmp_path / "c")
    assert loss() < before - 0.3


def test_another_loss_is_what_is_trained(plain_llm, asking, tasks, tmp_path):
    """A loss that wants the first candidate, whatever the targets say."""
    delrec = asking(plain_llm)
    rps = tasks(delrec).pattern_simulating(24, h=3)
    wants_first = lambda scores, targets: -scores.log_softmax(-1)[:, 0]  # noqa: E731
    scores = lambda: torch.from_numpy(delrec.score_prompts(rps.prompts, rps.candidates))  # noqa: E731
    lost = lambda: {"loss": wants_first(scores(), None).mean().item()}  # noqa: E731
    first, config = scores().argmax(1) == 0, resolve("smoke", ["train.epochs=30", "train.batch=4"])
    distill(delrec, {"rps": rps}, config, lost, tmp_path / "c", loss=wants_first)
    assert (scores().argmax(1) == 0).float().mean() > first.float().mean() + 0.2


def test_stage_2_moves_only_the_adapter(llm, asking, tasks, tmp_path):
    before, delrec = bits(llm), asking(llm)
    vectors = delrec.P.vectors.detach().clone()
    tuned = run_finetune(delrec, tasks, None, tmp_path / "c")
    assert torch.equal(delrec.P.vectors, vectors)
    after = {n.replace(".base_layer", ""): t for n, t in bits(llm).items() if "lora_" not in n and "ranknum" not in n}
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), f"{name} moved"
    assert {name.rpartition(".")[2] for name in tuned.ranks} == {"q", "v"} and len(tuned.ranks) == 12
    assert max(p.abs().max() for n, p in llm.named_parameters() if "lora_E" in n) > 1e-4, "the adapter must learn"
    assert tuned.trainable == sum(p.numel() for n, p in llm.named_parameters() if ".lora_" in n)


def test_p_learns_in_stage_2_where_it_is_told_to(plain_llm, asking, tasks, validation, tmp_path):
    delrec = asking(plain_llm)
    vectors = delrec.P.requires_grad_(True).vectors.detach().clone()
    measure = validation(delrec, of_p)
    tuned = finetune(delrec, Joined([tasks(delrec).next_item(24)]), STAGE_2, measure, tmp_path / "c")
    assert (delrec.P.vectors - vectors).abs().max() > 1e-4
    assert tuned.trainable == delrec.P.numbers + sum(
        p.numel() for n, p in plain_llm.named_parameters() if ".lora_" in n
    )


def test_p_learns_from_labels_by_itself(llm, asking, tasks, validation, tmp_path):
    before, tuned_prompt = bits(llm), replace(asking(llm), name="llm_prompt_tuned")
    vectors = tuned_prompt.P.requires_grad_(True).vectors.detach().clone()
    examples, measure = Joined([tasks(tuned_prompt).next_item(24)]), validation(tuned_prompt, of_p)
    tuned = finetune(tuned_prompt, examples, STAGE_2, measure, tmp_path / "c")
    furthest = tuned.curve["step"].max() * STAGE_2.finetune.learning_rate  # Adam's steps are the learning rate at most
    assert (tuned_prompt.P.vectors - vectors).abs().max() > furthest, "P learns as fast as in stage 1"
    assert all(torch.equal(tensor, before[name]) for name, tensor in bits(llm).items() if name != "soft.vectors")
    assert tuned.trainable == tuned_prompt.P.numbers and not tuned.ranks and tuned.adapter is None
    tuned.save(tmp_path / "a")
    assert not (tmp_path / "a").exists(), "no adapter, no file of one"


def test_passes_over_labels_can_be_more_than_those_of_stage_1(plain_llm, asking, tasks, tmp_path):
    config = resolve("smoke", ["train.epochs=1", "train.batch=12", "finetune.epochs=3"])
    assert run_finetune(asking(plain_llm), tasks, None, tmp_path / "c", config).curve["step"].max() == 6


def test_a_stage_2_of_one_step_ends_well(plain_llm, asking, tasks, tmp_path):
    delrec, config = asking(plain_llm), resolve("smoke", ["train.epochs=1", "train.batch=24"])
    tuned = run_finetune(delrec, tasks, None, tmp_path / "c", config)
    assert tuned.curve["step"].tolist() == [0, 1] and sum(tuned.ranks.values()) > 0
    tuned.save(tmp_path / "a")
    assert (tmp_path / "a" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize("quantization", ["bf16", "fp16"])
def test_both_stages_learn_where_layers_compute_in_half_precision(
    quantization, toy_llm_folder, asking, tasks, validation, tmp_path
):
    llm = load_llm(LlmConfig(name=str(toy_llm_folder), quantization=quantization), "cpu")
    delrec = asking(llm)
    curve = run_distill(delrec, tasks, validation(delrec, of_p), tmp_path / "c")
    assert (curve["moved"].iloc[-1] > 0.01) and np.isfinite(curve["train_loss"].iloc[1:]).all()
    before = [p.clone() for n, p in llm.named_parameters() if "lora_" not in n]
    tuned = run_finetune(delrec, tasks, None, tmp_path / "c")
    after = [p for n, p in llm.named_parameters() if "lora_" not in n and "ranknum" not in n]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    learning = {n for n, p in llm.named_parameters() if p.requires_grad}
    assert len(learning) == 3 * len(tuned.ranks) and all(".lora_" in name for name in learning)
    assert max(p.abs().max() for n, p in llm.named_parameters() if "lora_E" in n) > 1e-4


def test_adalora_meets_its_budget(plain_llm, asking, tasks, tmp_path):
    losses = iter(range(1000, 0, -1))
    config = resolve("smoke", ["train.epochs=10", "train.batch=4", "finetune.rank=2"])
    measure = lambda: {"loss": float(next(losses))}  # noqa: E731
    ranks = run_finetune(asking(plain_llm), tasks, measure, tmp_path / "c", config).ranks
    assert sum(ranks.values()) == config.finetune.rank * len(ranks)
    assert len(set(ranks.values())) > 1, "ranks must differ between layers, or nothing was adapted"


def test_a_saved_adapter_scores_as_the_trained_one(llm, toy_llm_folder, asking, tasks, validation, tmp_path):
    four_bit, delrec = hasattr(llm.model.config, "quantization_config"), asking(llm)
    run_finetune(delrec, tasks, None, tmp_path / "c").save(tmp_path / "a")
    trained = validation(delrec)()
    assert sum(p.abs().sum() for n, p in llm.named_parameters() if "lora_E" in n) > 0
    fresh = load_llm(LlmConfig(name=str(toy_llm_folder), quantization="nf4" if four_bit else "fp32"), "cpu")
    again = replace(delrec, llm=fresh)
    plain = validation(again)()
    load_adapter(fresh, tmp_path / "a")
    assert validation(again)()["loss"] == pytest.approx(trained["loss"], abs=1e-5)
    assert abs(plain["loss"] - trained["loss"]) > 1e-3
    assert not any(p.requires_grad for p in fresh.parameters())


class Killed(Exception):
    pass


def killed_at(calls, measure):
    """``measure``, until it is called for the ``calls``-th time: as if the machine went away."""
    count = iter(range(1, 1000))

    def wrapped():
        if next(count) == calls:
            raise Killed
        return measure()

    return wrapped


def test_stage_1_resumes_where_it_was_killed(plain_llm, asking, tasks, validation, tmp_path):
    whole = asking(plain_llm)
    curve = run_distill(whole, tasks, validation(whole, of_p), tmp_path / "c1")
    delrec = asking(plain_llm)
    measure = validation(delrec, of_p)
    with pytest.raises(Killed):
        run_distill(delrec, tasks, killed_at(8, measure), tmp_path / "c2")
    torn = tmp_path / "c2" / "checkpoint-99"  # as a kill in the middle of writing leaves it
    torn.mkdir()
    (torn / "trainer_state.json").write_text('{"global_step": 9')
    with torch.no_grad():
        delrec.P.vectors.zero_()
    resumed = run_distill(delrec, tasks, measure, tmp_path / "c2")
    pd.testing.assert_frame_equal(curve.drop(columns=COST), resumed.drop(columns=COST))
    assert resumed["seconds"].is_monotonic_increasing and len(resumed) == 13, "what came before the kill is counted"
    assert (resumed["peak_mib"] > 50).all()
    assert curve["moved"].iloc[0] == 0 and curve["length"].iloc[0] == 1 and curve["moved"].iloc[-1] > 0.01
    torch.testing.assert_close(whole.P.vectors, delrec.P.vectors, **CLOSE)


def test_stage_2_resumes_where_it_was_killed(toy_llm_folder, asking, tasks, tmp_path):
    fresh = lambda: asking(load_llm(LlmConfig(name=str(toy_llm_folder), quantization="fp32"), "cpu"))  # noqa: E731
    far = lambda llm: {"loss": -sum(p.norm().item() for n, p in llm.named_parameters() if "lora_E" in n)}  # noqa: E731
    whole = run_finetune(fresh(), tasks, None, tmp_path / "c1")
    whole.save(tmp_path / "a1")
    delrec = fresh()
    with pytest.raises(Killed):
        run_finetune(delrec, tasks, killed_at(8, lambda: far(delrec.llm)), tmp_path / "c2")
    resumed = run_finetune(fresh(), tasks, None, tmp_path / "c2")
    resumed.save(tmp_path / "a2")
    pd.testing.assert_frame_equal(whole.curve.drop(columns=COST), resumed.curve.drop(columns=COST))
    assert whole.ranks == resumed.ranks and sum(whole.ranks.values()) > 0
    first, second = (load_file(tmp_path / a / "adapter_model.safetensors") for a in ("a1", "a2"))
    assert first.keys() == second.keys()
    torch.testing.assert_close(first, second, **CLOSE)


@pytest.mark.parametrize("fits", [2, 1, 0], ids=["half a batch", "one", "one, recomputed"])
def test_both_stages_end_the_same_where_a_batch_does_not_fit(
    toy_llm_folder, asking, tasks, validation, tmp_path, capsys, fits
):
    """A stand-in for a GPU that is full. No dropout here: parts would draw other numbers for it."""

    def ends(name):
        delrec = asking(load_llm(LlmConfig(name=str(toy_llm_folder), quantization="fp32"), "cpu"))
        curve = run_distill(delrec, tasks, validation(delrec, of_p), tmp_path / f"{name}1")
        vectors, tuned = delrec.P.vectors.detach().clone(), run_finetune(delrec, tasks, None, tmp_path / f"{name}2")
        learned = [p.detach() for n, p in delrec.llm.named_parameters() if ".lora_" in n]
        return (
            curve.drop(columns=COST),
            tuned.curve.drop(columns=COST),
            vectors,
            torch.cat([p.flatten() for p in learned]),
        )

    forward = Ranker.forward

    def narrow(self, prompts, titles, targets, weights=None):
        if len(targets) > max(fits, int(self.llm.model.is_activation_checkpointing)):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(self, prompts, titles, targets, weights)

    whole = ends("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ranker, "forward", narrow)
        halves = ends("halves")
    said = capsys.readouterr().out
    assert said.count("a batch of 4 ran out of memory") == said.count("from here on 2 at a time") == 2
    assert said.count("activations are recomputed") == (fits == 0), "stage 2 finds the model so"
    for one, two in zip(whole[:2], halves[:2], strict=True):
        pd.testing.assert_frame_equal(one, two, **CLOSE)
    for one, two in zip(whole[2:], halves[2:], strict=True):
        assert torch.allclose(one, two, **CLOSE)


def test_what_the_teacher_said_fades(plain_llm, asking, tasks, tmp_path, monkeypatch):
    seen, inner, delrec = [], Ranker.forward, asking(plain_llm)

    def watched(self, prompts, titles, targets, weights=None):
        if weights is not None:
            seen.append(weights.tolist())
        return inner(self, prompts, titles, targets, weights)

    monkeypatch.setattr(Ranker, "forward", watched)
    draw = tasks(delrec)
    examples = Joined([draw.temporal_analysis(5, a=4), draw.next_item(3)], fades=True)
    delrec.P.requires_grad_(False)
    config = resolve("smoke", ["train.epochs=2", "train.batch=4"])
    finetune(delrec, examples, config, lambda: {"loss": 0.0}, tmp_path / "c")
    assert len(seen) == 4, "two passes of two batches"
    for step, weights in enumerate(seen):
        assert set(weights) <= {1.0, 1 - step / 4}, "a quarter less with every step"
    assert sum(weight == 1.0 for weights in seen[1:] for weight in weights) < sum(map(len, seen[1:]))


def loss_of(ranker, writer, rows, weights=None):
    batch = collate(writer, rows)
    return ranker(batch["prompts"], batch["titles"], batch["targets"], weights).item()


def test_a_row_counts_as_much_as_its_weight(plain_llm, writer, asking, tasks):
    delrec = asking(plain_llm)
    made = tasks(delrec).next_item(3)
    ranker, rows = Ranker(delrec), [made[i] for i in range(3)]
    each = [loss_of(ranker, writer, [row]) for row in rows]
    assert loss_of(ranker, writer, rows) == pytest.approx(np.mean(each), rel=1e-5)
    weighed = loss_of(ranker, writer, rows, torch.tensor([1.0, 0.0, 0.5]))
    assert weighed == pytest.approx((each[0] + each[2] / 2) / 3, rel=1e-5) and weighed != pytest.approx(np.mean(each))


def test_what_is_not_ranked_moves_no_loss(plain_llm, writer, asking, tasks):
    delrec = replace(asking(plain_llm), P=None)
    made, ranker = tasks(delrec).next_item(4), Ranker(delrec)
    rows = [made[i] for i in range(4)]
    without = [replace(row, target=np.where(np.arange(M) == row.target.argmax() - 1, -1, row.target)) for row in rows]
    place = int(made.targets[0].argmax())
    with torch.no_grad():
        scores = delrec.logits(*delrec.tensors(made.prompts[:1], made.candidates[:1]))[0]
    left = [i for i in range(M) if i != (place - 1) % M] if place else list(range(M))
    wanted = -scores[left].log_softmax(0)[left.index(place)]
    assert loss_of(ranker, writer, without[:1]) == pytest.approx(wanted.item(), rel=1e-4)
    assert np.isfinite(loss_of(ranker, writer, without))
    assert loss_of(ranker, writer, rows) > loss_of(ranker, writer, without)
