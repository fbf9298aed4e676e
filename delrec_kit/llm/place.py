"""Where a language model lies: in the kit, a package, a folder, a GGUF file, the local cache or the hub."""

from pathlib import Path
from typing import Any

from delrec_kit.llm import hub
from delrec_kit.llm.checkpoint import check_whole
from delrec_kit.llm.gemma import gemma_folder
from delrec_kit.llm.gguf import gguf_folder
from delrec_kit.llm.minilm import minilm_folder
from delrec_kit.run.inputs import is_gguf, looks_like_path
from delrec_kit.settings.config import LlmConfig
from delrec_kit.settings.errors import KitError

TINY = Path(__file__).parent / "tiny"


def place_of(config: LlmConfig) -> dict[str, Any]:
    """What ``from_pretrained`` is told of the place; of a hub that does not answer, only the local cache is asked.

    Raises KitError for a folder or file that is not there, or that is no whole model.
    """
    folder = _folder(config)
    return {
        "pretrained_model_name_or_path": config.repository if folder is None else str(folder),
        "revision": config.revision,
        "local_files_only": folder is not None or not hub.answers(),
        "trust_remote_code": False,
    }


def _folder(config: LlmConfig) -> Path | None:
    """None for a name on the hub."""
    known = {"tiny": lambda: TINY, "minilm": minilm_folder, "gemma": gemma_folder}
    if config.name in known:
        return known[config.name]()
    path = Path(config.name).expanduser()
    if is_gguf(config.name):
        if not path.is_file():
            raise KitError(f"no language model at {config.name}: there is no such file")
        return gguf_folder(path)
    if looks_like_path(config.name) and not path.is_dir():
        raise KitError(f"no language model at {config.name}: there is no such folder")
    if not path.is_dir():
        return None
    check_whole(path)
    return path
