"""What every notebook in the repository keeps to: prose, calls and pictures, stored without what a run produces."""

import ast
import json
from pathlib import Path

import pytest

from delrec_kit.batch.notebooks import notebooks_folder, source_of
from delrec_kit.run.directory import STAGES

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NUMBERED = {
    "01": "data_prep",
    "02": "teacher_training",
    "03": "prompt_distillation",
    "04": "fine_tuning",
    "05": "interpretability",
    "06": "experiments",
}
PARAMETERS = {"profile": "demo", "run_dir": "../runs/demo", "overrides": []}
SWEPT = {"sweep_dir": "../runs/seeds", "grid": "../experiments/seeds.yaml"}
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
    assert {f"{number}_{name}" for number, name in NUMBERED.items()} <= {path.stem for path in NOTEBOOKS}
    assert list(NUMBERED) == [*STAGES, "06"]
    assert notebooks_folder() == FOLDER
    assert [source_of(number).stem for number in NUMBERED] == [f"{n}_{name}" for n, name in NUMBERED.items()]


@every_notebook
def test_one_parameters_cell_of_plain_literals(path):
    tagged = [cell for cell in read(path)["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    body = ast.parse(code(tagged[0])).body
    assert all(isinstance(line, ast.Assign) and len(line.targets) == 1 for line in body)
    found = {line.targets[0].id: ast.literal_eval(line.value) for line in body}
    assert (SWEPT if path.stem.startswith("06") else PARAMETERS).items() <= found.items()
    assert tagged[0] == code_cells(path)[0], "the parameters stand before all other code"


@every_notebook
def test_no_function_and_no_class(path):
    for text, tree in parsed(path):
        made = [
            node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
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
