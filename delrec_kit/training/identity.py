"""What a training is about, beyond its settings: in a notebook, the loss, the tasks and the templates can change."""

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import CodeType, FunctionType
from typing import Any

import numpy as np
import torch

from delrec_kit.training.examples import Examples, OneOfAll

PLAIN = (int, float, complex, str, bytes, bool, type(None))


def identity(loss: Callable, parts: Iterable[tuple[str, Examples]] = ()) -> str:
    """Twelve signs that differ where what the loss does or any example of the named parts differs, so that a changed
    training does not go on from another's checkpoint.

    Of a function count its text, without its name, its docstring and the types of its arguments, or its bytecode where
    it has no text; defaults, and all that it takes from around it, functions too. Of a module count code and tensors.
    """
    digest = hashlib.sha256()
    for piece in _pieces(loss, set()):
        digest.update(piece)
    for name, examples in parts:
        targets = examples.targets.answers if isinstance(examples.targets, OneOfAll) else examples.targets
        arrays = [*(prompt.ids for prompt in examples.prompts), examples.candidates, targets]
        digest.update(f"{name} {len(examples)}".encode())
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]


def _pieces(value: Any, seen: set[int]) -> Iterator[bytes]:
    """What ``value`` does or holds; a function that was met before is not told again."""
    if isinstance(value, PLAIN):
        yield repr(value).encode()
        return
    if isinstance(value, FunctionType) and not (value.__module__ or "").startswith(("torch.", "numpy.", "scipy.")):
        if id(value) not in seen:
            seen.add(id(value))
            yield from _function(value, seen)
    elif isinstance(value, partial):
        yield from _pieces((value.func, value.args, value.keywords), seen)
    elif isinstance(value, torch.nn.Module):
        yield from _pieces((type(value).forward, dict(value.state_dict())), seen)
        yield from _pieces({k: v for k, v in vars(value).items() if isinstance(v, PLAIN) and k != "training"}, seen)
    elif isinstance(value, torch.Tensor):
        yield value.detach().cpu().float().numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, Mapping):
        yield from _pieces([piece for item in value.items() for piece in item], seen)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _pieces(each, seen)
    else:
        yield f"{type(value).__qualname__} {getattr(value, '__qualname__', '')}".encode()


def _function(function: FunctionType, seen: set[int]) -> Iterator[bytes]:
    text = _text(function)
    yield from [text.encode()] if text else _code(function.__code__, function.__doc__)
    yield from _pieces((function.__defaults__, function.__kwdefaults__), seen)
    for cell in function.__closure__ or ():
        yield from _pieces(cell.cell_contents, seen)
    for name in dict.fromkeys(_names(function.__code__)):
        if name in function.__globals__:
            yield from _pieces(function.__globals__[name], seen)


def _text(function: FunctionType) -> str | None:
    """What stands in its ``def``: the same in a notebook, in a module and in every version of Python, whose bytecode is
    not. None for one that was not written in a file or a cell. What a function wraps is another function."""
    try:
        (found,) = ast.parse(textwrap.dedent(inspect.getsource(function.__code__))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    if not isinstance(found, ast.FunctionDef):  # a lambda's line holds more than itself
        return None
    found.name, found.returns = "_", None
    for argument in ast.walk(found.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    if ast.get_docstring(found) is not None:
        found.body = found.body[1:] or [ast.Pass()]
    return ast.unparse(found)


def _code(code: CodeType, doc: str | None = None) -> Iterator[bytes]:
    """Instructions, names and constants but ``doc``, wherever they stand."""
    yield code.co_code + repr(code.co_names).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        elif constant is None or constant != doc:
            yield repr(constant).encode()


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
