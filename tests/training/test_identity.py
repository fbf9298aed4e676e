"""A training with another loss, task or template is another training."""

import numpy as np

from delrec_kit.llm import Prompt
from delrec_kit.training import Examples, identity, kl_loss


def examples(*ids, candidates=((1, 2),)):
    prompts = [Prompt(np.array(own), ()) for own in ids]
    items = np.array(candidates * len(prompts))
    return Examples(prompts, items, np.ones(items.shape, np.float32))


def one(scores, targets):
    """Said in one way."""
    return (scores - targets).square().sum(-1)


def same(scores, targets):
    """Said in another."""
    return (scores - targets).square().sum(-1)


def test_it_is_what_the_code_does_and_what_the_examples_say():
    known = identity(one, [("rps", examples([1, 2], [3]))])
    assert known == identity(same, [("rps", examples([1, 2], [3]))]) and len(known) == 12
    others = [
        identity(kl_loss, [("rps", examples([1, 2], [3]))]),
        identity(lambda s, t: 2 * (s - t).square().sum(-1), [("rps", examples([1, 2], [3]))]),
        identity(one, [("ta", examples([1, 2], [3]))]),
        identity(one, [("rps", examples([1, 2], [4]))]),
        identity(one, [("rps", examples([1, 2]))]),
        identity(one, [("rps", examples([1, 2], [3], candidates=((1, 3),)))]),
    ]
    assert len({known, *others}) == 7


def test_functions_inside_a_loss_count():
    def outer(scores, targets):
        return (lambda x: x * 1000)(scores)

    def other(scores, targets):
        return (lambda x: x * 1001)(scores)

    assert identity(outer) != identity(other)
