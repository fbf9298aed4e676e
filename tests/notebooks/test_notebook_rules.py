"""What every notebook in the repository keeps to: prose, calls and pictures, stored without what a run produces."""

import ast
import json
from pathlib import Path

import pytest

from delrec_kit.batch.notebooks import numbers_of, parameters_of, sources
from delrec_kit.run.directory import STAGES
from delrec_kit.settings.colab import REPOSITORY
from tools.badges import written

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NUMBERED = {
    "01": "data_prep",
    "02": "teacher_training",
    "03": "prompt_distillation",
    "04": "fine_tuning",
    "05a": "comparison",
    "05b": "interpretability",
    "05c": "one_user",
    "06": "experiments",
}
PARAMETERS = {
    "01": {"profile": "demo", "run_dir": "../runs/demo", "overrides": []},
    "06": {"sweep_dir": "../runs/seeds", "grid": None},  # nobody starts a sweep unasked
}
OPENED = {"run_dir": "../runs/demo"}  # all others take the run directory, and no settings of their own
CHANGED_THERE = {"03": {"loss"}, "04": {"loss"}}  # what a reader is meant to change in the notebook
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(path):
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def code(cell):
    return "".join(cell["source"])


def parsed(path):
    return [(code(cell), ast.parse(code(cell))) for cell in code_cells(path)]


def test_the_notebooks_are_there_and_found():
    assert [path.stem for path in sources().values()] == [f"{n}_{name}" for n, name in NUMBERED.items()]
    assert list(sources().values()) == NOTEBOOKS
    assert numbers_of("01-05") == [number for number in NUMBERED if number != "06"]
    assert set(STAGES) == set(NUMBERED) - {"05c", "06"}


@every_notebook
def test_one_parameters_cell_of_plain_literals(path):
    tagged = [cell for cell in read(path)["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    body = ast.parse(code(tagged[0])).body
    assert all(isinstance(line, ast.Assign) and len(line.targets) == 1 for line in body)
    found = {line.targets[0].id: ast.literal_eval(line.value) for line in body}
    assert PARAMETERS.get(path.stem[:2], OPENED).items() <= found.items()
    assert parameters_of(path) == list(found)
    if path.stem[:2] not in PARAMETERS:
        assert not {"profile", "overrides"} & set(found), "settings are those of the run"
    assert tagged[0] == code_cells(path)[1], "the parameters stand before all code but what Colab needs"


@every_notebook
def test_the_badge_and_the_cell_for_colab_name_the_one_repository(path):
    assert written(read(path), path) == read(path), "python -m tools.badges writes them"
    assert code(read(path)["cells"][0]).count(REPOSITORY) == code(code_cells(path)[0]).count(REPOSITORY) == 1


@every_notebook
def test_no_function_and_no_class_but_what_is_meant_to_be_changed_there(path):
    allowed = CHANGED_THERE.get(path.stem[:2], set())
    for text, tree in parsed(path):
        made = [
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name not in allowed
        ]
        assert not made, f"move this into delrec_kit: {text}"


@every_notebook
def test_nothing_of_a_run_is_stored(path):
    notebook = read(path)
    assert not {"widgets", "papermill", "delrec_kit"} & set(notebook["metadata"])
    for cell in code_cells(path):
        assert cell["outputs"] == [], "take the outputs out with: make strip"
        assert cell["execution_count"] is None, "take the execution counts out with: make strip"
        assert not {"execution", "papermill"} & set(cell["metadata"])


@every_notebook
def test_under_a_hundred_lines_of_code(path):
    lines = [line for cell in code_cells(path) for line in code(cell).splitlines()]
    assert 0 < sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines) < 100


@every_notebook
def test_it_tells_a_story(path):
    cells = read(path)["cells"]
    assert cells[0]["cell_type"] == "markdown"
    assert code(cells[0]).startswith("# ")
    assert sum(len(code(cell)) for cell in cells if cell["cell_type"] == "markdown") > 500
    assert "**At the end you know**" in code(cells[0]) and "GB" in code(cells[0]), "and how long it takes"
    assert "**Try next**" in code(cells[-1])


@every_notebook
def test_it_imports_what_exists(path):
    kit = {
        (node.module, alias.name)
        for _, tree in parsed(path)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("delrec_kit")
        for alias in node.names
    }
    assert kit
    for module, name in kit:
        found = __import__(module, fromlist=[name])
        assert hasattr(found, name), f"{module} has no {name}"


@every_notebook
def test_it_names_no_place_of_one_machine(path):
    text = path.read_text(encoding="utf-8")
    assert not [place for place in ("/home/", "/root/", "/Users/", "/tmp/", "C:\\\\") if place in text]
