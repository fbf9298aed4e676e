"""One user by hand, with the mouse: a thin shell over ``ByHand`` and the pictures that it draws."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from html import escape
from io import BytesIO
from pathlib import Path

import ipywidgets
import matplotlib.pyplot as plt

from delrec_kit.data import items_of
from delrec_kit.interpret.by_hand import ATTENTION, SAID, ByHand
from delrec_kit.interpret.by_piece import side
from delrec_kit.interpret.page import plot_ranking, prompt_html
from delrec_kit.interpret.view import PromptView
from delrec_kit.run.progress import watched
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.style import label

MEAN = "mean"
PAUSE = 0.2  # seconds without another click before the models are asked
User = tuple[list[int], list[int], int]  # history, candidates, target


class OneUser:
    """``box`` is the widget. ``history`` is what is asked about, ``ranking`` the answer.

    A change shows in the list at once; the models are asked when the clicking pauses, once for all of it. What fails is
    said, and the history is set back to what was answered last.

    methods: what asks, by name of its row, made when chosen; users: by name, looked up when chosen; size: layers and
    heads where the answer is made; verdicts: of a row, whether to believe explanations; folder: where pages are saved;
    user: who comes first, by name.
    """

    def __init__(
        self,
        methods: Mapping[str, Callable[[], ByHand]],
        users: Mapping[str, Callable[[], User]],
        size: tuple[int, int],
        verdicts: Callable[[str], Sequence[str]] = lambda name: (),
        folder: Path | None = None,
        user: str | None = None,
    ):
        self.methods, self.users, self.verdicts, self.folder = methods, users, verdicts, folder
        names = [(label(name), name) for name in methods]
        self.method = ipywidgets.Dropdown(options=names, description="method")
        self.user = ipywidgets.Combobox(
            options=list(users), value=user or next(iter(users)), description="user", placeholder="type to search"
        )
        self.titles = ipywidgets.Select(rows=10, description="history", layout={"width": "23.5rem"})
        moves = {"earlier": partial(self._move, -1), "later": partial(self._move, 1)}
        acts = {"remove": self._remove, **moves, "as it was": self._reset}
        self.buttons = {name: ipywidgets.Button(description=name, layout={"width": "5.6rem"}) for name in acts}
        self.off = ipywidgets.SelectMultiple(rows=3, description="P off", layout={"width": "23.5rem"})
        self.new = ipywidgets.Combobox(placeholder="a title to add", description="add")
        self.how = ipywidgets.Dropdown(options=list(SAID), description="colour by")
        layers, heads = size
        self.layer = ipywidgets.Dropdown(options=[MEAN, *range(layers)], description="layer")
        self.head = ipywidgets.Dropdown(options=[MEAN, *range(heads)], description="head")
        self.picture = ipywidgets.Image(
            format="png", layout={"max_width": "calc(100% - 24.5rem)", "align_self": "flex-start"}
        )
        self.prompt, self.message, self.believe = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self.touched = ipywidgets.VBox()
        self.more = {name: ipywidgets.Button(description=name) for name in ("touch the prompt", "save as page")}
        for name, act in acts.items():
            self.buttons[name].on_click(lambda _, act=act: self._change(act))
        self.more["touch the prompt"].on_click(lambda _: self._later("touch"))
        self.more["save as page"].on_click(lambda _: self._later("save"))
        self.user.observe(lambda _: self._change(self._reset), "value")
        self.method.observe(lambda _: self._later("method", "rank", "colour"), "value")
        self.new.observe(lambda change: change["new"] and self._change(self._add), "value")
        self.off.observe(lambda _: self._later("off", "rank", "colour"), "value")
        for control in (self.how, self.layer, self.head):
            control.observe(lambda _: self._later("colour"), "value")
        note = ipywidgets.HTML("<small>titles after a · are read by the teacher alone</small>")
        rows = [self.method, self.user, self.titles, note, ipywidgets.HBox(list(self.buttons.values()))]
        edit = ipywidgets.VBox([*rows, self.new, self.off], layout={"flex": "0 0 24rem", "overflow": "hidden"})
        looks = ipywidgets.HBox([self.how, self.layer, self.head, *self.more.values()], layout={"flex_flow": "wrap"})
        parts = [ipywidgets.HBox([edit, self.picture]), self.message, looks, self.prompt, self.touched, self.believe]
        self.box = ipywidgets.VBox(parts)
        self._wanted, self._timer = set(), None
        self._again()
        self._reset()
        self._list()
        self._wanted = {"rank", "colour"}
        self._work()

    def shown(self) -> ipywidgets.VBox | None:
        """The panel where someone watches; an executed copy has no kernel behind it, and says so."""
        if watched():
            return self.box
        print("the panel needs a live kernel: open this notebook in JupyterLab, VS Code or Colab, and run it")
        return None

    def _change(self, act: Callable[[], None]) -> None:
        """A change of the history, the user or the method: cheap, and shown at once."""
        place, self._next = self.titles.index, None
        try:
            act()
        except KitError as error:
            self.message.value = f"<p>{escape(str(error), quote=False)}</p>"
            return
        self._list(place if self._next is None else self._next)
        self._later("rank", "colour")

    def _again(self) -> None:
        """Another method: who asks, and what is believed of it."""
        self.asked = self.methods[self.method.value]()
        self.before = None
        self.new.options = list(self.asked.titles[1:])
        P = self.asked.recommender.P
        self.off.options = [(f"P{n}", n) for n in range(P.k if P is not None else 0)]
        self.believe.value = "".join(f"<p>{escape(text)}</p>" for text in self.verdicts(self.method.value))

    def _reset(self) -> None:
        if self.user.value not in self.users:
            raise KitError(f"no user '{self.user.value}' is tested; choose one of the list")
        self.history, self.candidates, self.target = self.users[self.user.value]()
        self.before = None
        self._next = len(self.history) - 1  # the list scrolls to it: the prompt shows the last titles

    def _remove(self) -> None:
        place = self._chosen()
        if len(self.history) == 1:
            raise KitError("a history needs at least one title")
        del self.history[place]

    def _move(self, by: int) -> None:
        place = self._chosen()
        there = min(max(place + by, 0), len(self.history) - 1)
        self.history[place], self.history[there] = self.history[there], self.history[place]
        self._next = there

    def _add(self) -> None:
        title, self.new.value = self.new.value, ""  # also where it is refused: the same title can be tried again
        self.history += items_of(self.asked.titles, [title])
        self._next = len(self.history) - 1

    def _chosen(self) -> int:
        if self.titles.index is None:
            raise KitError("choose a title of the history first")
        return self.titles.index

    def _list(self, place: int | None = None) -> None:
        """The history as it is now."""
        unread = len(self.history) - self.asked.recommender.history  # by the language model: it reads the last ones
        self.titles.index = None
        self.titles.options = [
            (f"{'· ' if n < unread else ''}{self.asked.titles[item]}", n) for n, item in enumerate(self.history)
        ]
        self.titles.index = len(self.history) - 1 if place is None else min(place, len(self.history) - 1)

    def _later(self, *work: str) -> None:
        """Do ``work`` when no other click has come for a while; at once where no kernel takes clicks."""
        self._wanted |= set(work)
        self.message.value = "<p role='status'>working …</p>"
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._work()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(PAUSE, self._work)

    def _work(self) -> None:
        """Ask, draw, and keep what was answered; ipywidgets would swallow what goes wrong here."""
        wanted, self._wanted, self._timer = self._wanted, set(), None
        said = ""
        try:
            if "method" in wanted:
                self._again()
            if "off" in wanted:
                self.asked = replace(self.asked, off=tuple(self.off.value))
            if "rank" in wanted:
                self._rank()
            if "colour" in wanted:
                self._colour()
            if {"touch", "save"} & wanted:
                said = self._view("save" in wanted)
        except Exception as error:
            said = str(error) if isinstance(error, KitError) else f"{type(error).__name__}: {error}"
            if "rank" in wanted and hasattr(self, "_answered"):
                self.history = list(self._answered)
                self._list()
        self.message.value = f"<p>{escape(said, quote=False)}</p>" if said else ""

    def _rank(self) -> None:
        if self.before is None:
            self.before = replace(self.asked, off=()).ranking(self.users[self.user.value]()[0], self.candidates)
        self.ranking = self.asked.ranking(self.history, self.candidates)
        figure, _ = plot_ranking(self.ranking, self.target, self.before, self.method.value)
        drawn = BytesIO()
        figure.savefig(drawn, format="png", dpi=80)
        plt.close(figure)
        self.picture.value = drawn.getvalue()
        self.touched.children = ()
        self._answered = list(self.history)

    def _colour(self) -> None:
        layer, head = (None if control.value == MEAN else control.value for control in (self.layer, self.head))
        how = self.how.value
        self.layer.disabled = self.head.disabled = how != ATTENTION
        spans, _ = self.asked.explained(self.history, self.candidates, [how], layer, head)
        self.prompt.value = prompt_html(spans, how)

    def _view(self, saved: bool) -> str:
        """The prompt as it is now, to touch; saved: as a page too, whose place is said."""
        who = f"{label(self.method.value)}, user {self.user.value}, history as changed by hand"
        view = PromptView([side(self.asked, self.history, self.candidates, self.target, label(self.method.value))], who)
        if not saved:
            self.touched.children = (view.widget(),)
            return ""
        if self.folder is None:
            raise KitError("this panel has no folder to save in")
        name = "".join(letter for letter in self.user.value if letter.isalnum())
        return f"saved {view.save(self.folder / f'05c_{name}.html')}"
