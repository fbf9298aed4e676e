import torch
from hypothesis import given
from hypothesis import strategies as st

from delrec_kit.training.task_weights import TaskWeights

positive = st.floats(1e-3, 1e3)


@given(st.lists(st.tuples(positive, positive, positive, positive), min_size=1, max_size=6))
def test_weights_stay_positive_and_keep_their_sum(steps):
    weights = TaskWeights([1.0, 2.0], dynamic=True)
    for a, b, c, d in steps:
        w = weights.update(torch.tensor([a, b]), torch.tensor([c, d]))
        assert (w > 0).all()
        torch.testing.assert_close(w.sum(), torch.tensor(3.0))


def test_a_task_with_a_ten_times_smaller_gradient_weighs_ten_times_more():
    weights = TaskWeights([1.0, 1.0], dynamic=True)
    w = weights.update(torch.tensor([2.0, 2.0]), torch.tensor([10.0, 1.0]))
    torch.testing.assert_close(w, torch.tensor([2 / 11, 20 / 11]))


def test_a_task_that_learns_more_slowly_weighs_more():
    weights = TaskWeights([1.0, 1.0], dynamic=True)
    for loss in (4.0, *[1.0] * 30):
        w = weights.update(torch.tensor([loss, 4.0]), torch.tensor([1.0, 1.0]))
    assert w[1] > 1.2 * w[0]


def test_fixed_weights_stay():
    weights = TaskWeights([0.5, 2.0], dynamic=False)
    w = weights.update(torch.tensor([1.0, 9.0]), torch.tensor([5.0, 1.0]))
    assert w.tolist() == [0.5, 2.0]


def test_a_zero_weight_stays_zero_and_a_checkpoint_keeps_all(tmp_path):
    weights = TaskWeights([1.0, 0.0], dynamic=True)
    weights.update(torch.tensor([1.0, 9.0]), torch.tensor([5.0, 1.0]))
    assert weights.weights.tolist() == [1.0, 0.0]
    weights.save(tmp_path)
    other = TaskWeights([1.0, 0.0], dynamic=True)
    other.load(tmp_path)
    step = (torch.tensor([0.7, 3.0]), torch.tensor([2.0, 2.0]))
    torch.testing.assert_close(weights.update(*step), other.update(*step))
