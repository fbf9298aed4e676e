"""Lays the pages out for Sphinx: what is read from where, in which order, and what a page of docstrings holds."""

import re
import shutil
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
DOCS = {  # file in docs/ -> title in the menu, in the order of the menu
    "method.md": "The method",
    "results.md": "Results",
    "when.md": "When does it help?",
    "data.md": "Data",
    "models.md": "Models and GPUs",
    "settings.md": "Settings",
    "safety.md": "Runs that are not lost",
    "what_we_tried.md": "What we tried",
}
ROOMS = ("settings", "run", "data", "evaluation", "teachers", "llm", "training", "interpret", "study", "api", "batch")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)")
PROGRESS = re.compile(r"^\s*\S.*: \d+/\d+ in \d+ s")
TREE = "# {title}\n\n{text}\n\n```{{toctree}}\n:maxdepth: 1\n{hidden}\n{entries}\n```\n"
SECTIONS = {"notebooks": "Notebooks", "docs": "Pages", "api": "Library"}
TEXTS = {
    "notebooks": "As a run executed them, top to bottom.",
    "docs": "What was measured, how the method works, and how to use it with data and models of your own.",
    "api": "The rooms of the library. Each imports only from those above it in this list.",
}


def lay_out(run: Path, to: Path) -> None:
    """Write the sources of the site to ``to``, an empty folder; run: a run directory whose notebooks are executed."""
    shutil.copy(Path(__file__).parent / "conf.py", to)
    for name in ("docs", "notebooks", "api"):
        (to / name).mkdir()
    shutil.copytree(ROOT / "figures", to / "figures", ignore=shutil.ignore_patterns("*.csv", "*.svg"))
    pages = [name for name in DOCS if (ROOT / "docs" / name).is_file()]
    for name in pages:
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        (to / "docs" / name).write_text(linked(text, set(pages)), encoding="utf-8")
    notebooks = sorted((run / "notebooks").glob("0*.ipynb"))
    for path in notebooks:
        (to / "notebooks" / path.name).write_text(nbformat.writes(shown(path)), encoding="utf-8")
    for room in ROOMS:
        (to / "api" / f"{room}.md").write_text(docstrings(room), encoding="utf-8")
    entries = {
        "notebooks": [path.stem for path in notebooks],
        "docs": [f"{DOCS[name]} <{name.removesuffix('.md')}>" for name in pages],
        "api": list(ROOMS),
    }
    for section, title in SECTIONS.items():
        page = TREE.format(title=title, text=TEXTS[section], hidden="", entries="\n".join(entries[section]))
        (to / section / "index.md").write_text(page, encoding="utf-8")
    about = (ROOT / "README.md").read_text(encoding="utf-8").split("## The notebooks")[0].removeprefix("# delrec_kit\n")
    sections = "\n".join(f"{title} <{section}/index>" for section, title in SECTIONS.items())
    text = linked(about, {f"docs/{name}" for name in pages}).strip()
    index = TREE.format(title="delrec_kit", text=text, hidden=":hidden:", entries=sections)
    (to / "index.md").write_text(index, encoding="utf-8")


def linked(text: str, pages: set[str]) -> str:
    """The text with links to pages and pictures of the site; a link to any other file becomes its words."""

    def target(found: re.Match) -> str:
        picture, words, where, _ = found.groups()
        known = where in pages or (picture and "figures/" in where) or re.match(r"https?:", where)
        return found[0] if known else f"{words}"

    return LINK.sub(target, text)


def shown(path: Path) -> nbformat.NotebookNode:
    """The executed notebook without what papermill wrote of itself, without progress, and without widgets, which need a
    kernel."""
    notebook = nbformat.read(path, as_version=4)
    notebook["metadata"] = {"kernelspec": notebook["metadata"].get("kernelspec", {"name": "python3"})}
    cells = [cell for cell in notebook["cells"] if "injected-parameters" not in cell["metadata"].get("tags", [])]
    for cell in cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
            if output["output_type"] == "stream":
                lines = output["text"].splitlines(keepends=True)
                output["text"] = "".join(line for line in lines if not PROGRESS.match(line))
    notebook["cells"] = cells
    return notebook


def docstrings(room: str) -> str:
    """The page of a room: each of its modules, in the order of their names."""
    folder = ROOT / "delrec_kit" / room
    modules = sorted(path for path in folder.rglob("*.py") if path.name != "__init__.py" and "tiny" not in path.parts)
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules]
    parts = "\n".join(
        f"## {name.removeprefix('delrec_kit.')}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n" for name in names
    )
    return f"# {room}\n\n{parts}"
