"""What a training is about, beyond its settings: in a notebook, the loss, the tasks and the templates can change."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from types import CodeType

import numpy as np

from delrec_kit.training.examples import Examples


def identity(loss: Callable, parts: Iterable[tuple[str, Examples]] = ()) -> str:
    """Twelve signs that differ where the code of the loss or any example of the named parts does, so that a changed
    training does not go on from another's checkpoint."""
    digest = hashlib.sha256()
    for piece in _code(getattr(loss, "__code__", None), getattr(loss, "__doc__", None)):
        digest.update(piece)
    for name, examples in parts:
        digest.update(f"{name} {len(examples)}".encode())
        for prompt in examples.prompts:
            digest.update(np.ascontiguousarray(prompt.ids).tobytes())
        digest.update(np.ascontiguousarray(examples.candidates).tobytes())
    return digest.hexdigest()[:12]


def _code(code: CodeType | None, doc: str | None = None) -> Iterator[bytes]:
    """What a function does, wherever it stands: its instructions, names and constants but ``doc``, and those of the
    functions in it."""
    if code is None:
        return
    yield code.co_code + repr(code.co_names).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        elif constant is None or constant != doc:
            yield repr(constant).encode()
