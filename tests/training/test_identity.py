"""A training with another loss, task or template is another training."""

import hashlib
import json
import linecache
from functools import partial, wraps

import numpy as np
import pytest
import torch

from delrec_kit.llm import Prompt
from delrec_kit.settings.profiles import shipped
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


def test_what_a_loss_takes_from_around_it_counts():
    made = lambda tau: lambda scores, targets: scores / tau  # noqa: E731
    assert identity(made(1)) == identity(made(1)) != identity(made(20))
    assert identity(partial(one, 1)) != identity(partial(one, 2))

    def with_default(scores, targets, tau=1):
        return scores / tau

    before = identity(with_default)
    with_default.__defaults__ = (2,)
    assert identity(with_default) != before
    namespace = {"tau": 1}
    exec("def loss(scores, targets): return helper(scores) / tau\ndef helper(x): return x", namespace)
    told = [identity(namespace["loss"])]
    namespace["tau"] = 20
    told.append(identity(namespace["loss"]))
    exec("def helper(x): return x * 2", namespace)
    told.append(identity(namespace["loss"]))
    assert len(set(told)) == 3
    modules = [torch.nn.BCEWithLogitsLoss(), torch.nn.MSELoss(), torch.nn.CrossEntropyLoss(label_smoothing=0.1)]
    assert len({identity(each) for each in (*modules, torch.nn.CrossEntropyLoss())}) == 4


def test_targets_count():
    known, other = examples([1, 2], [3]), examples([1, 2], [3])
    other.targets[0, 0] = 0.5
    assert identity(one, [("rps", known)]) != identity(one, [("rps", other)])


def test_what_wraps_a_loss_counts():
    def times(factor):
        """Two wrappers that differ in their own text alone."""

        @wraps(one)
        def half(scores, targets):
            return one(scores, targets) / 2

        @wraps(one)
        def third(scores, targets):
            return one(scores, targets) / 3

        return {2: half, 3: third}[factor]

    assert len({identity(loss) for loss in (one, times(2), times(3))}) == 3


@pytest.mark.parametrize("notebook", ["03_prompt_distillation", "04_fine_tuning"])
def test_the_loss_that_stands_in_the_notebooks_is_the_librarys(notebook):
    """Compiled as a kernel does it: a cell by itself, whose bytecode is another than that of a module."""
    cells = json.loads(shipped("notebooks").joinpath(f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    (source,) = ("".join(cell["source"]) for cell in cells if "def loss(" in "".join(cell["source"]))
    changed = source.replace("F.log_softmax(scores", "F.log_softmax(scores / 2")
    for text, same in ((source, True), (changed, False)):
        name = f"<cell {hashlib.sha256(text.encode()).hexdigest()}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        namespace = {"F": torch.nn.functional}
        exec(compile(text, name, "exec"), namespace)
        assert (identity(namespace["loss"]) == identity(kl_loss)) is same and source != changed
