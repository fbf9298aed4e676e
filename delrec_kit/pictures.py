"""The pictures of notebook 05, each from a run directory: the figure and the numbers that it shows.

Use them in a notebook of your own: ``figure, table = pictures.recency("runs/demo")``.
"""

from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from delrec_kit.errors import KitError, nearest
from delrec_kit.evaluation import load_comparison, plot_comparison, plot_differences
from delrec_kit.explaining import by_hand, tested
from delrec_kit.interpret import (
    nearest_words,
    plot_agreement,
    plot_attention,
    plot_cosines,
    plot_effects,
    plot_faithfulness,
    plot_growth,
    plot_heads,
    plot_places,
    plot_projection,
    plot_ranking,
    plot_recency,
    plot_two_runs,
    plot_words,
    title_cosines,
    two_runs,
)
from delrec_kit.interpret import projection as projected
from delrec_kit.interpret.widgets import OneUser
from delrec_kit.methods import FROZEN, METHODS
from delrec_kit.pipeline import workbench
from delrec_kit.runs import RunDirectory, read_json
from delrec_kit.workbench import Workbench

Picture = tuple[Figure, pd.DataFrame]
Run = RunDirectory | str | Path
DISTILLED = "llm_distilled_prompt"


def comparison(run: Run) -> Picture:
    """Every metric of every method, with intervals."""
    return plot_comparison(load_comparison(_open(run).require("evaluation")))


def differences(run: Run, metric: str = "HR@1") -> Picture:
    """Paired differences between methods."""
    return plot_differences(load_comparison(_open(run).require("evaluation")), metric)


def agreement(run: Run) -> Picture:
    """How far each method of the language model agrees with the teacher."""
    return plot_agreement(_table(run, "agreement"))


def recency(run: Run) -> Picture:
    """How much the item j steps back changes the choice: teacher, language model without P, with P. Raises KitError
    where no history is long enough."""
    table = _table(run, "recency", "variant", "user")
    if table.empty:
        raise KitError("no test history is long enough for a recency profile")
    return plot_recency(table)


def attention(run: Run) -> Picture:
    """Attention by prompt segment and layer."""
    return plot_attention(_table(run, "attention"))


def places(run: Run) -> Picture:
    """Attention by soft token, title of the history, candidate, and layer."""
    return plot_places(_table(run, "attention_by_place"))


def heads(run: Run, segment: str = "soft") -> Picture:
    """Attention of each head on one segment, or on one place such as "title 1 back"."""
    table = _table(run, "attention")
    return plot_heads(table if segment in set(table["segment"]) else _table(run, "attention_by_place"), segment)


def effects(run: Run) -> Picture:
    """What leaving out single pieces of the prompt does."""
    return plot_effects(_table(run, "pieces"))


def faithfulness(run: Run) -> Picture:
    """Deletion and insertion curves of every explanation beside a random order."""
    tables = verdicts(run)["over_random"]
    curves = {test: _table(run, test, "nats") for test in tables}
    return plot_faithfulness(curves, {test: pd.DataFrame(rows) for test, rows in tables.items()})


def verdicts(run: Run) -> dict:
    """Whether to believe attention and gradients: sentences, and the numbers behind them."""
    path = _open(run).require("evaluation") / "verdicts.json"
    told = read_json(path) if path.is_file() else {}
    if "spearman" not in told:
        raise _old(path)
    return told


def words(run: Run) -> Picture:
    """The words of the vocabulary nearest to each soft token."""
    llm, _, soft = workbench(_open(run)).open_method(DISTILLED)
    return plot_words(nearest_words(llm, soft))


def cosines(run: Run) -> Picture:
    """The titles nearest to each soft token."""
    bench = workbench(_open(run))
    llm, writer, soft = bench.open_method(DISTILLED)
    return plot_cosines(title_cosines(llm, writer, bench.data.split.titles, soft))


def projection(run: Run) -> Picture:
    """P before and after training, among the titles."""
    bench = workbench(_open(run))
    llm, writer, soft = bench.open_method(DISTILLED)
    untrained = bench.soft_prompt(METHODS["llm_untrained_prompt"], llm)
    return plot_projection(*projected(llm, writer, soft, untrained))


def growth(run: Run) -> Picture:
    """How P grew over stage 1."""
    path = _open(run).require("prompt") / "growth.csv"
    if not path.is_file():
        raise _old(path)
    return plot_growth(pd.read_csv(path))


def one_user(run: Run, user: str | None = None, method: str | None = None) -> Picture:
    """How the teacher and ``method`` (DELRec) rank the candidates of one test user (the first)."""
    bench = workbench(_open(run))
    asked = by_hand(bench, _known(bench, method))
    history, candidates, target = tested(bench, _users(bench)[0] if user is None else str(user))
    return plot_ranking(asked.ranking(history, candidates), target)


def widget(run: Run, method: str | None = None) -> OneUser:
    """One user by hand, for a notebook: choose a user, change the history, colour the prompt; show its ``box``."""
    bench = workbench(_open(run))
    asked = by_hand(bench, _known(bench, method))
    seen = _table(run, "attention")
    seen = seen[seen["kind"] == ("cross" if "cross" in set(seen["kind"]) else "encoder")]
    users = {user: partial(tested, bench, user) for user in _users(bench)}
    return OneUser(asked, users, int(seen["layer"].max()) + 1, int(seen["head"].max()) + 1)


def _users(bench: Workbench) -> list[str]:
    """Those that are tested."""
    return [bench.data.split.user_keys[u] for u in bench.data.split.test.user]


def _known(bench: Workbench, method: str | None) -> str:
    """A row with a language model that can be asked; None: DELRec, or the last that was fine-tuned. Raises KitError for
    another name."""
    adapted = bench.run.config.finetune.methods
    if method is None:
        return "delrec" if "delrec" in adapted else adapted[-1]
    if method not in (*adapted, *FROZEN):
        raise KitError(f"no method '{method}' of this run to ask{nearest(method, (*adapted, *FROZEN))}")
    return method


def compare(one: Run, other: Run, names: tuple[str, str] | None = None) -> Picture:
    """Two runs side by side, such as two teachers, or with and without temporal analysis: methods (paired by user where
    both ranked the same users), recency profiles, attention."""
    opened = [_open(run) for run in (one, other)]
    called = names or tuple(run.path.name for run in opened)
    if called[0] == called[1]:
        called = tuple(str(run.path) for run in opened)
    parts = [
        {
            "ranks": pd.read_parquet(run.require("evaluation") / "per_user.parquet"),
            "recency": _table(run, "recency", "user"),
            "attention": _table(run, "attention"),
        }
        for run in opened
    ]
    return plot_two_runs(two_runs(*parts), called)


def _open(run: Run) -> RunDirectory:
    return run if isinstance(run, RunDirectory) else RunDirectory.open(run)


def _table(run: Run, name: str, *columns: str) -> pd.DataFrame:
    """A table of a run's evaluation; raises KitError where it lacks ``columns``."""
    path = _open(run).require("evaluation") / f"{name}.csv"
    if not path.is_file():
        raise _old(path)
    table = pd.read_csv(path)
    if set(columns) - set(table):
        raise _old(path)
    return table


def _old(path: Path) -> KitError:
    stage = path.parent
    return KitError(f"{path} is missing or of an older version of the kit; delete {stage} and run its notebook again")
