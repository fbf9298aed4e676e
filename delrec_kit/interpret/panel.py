"""One user by hand, with the mouse: a thin shell over ``ByHand`` and the pictures that it draws."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from io import BytesIO

import ipywidgets
import matplotlib.pyplot as plt

from delrec_kit.data import item_of
from delrec_kit.interpret.by_hand import ATTENTION, SAID, ByHand
from delrec_kit.interpret.page import plot_ranking, prompt_html
from delrec_kit.settings.errors import KitError

MEAN = "mean"
User = tuple[list[int], list[int], int]  # history, candidates, target


class OneUser:
    """``box`` is the widget. Every change asks again and redraws: ``history`` is what is asked about now, ``ranking``
    the answer.

    asked: the recommender and its teacher; users: by name, looked up when chosen; layers, heads: how many attention
    has where the answer is made; method: whose answers they are; verdicts: whether to believe explanations.
    """

    _next: int | None = None  # place in the list that is chosen after the next answer

    def __init__(
        self,
        asked: ByHand,
        users: Mapping[str, Callable[[], User]],
        layers: int,
        heads: int,
        method: str = "",
        verdicts: Sequence[str] = (),
    ):
        self.asked, self.users, self.method = asked, users, method
        self.user = ipywidgets.Dropdown(options=list(users), description="user")
        self.titles = ipywidgets.Select(rows=10, description="history", layout={"width": "23.5rem"})
        moves = {"earlier": partial(self._move, -1), "later": partial(self._move, 1)}
        buttons = {"remove": self._remove, **moves, "as it was": self._reset}
        self.buttons = {name: ipywidgets.Button(description=name, layout={"width": "5.6rem"}) for name in buttons}
        self.new = ipywidgets.Combobox(options=list(asked.titles[1:]), placeholder="a title to add", description="add")
        self.how = ipywidgets.Dropdown(options=list(SAID), description="colour by")
        self.layer = ipywidgets.Dropdown(options=[MEAN, *range(layers)], description="layer")
        self.head = ipywidgets.Dropdown(options=[MEAN, *range(heads)], description="head")
        self.picture = ipywidgets.Image(
            format="png", layout={"max_width": "calc(100% - 24.5rem)", "align_self": "flex-start"}
        )
        self.prompt, self.message = ipywidgets.HTML(), ipywidgets.HTML()
        for name, act in buttons.items():
            self.buttons[name].on_click(lambda _, act=act: self._change(act))
        self.user.observe(lambda _: self._change(self._reset), "value")
        self.new.observe(lambda change: change["new"] and self._change(self._add), "value")
        for control in (self.how, self.layer, self.head):
            control.observe(lambda _: self._colour(), "value")
        note = ipywidgets.HTML("<small>titles after a · are read by the teacher alone</small>")
        rows = [self.user, self.titles, note, ipywidgets.HBox(list(self.buttons.values())), self.new]
        edit = ipywidgets.VBox(rows, layout={"flex": "0 0 24rem", "overflow": "hidden"})
        looks = ipywidgets.HBox([self.how, self.layer, self.head])
        believe = "".join(f"<p>{escape(verdict)}</p>" for verdict in verdicts)
        parts = [ipywidgets.HBox([edit, self.picture]), self.message, looks, self.prompt, ipywidgets.HTML(believe)]
        self.box = ipywidgets.VBox(parts)
        self._reset()
        self._ask()

    def _change(self, act: Callable[[], None]) -> None:
        kept, place = list(self.history), self.titles.index
        self.message.value = ""
        try:
            act()
            self._ask(place)
        except KitError as error:
            self.history = kept
            self.message.value = f"<p>{escape(str(error))}</p>"

    def _reset(self) -> None:
        self.history, self.candidates, self.target = (part for part in self.users[self.user.value]())
        self.before = self.asked.ranking(self.history, self.candidates)
        self._next = len(self.history) - 1  # the list scrolls to it: the prompt shows the last titles

    def _remove(self) -> None:
        del self.history[self._chosen()]

    def _move(self, by: int) -> None:
        place = self._chosen()
        there = min(max(place + by, 0), len(self.history) - 1)
        self.history[place], self.history[there] = self.history[there], self.history[place]
        self.titles.index = None
        self._next = there

    def _add(self) -> None:
        title, self.new.value = self.new.value, ""  # also where it is refused: the same title can be tried again
        self.history.append(item_of(self.asked.titles, title))
        self._next = len(self.history) - 1

    def _chosen(self) -> int:
        if self.titles.index is None:
            raise KitError("choose a title of the history first")
        return self.titles.index

    def _ask(self, place: int | None = None) -> None:
        """Rank and draw again."""
        self.ranking = self.asked.ranking(self.history, self.candidates)
        place, self._next = (place if self._next is None else self._next), None
        unread = len(self.history) - self.asked.recommender.history  # by the language model: it reads the last ones
        self.titles.options = [
            (f"{'· ' if n < unread else ''}{self.asked.titles[item]}", n) for n, item in enumerate(self.history)
        ]
        self.titles.index = None if place is None else min(place, len(self.history) - 1)
        figure, _ = plot_ranking(self.ranking, self.target, self.before, self.method)
        drawn = BytesIO()
        figure.savefig(drawn, format="png", dpi=80)
        plt.close(figure)
        self.picture.value = drawn.getvalue()
        self._colour()

    def _colour(self) -> None:
        layer, head = (None if control.value == MEAN else control.value for control in (self.layer, self.head))
        how = self.how.value
        self.layer.disabled = self.head.disabled = how != ATTENTION
        spans, _ = self.asked.explained(self.history, self.candidates, [how], layer, head)
        self.prompt.value = prompt_html(spans, how)
