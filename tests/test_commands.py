"""Every command that README, docs and notebooks name is one that there is, with these very words."""

import importlib.util
import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer

from delrec_kit.__main__ import app
from delrec_kit.batch.sweep import read_grid
from delrec_kit.settings.profiles import read_profile

ROOT = Path(__file__).parent.parent
STARTS = ("python -m", "make ", "pip install", "conda ", "jupyter ", "accelerate launch", "papermill ")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


def prose(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


def commands():
    """(file, command) of every line of a block without a language, and of every piece of code in a line."""
    for path in sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]):
        text = prose(path)
        blocks = re.findall(r"^```\n(.*?)^```", text, flags=re.S | re.M)
        lines = [re.sub(r"\s+#.*", "", line) for block in blocks for line in block.replace("\\\n", "").splitlines()]
        parts = [part.strip().lstrip("!") for line in lines for part in line.split("&&")]
        parts += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))
        yield from dict.fromkeys((path.name, part) for part in parts if part.startswith(STARTS))


def parsed(words):
    """The command line's own reading of ``words``, behind ``python -m delrec_kit``, as parameters by name."""
    group = typer.main.get_command(app)
    with group.make_context("delrec_kit", list(words), resilient_parsing=False) as top:
        name, command, rest = group.resolve_command(top, list(words))
        return name, command.make_context(name, rest, parent=top).params


@pytest.mark.parametrize(("file", "command"), list(commands()))
def test_it_is_there(file, command):
    words = shlex.split(command)
    if "-m delrec_kit " in command:
        name, given = parsed(words[words.index("delrec_kit") + 1 :])
        if name == "run":
            read_profile(given["profile"])
        if name == "sweep" and str(given["grid"]).startswith("experiments/"):
            assert read_grid(ROOT / given["grid"])
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]) is not None
    elif words[0] == "make":
        done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    elif words[0] == "pip":
        extras = re.search(r"\[(.*)\]", words[-1])
        assert extras is None or set(extras[1].split(",")) <= EXTRAS.keys()
    else:
        assert words[0] in ("conda", "jupyter", "papermill", "accelerate")
        assert all((ROOT / word).exists() for word in words if word.endswith((".yml", "/")))
