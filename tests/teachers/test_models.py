import numpy as np
import pytest
import torch

from delrec_kit.data import Cases, Ragged
from delrec_kit.teachers import MODELS, Teacher

NAMES = list(MODELS)


def fixed(name, config, n_items=9):
    """A model whose weights follow from a formula, not from a random generator."""
    model = MODELS[name](n_items, config)
    with torch.no_grad():
        for place, parameter in enumerate(model.parameters()):
            values = torch.sin(torch.arange(parameter.numel(), dtype=torch.float64) * 0.7 + place)
            parameter.copy_(values.reshape(parameter.shape) * 0.3)
        model.items.weight[0] = 0.0
    return model


@pytest.mark.parametrize("name", NAMES)
def test_a_later_item_does_not_change_an_earlier_state(name, make_config):
    model = fixed(name, make_config(name)).eval()
    items = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
    states = model.states(items)
    for place in range(8):
        changed = items.clone()
        changed[0, place] = 7
        moved = (model.states(changed) - states).abs().amax(dim=(0, 2))
        assert torch.all(moved[:place] < 1e-6), "a state depends on what came later"
        assert moved[place] > 1e-4, "a state ignores its own item"


@pytest.mark.parametrize("name", NAMES)
def test_order_matters(name, make_config):
    model = fixed(name, make_config(name)).eval()
    one, two = model.states(torch.tensor([[1, 2, 3, 4]])), model.states(torch.tensor([[2, 1, 3, 4]]))
    assert (one[0, -1] - two[0, -1]).abs().max() > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_padding_on_the_right_changes_nothing(name, make_config):
    model = fixed(name, make_config(name)).eval()
    short, long = torch.tensor([[3, 1, 4]]), torch.tensor([[3, 1, 4, 0, 0, 0]])
    assert torch.allclose(model.states(short), model.states(long)[:, :3], atol=1e-6)
    targets = torch.tensor([[1, 4, 5]])
    more = torch.tensor([[1, 4, 5, 0, 0, 0]])
    assert torch.allclose(model(short, targets), model(long, more), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_the_cross_entropy_over_the_whole_catalogue(name, make_config):
    model = fixed(name, make_config(name)).eval()
    items, targets = torch.tensor([[3, 1, 4], [2, 7, 0]]), torch.tensor([[1, 4, 5], [7, 1, 0]])
    logits = model.logits(model.states(items))
    assert logits.shape == (2, 3, 9)
    terms = [-logits[b, i].log_softmax(0)[targets[b, i] - 1] for b, i in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1))]
    assert torch.allclose(model(items, targets), torch.stack(terms).mean())


GOLDEN = {
    "sasrec": [2.576755, 2.435666, 2.304594, 2.190891],
    "gru4rec": [2.179511, 2.139454, 2.103947, 2.072065],
    "caser": [2.134356, 2.08821, 2.045672, 2.005074],
}


@pytest.mark.parametrize("name", NAMES)
def test_golden_losses_of_a_few_steps(name, make_config):
    model = fixed(name, make_config(name))
    items = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 7, 1, 8, 0, 0]])
    targets = torch.tensor([[1, 4, 1, 5, 9, 2], [7, 1, 8, 2, 0, 0]])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(4):
        loss = model(items, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == pytest.approx(GOLDEN[name], rel=1e-5)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_padding_row_never_learns(name, make_config):
    model = MODELS[name](9, make_config(name))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.tensor([[3, 1, 0, 0]]), torch.tensor([[1, 4, 0, 0]])).backward()
        optimizer.step()
    assert torch.equal(model.items.weight[0], torch.zeros(16)) and model.bias[0] == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_scores_do_not_depend_on_company_and_padding_is_never_chosen(name, make_config):
    teacher = Teacher(fixed(name, make_config(name)), make_config(name), 9)
    people = Cases.of_histories(Ragged.from_lists([[3, 1, 4], [], [5], list(range(1, 10)), [9, 9, 9]]))
    scores = teacher.scores(people)
    assert scores.shape == (5, 10) and scores.dtype == np.float32
    assert np.all(scores[:, 0] == -np.inf) and np.isfinite(scores[:, 1:]).all()
    alone = np.concatenate([teacher.scores(people.take([u])) for u in range(5)])
    assert np.allclose(scores[:, 1:], alone[:, 1:], atol=1e-5)
    assert np.allclose(scores[1, 1:], teacher.model.bias[1:].detach())
    last = teacher.scores(Cases.of_histories(Ragged.from_lists([[7, *range(1, 9)], [2, *range(1, 9)]])))
    assert np.array_equal(last[0], last[1]), "what lies further back than L items is not read"
