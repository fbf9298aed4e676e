"""One look for every figure: colours that colour-blind readers can tell apart, and a marker beside each."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from textwrap import wrap
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline

from delrec_kit.settings.cells import without_formulas
from delrec_kit.settings.methods import FUSED, LABELS, base_of

SVG = "http://www.w3.org/2000/svg"
PALETTE = [
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#8C510A",
    "#000000",
    "#777777",
]  # Okabe & Ito
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*", "<"]
DASHES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (2, 4))]
STYLE = {
    "figure.figsize": (7.0, 4.0),
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 150,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "lines.markeredgewidth": 1.3,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "image.cmap": "cividis",
    "axes.prop_cycle": cycler(color=PALETTE) + cycler(linestyle=DASHES) + cycler(marker=MARKERS),
}
FIRST = ["popularity", "markov", "teacher", "llm_zero_shot", "llm_untrained_prompt", "llm_distilled_prompt"]
FIRST += ["llm_finetuned", "delrec", "oracle"]  # a colour each; the others' colours come again, their shapes do not
LETTERS = {"teacher_vectors": "V", "map": "M"}  # never weighed with the teacher: a letter can't be hollow
LETTERS |= {"llm_distilled_prompt_no_history": "H", "llm_distilled_prompt_of_another": "A"}
LAST = ["popularity_from_titles", "teacher_from_titles", "content_popularity", "map_popularity", *LETTERS]
LAST += ["llm_prompt_tuned"]
PLACES = dict.fromkeys([*FIRST, *(name for name in LABELS if name == base_of(name) and name not in LAST), *LAST])
PLACES = {name: place for place, name in enumerate(PLACES)}
HALVES = [Outline.wedge(start, start + 180) for start in (0, 180, 90, 270)]
STROKES = [
    "2",
    "3",
    "1",
    (8, 2, 0),
    "x",
    "4",
    "+",
]  # of rows that are never weighed with the teacher: these cannot be hollow
OPEN = [Outline.wedge(40, 320), Outline.wedge(220, 140)]
STARS = [(4, 1, 0), (6, 1, 0), (3, 1, 0)]  # DELRec's kin
SHAPES = [
    *MARKERS,
    ">",
    *STROKES[:5],
    *HALVES[:2],
    "d",
    "p",
    *HALVES[2:],
    *STARS,
    *STROKES[5:],
    *OPEN,
    *(f"${of}$" for of in LETTERS.values()),
    Outline.wedge(90, 360),
]


def use_style() -> None:
    """Set matplotlib's defaults to the kit's look, for pictures of your own."""
    mpl.rcParams.update(STYLE)


def styled(draw: Callable) -> Callable:
    """``draw`` in the kit's look, whatever matplotlib's defaults are.

    Only what the look sets is set back: the first figure of a notebook starts its backend, which must stay on.
    """

    @wraps(draw)
    def drawn(*args: Any, **kwargs: Any) -> Any:
        before = {name: mpl.rcParams[name] for name in STYLE}
        use_style()
        try:
            return draw(*args, **kwargs)
        finally:
            mpl.rcParams.update(before)

    return drawn


HOW = {"_gated": ", gated", "_trusted": ", by exposure"}  # scores are weighed with the teacher's


def label(method: str) -> str:
    """How a method of the comparison is written in figures; unknown names stay as they are."""
    base, plus, how = method.partition(FUSED)
    return LABELS.get(base, base) + (" + teacher" if plus else "") + HOW.get(how, "")


def look(method: str) -> dict[str, Any]:
    """The dot that a method of the comparison has in every figure: a shape and a colour of its own, hollow where its
    scores are weighed with the teacher's, pale and larger where a gate weighs them."""
    base, plus, gated = method.partition(FUSED)
    place = _place(base)
    colour = PALETTE[place % len(PALETTE)]
    shape = {"color": colour, "marker": SHAPES[place % len(SHAPES)]}
    if shape["marker"] in STROKES:
        shape["markeredgewidth"] = 2.2
    if gated:
        return shape | {"markerfacecolor": _pale(colour), "markersize": 11}
    return shape | {"markerfacecolor": "white" if plus else colour}


