"""Saved pictures say in words what they show, and are the same for the same numbers."""

import base64

import matplotlib.pyplot as plt
import pandas as pd
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import select_figure_formats
from PIL import Image

from delrec_kit.settings.style import headline, save_figure, styled


def draw(finding="Up <and> away", caption="A line."):
    figure, axis = plt.subplots()
    axis.plot([1, 2])
    headline(figure, finding, caption)
    return figure


def test_pictures_carry_their_finding_and_the_numbers_lie_beside(tmp_path):
    table = pd.DataFrame({"x": [1, 2]})
    path = save_figure(draw(), table, tmp_path, "line")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["line.csv", "line.png", "line.svg"]
    assert Image.open(path).info["Description"] == "Up <and> away. A line."
    svg = (tmp_path / "line.svg").read_text()
    assert "Up &lt;and&gt; away. A line." in svg and "<text" in svg, "text stays text"
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "line.csv"), table)


def test_the_same_numbers_give_the_same_picture(tmp_path):
    for folder in ("one", "two"):
        save_figure(draw(), pd.DataFrame(), tmp_path / folder, "line")
    assert (tmp_path / "one/line.svg").read_bytes() == (tmp_path / "two/line.svg").read_bytes()


def test_the_look_is_set_back_and_nothing_else():
    """What the backend switches on when the first figure is drawn stays on."""

    @styled
    def first():
        plt.rcParams["interactive"] = True
        return plt.rcParams["axes.spines.top"]

    with plt.rc_context({"interactive": False, "axes.spines.top": True}):
        assert first() is False and plt.rcParams["axes.spines.top"] and plt.rcParams["interactive"]


def test_a_long_finding_is_broken_at_the_figures_width():
    said = draw("word " * 60).get_suptitle()
    assert said.count("\n") >= 2 and max(map(len, said.split("\n"))) <= 91


def test_a_picture_shown_in_a_notebook_has_alternative_text(tmp_path):
    shell = InteractiveShell.instance()
    try:
        select_figure_formats(shell, {"png"})
        for name in ("one", "two"):  # told twice, described once
            figure = draw()
            save_figure(figure, pd.DataFrame(), tmp_path, name)
        data, metadata = shell.display_formatter.format(figure)
        assert metadata["image/png"]["alt"] == "Up <and> away. A line."
        drawn = data["image/png"]
        assert (base64.b64decode(drawn) if isinstance(drawn, str) else drawn)[:4] == b"\x89PNG"
    finally:
        InteractiveShell.clear_instance()
