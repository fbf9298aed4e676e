"""Both stages on the toy model, 4-bit and not: what learns, what must not move, and that a killed run resumes."""

import numpy as np
import pandas as pd
import pytest
import torch

from delrec_kit.data import Cases, Ragged
from delrec_kit.llm import SoftPrompt, load_llm
from delrec_kit.settings.config import DistillConfig, FinetuneConfig, LlmConfig
from delrec_kit.settings.methods import METHODS
from delrec_kit.training import Ask, ExampleWriter, Validation, distill, finetune, load_adapter

K, M = 3, 5
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # threads may add in another order; a lost optimizer state is off by 1e-2
PRICE = ["seconds", "peak_mib"]
DISTILL = DistillConfig(k=K, h=3, examples=24, epochs=2, batch=4, learning_rate=0.05, validations=3, patience=9)
FINETUNE = FinetuneConfig(
    examples=24, epochs=4, batch=4, learning_rate=5e-3, validations=3, patience=9, init_r=4, target_r=2
)


def ask(soft):
    return Ask(METHODS["llm_zero_shot" if soft is None else "delrec"], 5, K)


@pytest.fixture
def train():
    rng = np.random.default_rng(0)
    return Ragged.from_lists([rng.permutation([1, 2, *range(4, 13)])[:9] for _ in range(8)])


@pytest.fixture
def examples(writer, train):
    return ExampleWriter(writer, train, train, M, 5)


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
def validation(train):
    users = np.arange(len(train))
    cases = Cases(users, train, np.array([18 - u for u in users]))
    candidates = np.stack([np.array([18 - u, 13 if u < 5 else 18, 14 if u != 4 else 18, 15, 16]) for u in users])
    candidates[:, 3:] = [[17 if u != 1 else 12, 6] for u in users]
    return Validation(cases, candidates, np.zeros(candidates.shape), candidates[:, :2])


def best_when_moved(validation, llm, writer, soft, parameters):
    """Real metrics, but a loss that falls with the distance travelled: random targets teach nothing that lasts."""
    start = [p.detach().clone() for p in parameters()]

    def measure():
        metrics = validation.measure(llm, writer, soft, ask(soft))
        distance = sum((p - q).norm().item() for p, q in zip(parameters(), start, strict=True)) if start else 0.0
        return metrics | {"loss": -distance}

    return measure


def tasks(examples, lists):
    return {
        "ta": examples.temporal_analysis(24, DISTILL, seed=1),
        "rps": examples.pattern_simulating(lists, 24, DISTILL, seed=1),
    }


def run_distill(llm, writer, examples, lists, validation, folder, soft=None, measure=None, config=DISTILL):
    soft = soft or SoftPrompt.untrained(llm, K, seed=0)
    curve, growth = distill(
        llm,
        writer,
        soft,
        tasks(examples, lists),
        measure or best_when_moved(validation, llm, writer, soft, lambda: [soft.vectors]),
        config,
        0,
        folder,
    )
    return soft, curve.merge(growth[growth["token"] == 0], on="step")


def adapter_measure(validation, llm, writer, soft):
    """As ``best_when_moved`` for the adapter's singular values, which start at zero."""

    def measure():
        distance = sum(p.norm().item() for n, p in llm.named_parameters() if "lora_E" in n)
        return validation.measure(llm, writer, soft, ask(soft)) | {"loss": -distance}

    return measure


def run_finetune(llm, writer, examples, validation, soft, folder, checkpoints, measure=None, config=FINETUNE):
    return finetune(
        llm,
        writer,
        soft,
        examples.next_item(24, K, seed=2),
        measure or adapter_measure(validation, llm, writer, soft),
        config,
        0,
        checkpoints,
        folder,
    )


def bits(module):
    return {
        name: t.detach().clone()
        for name, t in {**dict(module.named_parameters()), **dict(module.named_buffers())}.items()
    }


def test_stage_1_moves_only_the_soft_prompt(llm, writer, examples, lists, validation, tmp_path):
    before = bits(llm)
    untrained = SoftPrompt.untrained(llm, K, seed=0).vectors.detach().clone()
    validation.measure(
        llm, writer, None, ask(None)
    )  # an evaluation first: 4-bit layers must still pass gradients afterwards
    soft, curve = run_distill(llm, writer, examples, lists, validation, tmp_path / "c")
    assert curve["step"].tolist() == [0, 4, 8, 12]
    moved = (soft.vectors - untrained).abs().amax(dim=1)
    assert (moved > 1e-3).all(), "every soft vector must learn"
    after = bits(llm)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), f"{name} moved"
    assert not (tmp_path / "c").exists(), "checkpoints are cleaned up"


