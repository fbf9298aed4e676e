"""The pages of the documentation are laid out from docs/, a run's notebooks and the docstrings."""

import nbformat
import pytest

from tools.site.pages import DOCS, ROOMS, ROOT, lay_out, linked


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    run, to = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("site")
    (run / "notebooks").mkdir()
    cell = nbformat.v4.new_code_cell("print(1)")
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="scoring x: 3/4 in 5 s, 2 s left\nHR@1 0.5\n"),
        nbformat.v4.new_output(
            "display_data", data={"application/vnd.jupyter.widget-view+json": {}, "text/plain": "w"}
        ),
    ]
    injected = nbformat.v4.new_code_cell("run_dir = '/home/x'", metadata={"tags": ["injected-parameters"]})
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# 01 · Data"), injected, cell])
    made["metadata"]["papermill"] = {"input_path": "/home/x"}
    nbformat.write(made, run / "notebooks" / "01_data_prep.ipynb")
    lay_out(run, to)
    return to


def test_notebooks_keep_results_and_lose_paths_progress_and_widgets(site):
    text = (site / "notebooks/01_data_prep.ipynb").read_text()
    assert "HR@1 0.5" in text and "/home/x" not in text and "3/4 in" not in text and "widget-view" not in text


def test_every_page_of_the_docs_is_in_the_menu(site):
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= set(DOCS)
    menu = (site / "docs/index.md").read_text()
    assert all(name.removesuffix(".md") in menu for name in DOCS if (ROOT / "docs" / name).is_file())


def test_every_room_has_its_docstrings(site):
    rooms = {path.parent.name for path in (ROOT / "delrec_kit").glob("*/__init__.py")}
    assert rooms == set(ROOMS)
    assert ".. automodule:: delrec_kit.llm.soft_prompt" in (site / "api/llm.md").read_text()


def test_links_to_pages_stay_and_links_to_sources_become_words():
    text = "[a](results.md#x) [b](../delrec_kit/x.py) ![c](../figures/d.png) [e](https://arxiv.org)"
    assert linked(text, {"results.md"}) == "[a](results.md#x) b ![c](../figures/d.png) [e](https://arxiv.org)"


def test_no_page_holds_a_placeholder():
    assert not [path.name for path in (ROOT / "docs").glob("*.md") if "@@" in path.read_text(encoding="utf-8")]
