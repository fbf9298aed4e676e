"""How notebooks begin: parameters that they do not have, and errors that are one line. One test starts a kernel."""

import nbformat
import papermill
import pytest

from delrec_kit.settings.errors import KitError
from delrec_kit.study.notebook import check_parameters

OWN = 'run_dir = "../runs/demo"\nuser = None'


def test_what_papermill_sets_must_be_a_parameter():
    check_parameters(["", OWN, "# Parameters\nuser = 3\n", "begin()"])
    check_parameters(["", OWN, "begin()", "other = 3"])
    with pytest.raises(KitError, match="no parameter 'rundir'; did you mean 'run_dir'"):
        check_parameters(["", OWN, '# Parameters\nrundir = "x"\n', "begin()"])


@pytest.fixture
def executed(tmp_path):
    """executed(cell, **parameters): the outputs of ``cell`` behind the beginning, and how papermill ended."""

    def execute(cell, **parameters):
        cells = [OWN, "from delrec_kit.study import notebook\nnotebook.begin()", cell]
        written = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
        written.cells[0].metadata["tags"] = ["parameters"]
        nbformat.write(written, tmp_path / "in.ipynb")
        out = tmp_path / "out.ipynb"
        with pytest.raises(papermill.PapermillExecutionError) as raised:
            papermill.execute_notebook(
                tmp_path / "in.ipynb", out, parameters, kernel_name="python3", progress_bar=False, language="python"
            )
        found = [o for c in nbformat.read(out, 4).cells for o in c.get("outputs", []) if o["output_type"] == "error"]
        return found[-1]["traceback"], raised.value

    return execute


KNOWN = "(known: run_dir, user)"
STOPPED = """
from delrec_kit.run.progress import progress
for step in progress(range(150), "stage 1, step"):
    if step == 89:
        raise KeyboardInterrupt
"""


@pytest.mark.parametrize(
    ("cell", "parameters", "said"),
    [
        ("print(1)", {"usr": 3}, f"error: this notebook has no parameter 'usr'; did you mean 'user'? {KNOWN}"),
        (STOPPED, {}, "stopped at stage 1, step, 90 of 150; run this cell again to go on"),
        ("print(run)", {}, "A cell above was not run: Run > Run All Above Selected Cell does."),
    ],
    ids=["unknown parameter", "interrupt", "missing name"],
)  # fmt: skip
def test_an_error_is_told_in_a_line(executed, cell, parameters, said):
    lines, raised = executed(cell, **parameters)
    assert lines[-1] == said and (len(lines) == 1 or raised.ename == "NameError")