def test_stage_1_learns_the_teacher(plain_llm, writer, examples, lists, validation, tmp_path):
    config = DISTILL.model_copy(update={"epochs": 20, "weight_ta": 0.0, "temperature": 0.5})
    rps = examples.pattern_simulating(lists, 24, config, seed=1)
    soft = SoftPrompt.untrained(plain_llm, K, seed=0)
    from delrec_kit.training.task import CandidateRanker, collate

    batch = collate(writer, [rps[i] for i in range(len(rps))])
    loss = lambda: CandidateRanker(plain_llm, soft)(**batch).item()  # noqa: E731
    before = loss()
    measure = lambda: {"loss": loss()}  # noqa: E731
    distill(plain_llm, writer, soft, {"rps": rps}, measure, config, 0, tmp_path / "c")
    assert loss() < before - 0.3


def test_stage_2_moves_only_the_adapter(llm, writer, examples, validation, tmp_path):
    before = bits(llm)
    soft = SoftPrompt.untrained(llm, K, seed=0)
    vectors = soft.vectors.detach().clone()
    _, ranks = run_finetune(llm, writer, examples, validation, soft, tmp_path / "a", tmp_path / "c")
    assert torch.equal(soft.vectors, vectors)
    after = {
        name.replace(".base_layer", ""): t
        for name, t in bits(llm).items()
        if "lora_" not in name and "ranknum" not in name
    }
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), f"{name} moved"
    assert {name.rpartition(".")[2] for name in ranks} == {"q", "v"}
    assert len(ranks) == 12
    moved = [p.abs().max() for n, p in llm.named_parameters() if "lora_E" in n]
    assert max(moved) > 1e-4, "the adapter must learn"


@pytest.mark.parametrize("quantization", ["nf4", "bf16", "fp16"])
def test_both_stages_learn_where_layers_compute_in_half_precision(
    quantization, toy_llm_folder, writer, examples, lists, validation, tmp_path
):
    llm = load_llm(LlmConfig(name=str(toy_llm_folder), quantization=quantization, compute_dtype="bfloat16"), "cpu")
    soft, curve = run_distill(llm, writer, examples, lists, validation, tmp_path / "c")
    assert (curve["moved"].iloc[-1] > 0.01) and np.isfinite(curve["train_loss"].iloc[1:]).all()
    before = [p.clone() for n, p in llm.named_parameters() if "lora_" not in n]
    _, ranks = run_finetune(llm, writer, examples, validation, soft, tmp_path / "a", tmp_path / "c")
    after = [p for n, p in llm.named_parameters() if "lora_" not in n and "ranknum" not in n]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    learning = {n for n, p in llm.named_parameters() if p.requires_grad}
    assert len(learning) == 3 * len(ranks) and all(".lora_" in name for name in learning)
    assert max(p.abs().max() for n, p in llm.named_parameters() if "lora_E" in n) > 1e-4


def test_adalora_meets_its_budget(plain_llm, writer, examples, validation, tmp_path):
    config = FINETUNE.model_copy(update={"epochs": 10})
    constant = {"loss": 1.0}
    losses = iter(range(100, 0, -1))
    soft = SoftPrompt.untrained(plain_llm, K, seed=0)
    _, ranks = finetune(
        plain_llm,
        writer,
        soft,
        examples.next_item(24, K, seed=2),
        lambda: constant | {"loss": float(next(losses))},
        config,
        0,
        tmp_path / "c",
        tmp_path / "a",
    )
    assert sum(ranks.values()) == config.target_r * len(ranks)
    assert len(set(ranks.values())) > 1, "ranks must differ between layers, or nothing was adapted"


def test_a_saved_adapter_scores_as_the_trained_one(llm, toy_llm_folder, writer, examples, validation, tmp_path):
    four_bit = hasattr(llm.model.config, "quantization_config")
    soft = SoftPrompt.untrained(llm, K, seed=0)
    run_finetune(llm, writer, examples, validation, soft, tmp_path / "a", tmp_path / "c")
    trained = validation.measure(llm, writer, soft, ask(soft))
    assert sum(p.abs().sum() for n, p in llm.named_parameters() if "lora_E" in n) > 0
    fresh = load_llm(LlmConfig(name=str(toy_llm_folder), quantization="nf4" if four_bit else "fp32"), "cpu")
    plain = validation.measure(fresh, writer, soft, ask(soft))
    load_adapter(fresh, tmp_path / "a")
    assert validation.measure(fresh, writer, soft, ask(soft))["loss"] == pytest.approx(trained["loss"], abs=1e-5)
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


