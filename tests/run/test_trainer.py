"""The one training loop on a model of two numbers, of which one learns to be 3 and the other is frozen."""

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import TrainerCallback

from delrec_kit.run.checkpoints import last_checkpoint
from delrec_kit.run.surroundings import surroundings
from delrec_kit.run.trainer import KitTrainer, Loop
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve
from delrec_kit.training.trainer import stage_loop

CONFIG = resolve("smoke")
EXAMPLES = [{"wanted": torch.tensor(3.0 + noise)} for noise in (-0.2, 0.1, 0.0, 0.3, -0.1, -0.1)]


class Numbers(nn.Module):
    def __init__(self):
        super().__init__()
        self.learns = nn.Parameter(torch.tensor(0.0))
        self.frozen = nn.Parameter(torch.tensor(1.0), requires_grad=False)

    def forward(self, wanted):
        return ((self.frozen * self.learns - wanted) ** 2).mean()


class Seen(TrainerCallback):
    """A ``Resumable`` that counts validations, and looks at the checkpoints."""

    def __init__(self):
        self.count, self.names = 0, set()

    def on_evaluate(self, args, state, control, **kwargs):
        self.count += 1

    def save(self, folder):
        self.names |= set(load_file(folder / "trainable.safetensors"))
        (folder / "count.txt").write_text(str(self.count))

    def load(self, folder):
        self.count = int((folder / "count.txt").read_text())


@pytest.fixture
def loop(tmp_path):
    def _loop(**more):
        given = {"name": "numbers", "folder": tmp_path / "steps", "steps": 12, "every": 3, "batch": 2, "warmup": 0}
        given |= {"learning_rate": 0.6, "weight_decay": 0.0, "clip": 9.0, "seed": 0, "patience": 9, "untrained": True}
        return Loop(**given | more)

    return _loop


def trained(loop, measure=None, **more):
    """The model after training, and the curve; by default validation is the distance from 3."""
    model = Numbers()
    validate = lambda: {"loss": measure() if measure else abs(model.learns.item() - 3)}  # noqa: E731
    return model, KitTrainer(model, EXAMPLES, loop, validate, **more).fit()


def test_only_what_learns_moves_and_is_kept_and_the_curve_says_what_it_cost(loop, capsys):
    seen = Seen()
    model, curve = trained(loop(), resumables=[seen])
    assert list(curve) == ["step", "train_loss", "valid_loss", "seconds", "peak_mib"]
    assert curve["step"].tolist() == [0, 3, 6, 9, 12] and curve["train_loss"].isna().tolist() == [True] + [False] * 4
    assert curve["valid_loss"].iloc[0] == 3 and abs(model.learns.item() - 3) == pytest.approx(curve["valid_loss"].min())
    assert curve["valid_loss"].min() < 0.5 and model.frozen.item() == 1
    assert curve["seconds"].is_monotonic_increasing and (curve["peak_mib"] > 10).all()
    assert seen.names == {"learns"} and seen.count == 4 and not loop().folder.exists()
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in said] == [f"numbers: step {step}/12" for step in (3, 6, 9, 12)]


