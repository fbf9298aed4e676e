"""Log-likelihoods without logits: the same numbers and gradients as with them, and no tensor of tokens times words."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from delrec_kit.llm import likelihoods
from delrec_kit.llm.likelihoods import Finish, token_log_likelihoods


def plain(states, head, labels, finish):
    logits = F.linear(states, head.weight, head.bias).float() * finish.scale
    logits = torch.tanh(logits / finish.cap) * finish.cap if finish.cap else logits
    return -F.cross_entropy(logits, labels, reduction="none")


def frozen(d, V, bias=False, seed=0):
    torch.manual_seed(seed)
    return nn.Linear(d, V, bias=bias).requires_grad_(False)


@given(
    T=st.integers(1, 9), V=st.integers(2, 40), rows=st.integers(1, 4), bias=st.booleans(),
    scale=st.sampled_from([1.0, 0.25, 3.0]), cap=st.sampled_from([None, 2.0, 30.0]), seed=st.integers(0, 99),
)  # fmt: skip
def test_values_and_gradients_are_those_of_logits_that_are_kept(T, V, rows, bias, scale, cap, seed):
    head, finish = frozen(6, V, bias, seed), Finish(scale, cap)
    states, labels, upstream = torch.randn(T, 6) * 3, torch.randint(V, (T,)), torch.randn(T)
    found, gradients = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likelihoods, "CHUNK", {"cpu": rows * V})
        patch.setattr(likelihoods, "FEWEST", 1)
        for way in (token_log_likelihoods, plain):
            asked = states.clone().requires_grad_(True)
            value = way(asked, head, labels, finish)
            (value * upstream).sum().backward()
            found.append(value.detach())
            gradients.append(asked.grad)
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)
    assert gradients[0].abs().max() > 0 or V == 1


@pytest.mark.parametrize("size", [1e-3, 1.0, 300.0])
def test_logits_of_any_size_and_order(size, monkeypatch):
    """The largest may come first, last, or lie thousands above the rest."""
    monkeypatch.setattr(likelihoods, "CHUNK", {"cpu": 21})
    monkeypatch.setattr(likelihoods, "FEWEST", 1)
    head, labels = frozen(6, 40), torch.arange(7)
    for rising in (1, -1):
        head.weight.data = (torch.arange(40.0) * rising * size / 40)[:, None] + torch.randn(40, 6) * size / 10
        found = []
        for way in (token_log_likelihoods, plain):
            states = torch.ones(7, 6, requires_grad=True)
            value = way(states, head, labels, Finish())
            value.sum().backward()
            found.append((value.detach(), states.grad))
        torch.testing.assert_close(found[0], found[1], atol=1e-4 * max(1, size), rtol=1e-4)
        assert torch.isfinite(found[0][0]).all() and found[0][1].abs().max() > 0
    with torch.no_grad():
        torch.testing.assert_close(token_log_likelihoods(torch.ones(7, 6), head, labels), found[0][0])


def test_half_precision_is_as_near_as_logits_in_half_precision_are():
    head, labels = frozen(16, 50), torch.randint(50, (7,))
    states = torch.randn(7, 16)
    exact = states.clone().requires_grad_(True)
    plain(exact, head, labels, Finish()).sum().backward()
    half = states.bfloat16().requires_grad_(True)
    token_log_likelihoods(half, head.bfloat16(), labels).sum().backward()
    torch.testing.assert_close(half.grad.float(), exact.grad, atol=2e-2, rtol=5e-2)


def test_a_sure_token_keeps_its_small_gradient_in_half_precision():
    """Where the label has a probability near 1, what is left of its gradient is a difference of two large numbers."""
    head = frozen(16, 50)
    states, labels = torch.randn(7, 16), torch.arange(7)
    head.weight.data[:7] += 0.9 * states  # probabilities of .9 and more
    head = head.bfloat16()
    exact = states.bfloat16().float().requires_grad_(True)
    whole = frozen(16, 50)
    whole.weight.data = head.weight.data.float()
    sure = plain(exact, whole, labels, Finish())
    sure.sum().backward()
    half = states.bfloat16().requires_grad_(True)
    token_log_likelihoods(half, head, labels).sum().backward()
    assert sure.exp().mean() > 0.9
    assert (half.grad.float() - exact.grad).norm() < 0.05 * exact.grad.norm()


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation made."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return made


def test_no_tensor_grows_with_tokens_times_words(monkeypatch):
    head, labels = frozen(4, 1000), torch.randint(1000, (64,))
    monkeypatch.setattr(likelihoods, "CHUNK", {"cpu": 2000})
    monkeypatch.setattr(likelihoods, "FEWEST", 1)
    sizes = []
    for way in (token_log_likelihoods, plain):
        states = torch.randn(64, 4, requires_grad=True)
        with Largest() as largest:
            way(states, head, labels, Finish()).sum().backward()
        sizes.append(largest.numbers)
    assert sizes[0] <= 4000 and sizes[1] >= 64_000


def test_a_head_that_learns_gets_its_gradient():
    head, labels = frozen(4, 9).requires_grad_(True), torch.randint(9, (5,))
    token_log_likelihoods(torch.randn(5, 4), head, labels).sum().backward()
    assert head.weight.grad.abs().sum() > 0


def test_what_a_configuration_does_to_its_logits():
    class Config:
        logit_scale, logits_scaling, final_logit_softcapping = 0.5, 4.0, 30.0

    assert Finish.of(Config) == Finish(0.125, 30.0) and Finish.of(object()) == Finish()
