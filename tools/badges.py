"""Writes the badge "Open in Colab" and the cell that installs there into every notebook, from ``REPOSITORY``:
``python -m tools.badges``."""

import json
import re
from pathlib import Path

from delrec_kit.settings.colab import REPOSITORY

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({})\n"
OLD = re.compile(r"\[!\[Open in Colab\].*\n")
CELL = f"""\
import importlib.util
import sys

if "google.colab" in sys.modules and importlib.util.find_spec("delrec_kit") is None:  # elsewhere nothing happens
    get_ipython().run_line_magic("pip", "install --quiet --no-deps git+https://github.com/{REPOSITORY}")
    from delrec_kit.settings.colab import install_missing

    install_missing()"""


def badge(path: Path) -> str:
    """The line that opens the notebook in Colab."""
    return BADGE.format(f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{path.name}")


def written(notebook: dict, path: Path) -> dict:
    """The notebook with the badge under its title and the cell before all other code."""
    cells = notebook["cells"]
    title, *rest = [line for line in cells[0]["source"] if not OLD.fullmatch(line)]
    text = "".join(rest).lstrip("\n").splitlines(keepends=True)
    cells[0]["source"] = [title, "\n", badge(path), "\n", *text]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    if "parameters" in code[0]["metadata"].get("tags", []):
        empty = {"cell_type": "code", "id": "", "metadata": {}, "execution_count": None, "outputs": [], "source": []}
        cells.insert(1, empty)
        code.insert(0, empty)
    code[0]["source"] = CELL.splitlines(keepends=True)
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number:02d}"
    return notebook


if __name__ == "__main__":
    for found in sorted(NOTEBOOKS.glob("*.ipynb")):
        content = written(json.loads(found.read_text(encoding="utf-8")), found)
        found.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