@pytest.mark.parametrize(
    ("told", "kept", "last"),
    [([1, 2, 3, 4], 0, 9), ([5, 1, 2, 3, 0], 3, 9), ([5, 1, 1, 1], 3, 9), ([5, 4, 3, 2, 1], 12, 12)],
)
def test_the_best_validation_is_kept_the_untrained_included(loop, told, kept, last):
    """Stopped at the second validation that is no better than the best."""
    told, at = iter(told), []
    model = Numbers()

    def validate():
        at.append(model.learns.item())
        return {"loss": next(told)}

    curve = KitTrainer(model, EXAMPLES, loop(patience=2), validate).fit()
    assert curve["step"].iloc[-1] == last
    assert model.learns.item() == pytest.approx(at[kept // 3]) and len(set(at)) == len(at)


def test_without_patience_the_last_steps_may_win(loop):
    """A good start, worse while the learning rate is high, and the best at its end: a stage 2 that begins with P."""
    told = iter([1, 2, 3, 4, 0.5])
    model, curve = trained(loop(patience=None), lambda: next(told))
    assert curve["step"].iloc[-1] == 12 and model.learns.item() != 0
    assert stage_loop("stage 2", CONFIG, CONFIG.finetune, 40, loop().folder).patience is None


def test_a_metric_that_is_no_loss_is_best_where_it_is_highest(loop):
    model, told = Numbers(), iter([0.2, 0.9, 0.1, 0.3])
    curve = KitTrainer(model, EXAMPLES, loop(best="HR@1", untrained=False), lambda: {"HR@1": next(told)}).fit()
    again = KitTrainer(other := Numbers(), EXAMPLES, loop(best="HR@1", untrained=False), lambda: {"HR@1": 0.5}).fit()
    assert curve["valid_HR@1"].tolist() == [0.2, 0.9, 0.1, 0.3] and again["step"].tolist() == [3, 6, 9, 12]
    assert model.learns.item() > other.learns.item() + 0.1, "step 6 is kept, and where all are equal the first"


def test_a_killed_training_resumes_to_the_same_end(loop, capsys):
    whole, curve = trained(loop(), resumables=[Seen()])
    calls = iter(range(1, 9))

    def dies():
        if next(calls) == 4:
            raise KeyboardInterrupt
        return 5 - next(values)

    values = iter(range(9))
    with pytest.raises(KeyboardInterrupt):
        trained(loop(), dies, resumables=[Seen()])
    torn = loop().folder / "checkpoint-99"  # as a kill in the middle of writing leaves it
    torn.mkdir()
    (torn / "trainer_state.json").write_text('{"global_step": 9')
    seen = Seen()
    resumed, again = trained(loop(), resumables=[seen])
    assert "numbers: resuming after step 6/12" in capsys.readouterr().out
    assert resumed.learns.item() == pytest.approx(whole.learns.item(), abs=1e-6) and seen.count == 4
    pd.testing.assert_series_equal(curve["train_loss"], again["train_loss"])
    assert again["seconds"].is_monotonic_increasing


def test_without_validation_the_last_weights_are_kept(loop):
    model = Numbers()
    curve = KitTrainer(model, EXAMPLES, loop(untrained=False)).fit()
    assert list(curve) == ["step", "train_loss", "seconds", "peak_mib"] and curve["step"].tolist() == [3, 6, 9, 12]
    assert abs(model.learns.item() - 3) < 0.5


def test_a_batch_that_processes_cannot_share_is_one_clear_line(loop, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(KitError, match="batch of 2"):
        KitTrainer(Numbers(), EXAMPLES, loop())


FULL = "CUDA out of memory. Tried to allocate 20.00 MiB."


class Narrow(Numbers):
    """Takes ``most`` examples at a time; with more it fails in the middle of the backward, as GPUs do."""

    def __init__(self, most, error):
        super().__init__()
        self.most, self.error = most, error

    def forward(self, wanted):
        if len(wanted) > self.most:
            super().forward(wanted).backward()
            raise self.error
        return super().forward(wanted)


@pytest.mark.parametrize("most", [2, 1])
def test_a_batch_that_is_too_large_is_taken_in_parts_to_the_same_end(loop, capsys, most):
    whole, curve = trained(loop(batch=3))
    surroundings(0)  # what was noted before
    model = Narrow(most, torch.OutOfMemoryError(FULL))
    halves = KitTrainer(model, EXAMPLES, loop(batch=3), lambda: {"loss": abs(model.learns.item() - 3)}).fit()
    assert model.learns.item() == pytest.approx(whole.learns.item(), abs=1e-6) and model.learns.item() > 1
    pd.testing.assert_frame_equal(curve.drop(columns=["seconds", "peak_mib"]), halves[list(curve)[:3]], rtol=1e-5)
    says = "numbers: a batch of {} ran out of memory (CUDA out of memory); from here on {} at a time, "
    says += "the same up to rounding"
    says = [says.format(size, (size + 1) // 2) for size in (3, 2)[: 3 - most]]
    said = capsys.readouterr().out
    assert all(said.count(line) == 1 for line in says)
    assert surroundings(0)["notes"] == says and "notes" not in surroundings(0), "it is in the record of the stage"


def test_as_few_at_a_time_as_is_asked_lead_to_the_same_end(loop, capsys):
    whole, _ = trained(loop(batch=4))
    model = Narrow(1, RuntimeError("two at a time"))
    KitTrainer(model, EXAMPLES, loop(batch=4, at_once=1), lambda: {"loss": abs(model.learns.item() - 3)}).fit()
    assert model.learns.item() == pytest.approx(whole.learns.item(), abs=1e-6)
    assert "memory" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("most", "error"), [(0, torch.OutOfMemoryError(FULL)), (2, RuntimeError("shapes differ"))], ids=["memory", "other"]
)
def test_a_single_example_that_is_too_large_and_other_errors_end_the_training(loop, most, error):
    with pytest.raises(type(error), match=str(error)[:12]):
        KitTrainer(Narrow(most, error), EXAMPLES, loop(batch=4, untrained=False)).fit()


class Power(TrainerCallback):
    """Ends the training as a kill does, before step ``at``."""

    def __init__(self, at):
        self.at = at

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("file", ["trainable.safetensors", "optimizer.pt", "trainer_state.json", "rng_state.pth"])
def test_a_damaged_checkpoint_is_not_gone_on_from(loop, file):
    """The one before it is, and what comes out is what an undisturbed training gives."""
    whole, curve = trained(loop(folder=loop().folder.parent / "whole"))
    model = Numbers()
    trainer = KitTrainer(model, EXAMPLES, loop(), lambda: {"loss": abs(model.learns.item() - 3)})
    trainer.add_callback(Power(8))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    harmed = loop().folder / "checkpoint-6" / file
    content = bytearray(harmed.read_bytes())
    content[-9] ^= 1
    harmed.write_bytes(content)
    assert last_checkpoint(loop().folder) == str(loop().folder / "checkpoint-3")
    again, curve_again = trained(loop())
    assert again.learns.item() == whole.learns.item()
    pd.testing.assert_series_equal(curve["train_loss"], curve_again["train_loss"])


def test_checkpoints_of_an_older_kit_are_gone_on_from(loop):
    folder = loop().folder / "checkpoint-3"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text("{}")
    assert last_checkpoint(loop().folder) == str(folder)
