import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORT_NAMES = {
    "pyyaml": "yaml",
    "huggingface-hub": "huggingface_hub",
    "scikit-learn": "sklearn",
    "pytest-timeout": None,
    "pytest-xdist": None,
    "ruff": None,
    "myst-nb": None,
    "pydata-sphinx-theme": None,
    "nbstripout": None,
}  # None: tools, not imported
UNIMPORTED = {
    "bitsandbytes",
    "jupyterlab",
    "ipywidgets",
    "ipykernel",
    "nbformat",
    "tabulate",
    "jinja2",
}  # used by what we import or start
# with matplotlib (two), transformers, nbclient and ipykernel
COME_ALONG = {"cycler", "PIL", "tokenizers", "jupyter_client", "IPython", "traitlets"}
PEERS = {"recbole", "playwright", "ray"}  # measured beside ours, by a Python of its own; extras that are not locked
OPTIONAL = {
    name: extra
    for name, extra in PROJECT["optional-dependencies"].items()
    if name not in ("minilm", "gemma", "browser", "cluster")
}  # not locked
EVERYTHING = [*PROJECT["dependencies"], *(d for extra in OPTIONAL.values() for d in extra)]


def name(requirement):
    return re.match(r"[A-Za-z0-9._-]+", requirement).group().lower().replace("_", "-")


def imports(*folders):
    found = set()
    for path in (p for folder in folders for p in (REPOSITORY / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.split(".")[0])
    return found


@pytest.fixture(scope="module")
def lock():
    lines = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_the_lock_pins_everything_that_is_declared(lock):
    pinned = {name(line): line for line in lock}
    assert {name(d) for d in EVERYTHING} <= set(pinned)
    assert pinned["torch"] == "torch==2.13.0"


def test_the_lock_holds_exact_versions_and_nothing_of_a_place_or_a_gpu(lock):
    for line in lock:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line), line
        assert not re.match(r"nvidia|cuda|triton", line), line


@pytest.mark.parametrize("file", ["pyproject.toml", "requirements.lock", "environment.yml", "Makefile", ".ci/run"])
def test_no_registry_is_named(file):
    assert "://" not in (REPOSITORY / file).read_text(encoding="utf-8")


def test_every_dependency_is_used_and_everything_used_is_declared():
    used = imports("delrec_kit", "tests", "tools", "benchmarks")
    declared = {name(d) for d in EVERYTHING}
    for dependency in declared - UNIMPORTED:
        module = IMPORT_NAMES.get(dependency, dependency)
        assert module is None or module in used, f"nothing imports {dependency}"
    names = (
        {IMPORT_NAMES.get(d, d) for d in declared}
        | COME_ALONG
        | PEERS
        | {"delrec_kit", "tools", "benchmarks", "families", "as_frame"}
    )
    assert used - set(sys.stdlib_module_names) <= names


def test_conda_installs_from_the_same_lock():
    text = (REPOSITORY / "environment.yml").read_text(encoding="utf-8")
    assert "-r requirements.lock" in text
    assert "python=3.11" in text