def test_stage_1_resumes_where_it_was_killed(plain_llm, writer, examples, lists, validation, tmp_path):
    whole, curve = run_distill(plain_llm, writer, examples, lists, validation, tmp_path / "c1")
    soft = SoftPrompt.untrained(plain_llm, K, seed=0)
    start = soft.vectors.detach().clone()
    measure = lambda: {"loss": -(soft.vectors - start).norm().item()}  # noqa: E731
    run = lambda measure: run_distill(  # noqa: E731
        plain_llm, writer, examples, lists, validation, tmp_path / "c2", soft, measure
    )
    with pytest.raises(Killed):
        run(killed_at(4, measure))
    torn = tmp_path / "c2" / "checkpoint-99"  # as a kill in the middle of writing leaves it
    torn.mkdir()
    (torn / "trainer_state.json").write_text('{"global_step": 9')
    with torch.no_grad():
        soft.vectors.zero_()
    resumed, curve2 = run(measure)
    curve = curve[curve2.columns]
    pd.testing.assert_frame_equal(curve.drop(columns=PRICE), curve2.drop(columns=PRICE))
    assert curve2["seconds"].is_monotonic_increasing and len(curve2) == 4, "what came before the kill is counted"
    assert (curve2["peak_mib"] > 50).all()
    assert curve["moved"].iloc[0] == 0 and curve["length"].iloc[0] == 1 and curve["moved"].iloc[-1] > 0.01
    torch.testing.assert_close(whole.vectors, resumed.vectors, **CLOSE)


def test_stage_2_resumes_where_it_was_killed(toy_llm_folder, writer, examples, validation, tmp_path):
    from delrec_kit.llm import load_llm
    from delrec_kit.settings.config import LlmConfig

    fresh = lambda: load_llm(LlmConfig(name=str(toy_llm_folder), quantization="fp32"), "cpu")  # noqa: E731
    llm = fresh()
    soft = SoftPrompt.untrained(llm, K, seed=0)
    curve, ranks = run_finetune(llm, writer, examples, validation, soft, tmp_path / "a1", tmp_path / "c1")
    llm = fresh()
    with pytest.raises(Killed):
        measure = killed_at(4, adapter_measure(validation, llm, writer, soft))
        run_finetune(llm, writer, examples, validation, soft, tmp_path / "a2", tmp_path / "c2", measure)
    llm = fresh()
    curve2, ranks2 = run_finetune(llm, writer, examples, validation, soft, tmp_path / "a2", tmp_path / "c2")
    pd.testing.assert_frame_equal(curve.drop(columns=PRICE), curve2.drop(columns=PRICE))
    assert ranks == ranks2 and sum(ranks.values()) > 0
    from safetensors.torch import load_file

    first, second = (load_file(tmp_path / a / "adapter_model.safetensors") for a in ("a1", "a2"))
    assert first.keys() == second.keys()
    torch.testing.assert_close(first, second, **CLOSE)


def test_what_is_not_ranked_moves_no_loss(plain_llm, writer, examples):
    from delrec_kit.training.task import CandidateRanker, collate

    made = examples.next_item(4, 0, seed=0)
    ranker, rows = CandidateRanker(plain_llm, None), [made[i] for i in range(4)]
    without = [(p, items, np.where(np.arange(M) == target.argmax() - 1, -1, target)) for p, items, target in rows]
    first, items, place = made.prompts[:1], made.candidates[:1], int(made.targets[0].argmax())
    scores = plain_llm.score_titles(writer.batch(first), writer.pack(first, items))[0]
    left = [i for i in range(M) if i != place - 1]
    wanted = -scores[left].log_softmax(0)[left.index(place)]
    assert ranker(**collate(writer, without[:1])).item() == pytest.approx(wanted.item(), rel=1e-4)
    assert np.isfinite(ranker(**collate(writer, without)).item())
    assert ranker(**collate(writer, rows)).item() > ranker(**collate(writer, without)).item()