def _place(base: str) -> int:
    """Rows that differ in their P alone look alike: they do not stand in one run."""
    base = base_of(base)
    return PLACES.get(base, sum(map(ord, base)))


def _pale(colour: str) -> tuple[float, float, float]:
    """A third of the colour, two thirds white."""
    return tuple(1 - (1 - part) / 3 for part in to_rgb(colour))


def dot(axis: Axes, place: int, value: float, low: float, high: float, **looks: Any) -> None:
    """A value and its interval, lying at ``place``."""
    # the percentile interval need not hold the mean, so a bar is never negative
    reach = [[max(0.0, value - low)], [max(0.0, high - value)]]
    axis.errorbar([value], [place], xerr=reach, **{"markersize": 8, "capsize": 3, "linestyle": "none", **looks})


def filled_if(sure: bool) -> dict[str, str]:
    """The looks of a dot that is filled where its value is sure."""
    return {"color": "black", "marker": "o", "markerfacecolor": "black" if sure else "white"}


def headline(figure: Figure, finding: str, caption: str = "") -> None:
    """The finding, over all panels of a figure, and below them in small what the picture shows."""
    wide = max(60, int(figure.get_figwidth() * 13))
    figure.suptitle("\n".join(wrap(finding, wide)), x=0.01, ha="left", fontsize=11).set_parse_math(False)
    small = "\n".join(wrap(caption, int(wide * 1.2)))
    figure.supxlabel(small, x=0.01, ha="left", fontsize=8, color="#444444").set_parse_math(False)
    figure.set_label(caption)


def save_figure(figure: Figure, table: pd.DataFrame, folder: str | Path, name: str) -> Path:
    """Write ``name.png`` (150 dpi), ``name.svg`` and ``name.csv`` (the plotted numbers) into ``folder``; returns the
    picture's path.

    Both pictures carry the finding as their title, and the finding with the caption as their description, for whoever
    cannot see them. An index that carries names is written as columns; a plain running index is not.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / f"{name}.png"
    told = {"Title": finding(figure) or name, "Description": description(figure) or name}
    figure.savefig(picture, dpi=150, metadata=told)
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):  # the same numbers give the same file
        figure.savefig(picture.with_suffix(".svg"), metadata={**told, "Date": None})
    _name_points(figure, picture.with_suffix(".svg"))
    named = any(level is not None for level in table.index.names)
    without_formulas(table.reset_index() if named else table).to_csv(folder / f"{name}.csv", index=False)
    describe_in_notebooks()
    return picture


def _name_points(figure: Figure, file: Path) -> None:
    """In an SVG each point of ``figure.points`` (gid of a scatter -> a name a point) says its name when pointed at."""
    if not (points := getattr(figure, "points", {})):
        return
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    tree = ElementTree.parse(file)
    for gid, names in points.items():
        for use, name in zip(tree.findall(f".//*[@id='{gid}']//{{{SVG}}}use"), names, strict=True):
            ElementTree.SubElement(use, f"{{{SVG}}}title").text = name
    tree.write(file, encoding="utf-8", xml_declaration=True)


def finding(figure: Figure) -> str:
    """What the figure's title says, in one line; empty where it has none."""
    titles = [figure.get_suptitle(), *(axis.get_title("left") for axis in figure.axes)]
    return " ".join(next(filter(None, titles), "").split())


def description(figure: Figure) -> str:
    """The finding and what the picture shows, for whoever cannot see it."""
    return ". ".join(filter(None, [finding(figure), figure.get_label()]))


def describe_in_notebooks() -> None:
    """Let every figure that a notebook shows carry its description as alternative text, which nbconvert writes out."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    draw = shell and shell.display_formatter.formatters["image/png"].type_printers.get(Figure)
    if not draw or getattr(draw, "describes", False):
        return

    def described(figure: Figure):
        drawn = draw(figure)
        data, metadata = drawn if isinstance(drawn, tuple) else (drawn, {})
        return data, {**metadata, "alt": description(figure)}

    described.describes = True
    shell.display_formatter.formatters["image/png"].for_type(Figure, described)
