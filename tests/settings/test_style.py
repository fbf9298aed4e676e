"""Saved pictures say in words what they show, and are the same for the same numbers; every method has its own look."""

import base64
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import select_figure_formats
from PIL import Image

from delrec_kit.settings.methods import ADAPTED, DISTILLED, FUSED, GATED, LABELS, base_of
from delrec_kit.settings.style import headline, look, save_figure, styled, use_style

# rows that differ in their P alone look alike
LABELS, ADAPTED = ([name for name in names if name == base_of(name)] for names in (LABELS, ADAPTED))
# what is weighed with the teacher: what counts, what stage 1 made, and what has an adapter
WEIGHED = ["popularity", "markov", "content", "content_popularity", "map_popularity", DISTILLED, *ADAPTED]
ROWS = [*LABELS, *(name + FUSED for name in WEIGHED), *(name + GATED for name in (DISTILLED, *ADAPTED))]


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


def ink(method):
    """The method's dot in black on white, as pixels; what is filled with its colour is black, what is paler is not."""
    shown = {"markersize": 8, **look(method)}
    inside = shown["markerfacecolor"]
    grey = {shown["color"]: "black", "white": "white"}.get(inside, "#aaaaaa")
    figure = plt.figure(figsize=(0.3, 0.3), dpi=100, layout="none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.axis("off")
    axis.plot([0], [0], **{**shown, "color": "black", "markerfacecolor": grey, "linestyle": "none"})
    figure.canvas.draw()
    pixels = 1 - np.asarray(figure.canvas.buffer_rgba())[..., 0] / 255
    plt.close(figure)
    return pixels


def test_every_row_has_a_dot_of_its_own_without_its_colour():
    with plt.rc_context():
        use_style()
        inks = {method: ink(method) for method in ROWS}
    assert len(inks) == 64 and min(of.sum() for of in inks.values()) > 5
    for (one, a), (other, b) in combinations(inks.items(), 2):
        assert np.abs(a - b).sum() > 0.12 * max(a.sum(), b.sum()), f"{one} looks like {other}"


def test_a_method_keeps_its_colour_when_it_is_weighed():
    assert len({look(method)["color"] for method in LABELS}) == 9
    for name in (DISTILLED, *ADAPTED):
        assert len({look(name + end)["color"] for end in ("", FUSED, GATED)}) == 1
