"""Colab: where the repository lies, and what its notebooks need there beyond what the machine brings.

Colab's torch and numpy stay, and so does everything that the kernel has loaded: no restart is needed.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib import invalidate_caches, metadata
from pathlib import Path

from packaging.requirements import Requirement

REPOSITORY = "OWNER/delrec_kit"  # the one place that says so: `python -m tools.badges` writes it into the notebooks
KEPT = {"torch", "numpy"}  # what the machine's drivers and everything else are built for
WIDGETS = ("anywidget", "jinja2")  # of the extra "notebooks", what a kernel in Colab needs
ON_DRIVE = (  # said, not done: nobody's Drive is opened unasked
    "runs lie on this machine and go with the session; to keep them: from google.colab import drive; "
    "drive.mount('/content/drive'); and run_dir = '/content/drive/MyDrive/delrec_kit/demo' in every notebook"
)
LOADED_AS = {"pyyaml": "yaml", "scikit-learn": "sklearn"}


def install_missing() -> None:
    """Install what the kit needs and the machine lacks, and say what stays in a version that the kit is not tested
    with."""
    installed = {each.metadata["Name"].lower(): each.version for each in metadata.distributions()}
    wanted = [Requirement(text) for text in metadata.requires("delrec_kit") or ()]
    wanted = [each for each in wanted if each.marker is None or each.name in WIDGETS]
    install, kept = missing(wanted, installed, sys.modules)
    if kept:
        print(f"kept as Colab has them, the kit is tested with others: {', '.join(kept)}")
    if install:
        names = {Requirement(text).name.lower() for text in install}
        with tempfile.TemporaryDirectory() as folder:
            fixed = Path(folder) / "constraints.txt"
            fixed.write_text(
                "".join(f"{name}=={version}\n" for name, version in installed.items() if name not in names)
            )
            subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "-c", str(fixed), *install], check=True)
        invalidate_caches()
    if "google.colab" in sys.modules:
        sys.modules["google.colab"].output.enable_custom_widget_manager()
        print(ON_DRIVE)


def missing(
    wanted: Iterable[Requirement], installed: Mapping[str, str], loaded: Iterable[str]
) -> tuple[list[str], list[str]]:
    """What to install: what is not there, and what is there in another version and not yet ``loaded``. And what stays
    in another version. installed: name in small letters -> version."""
    install, kept = [], []
    for each in wanted:
        name, plain = each.name.lower(), f"{each.name}{each.specifier}"
        version = installed.get(name)
        if version is not None and each.specifier.contains(version, prereleases=True):
            continue
        stays = name in KEPT or LOADED_AS.get(name, name.replace("-", "_")) in loaded
        if version is None:
            install.append(plain)
        elif stays:
            kept.append(f"{each.name} {version}")
        else:
            install.append(plain)
    return install, kept
