"""The pictures of notebooks 05a to 05c, each from a run directory: the figure and the numbers that it shows.

Use them in a notebook of your own: ``figure, table = pictures.recency("runs/demo")``. Those that look inside a method
take its name, such as "delrec"; by default it is the frozen language model with the distilled P.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure

from delrec_kit.evaluation import (
    METRICS,
    OWN,
    TESTED,
    difference_table,
    load_comparison,
    plot_comparison,
    plot_differences,
    ranks_of,
)
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
from delrec_kit.interpret.attention import answering
from delrec_kit.interpret.panel import OneUser
from delrec_kit.llm import LlmRecommender, SoftPrompt
from delrec_kit.run.directory import RunDirectory, read_json
from delrec_kit.settings.errors import KitError, nearest
from delrec_kit.settings.methods import DISTILLED
from delrec_kit.study.explain import by_hand, judged, row_to_ask, tested
from delrec_kit.study.inside import looked_into
from delrec_kit.study.study import Study

Picture = tuple[Figure, pd.DataFrame]
Run = RunDirectory | str | Path


def comparison(run: Run, protocol: str = OWN, metrics: Sequence[str] = METRICS) -> Picture:
    """Every method under a protocol, with intervals. Raises KitError where the run has it not."""
    for metric in metrics:
        if metric not in METRICS:
            raise KitError(f"no metric '{metric}'{nearest(metric, METRICS)}")
    folder = _open(run).require("evaluation")
    return plot_comparison(load_comparison(folder / ("" if protocol == OWN else protocol)), metrics)


def differences(run: Run, metric: str = "HR@1") -> Picture:
    """Paired differences between methods. Raises KitError for an unknown metric."""
    if metric not in METRICS:
        raise KitError(f"no metric '{metric}'{nearest(metric, METRICS)}")
    comparison = load_comparison(_open(run).require("evaluation"))
    return plot_differences(difference_table(comparison, [*TESTED, metric]), metric)


def agreement(run: Run) -> Picture:
    """How far each method of the language model agrees with the teacher."""
    return plot_agreement(_table(run, "evaluation", "agreement"))


def recency(run: Run) -> Picture:
    """How much the item j steps back changes the choice: teacher, language model without P, with P. Raises KitError
    where no history is long enough."""
    table = _table(run, "interpretation", "recency")
    if table.empty:
        raise KitError("no test history is long enough for a recency profile")
    return plot_recency(table)


def attention(run: Run, method: str | None = None) -> Picture:
    """Attention by prompt segment and layer, raw and rolled out."""
    return plot_attention(_inside(run, method, "attention"), _looked(run, method))


def places(run: Run, method: str | None = None) -> Picture:
    """Attention by soft token, title of the history, candidate, and layer, raw and rolled out."""
    return plot_places(_inside(run, method, "attention_by_place"), _looked(run, method))


def heads(run: Run, segment: str = "soft", method: str | None = None) -> Picture:
    """Attention of each head on one segment, or on one place such as "title 1 back". Raises KitError for another."""
    tables = [_inside(run, method, name) for name in ("attention", "attention_by_place")]
    for table in tables:
        if segment in set(table["segment"]):
            return plot_heads(table, segment, _looked(run, method))
    raise KitError(
        f"no part '{segment}' of the prompt{nearest(segment, [s for t in tables for s in set(t['segment'])])}"
    )


def parts(run: Run, method: str | None = None) -> list[str]:
    """What ``heads`` can show: segments of the prompt, then its places."""
    tables = [_inside(run, method, name) for name in ("attention", "attention_by_place")]
    return list(dict.fromkeys(segment for table in tables for segment in table["segment"]))


def effects(run: Run, method: str | None = None) -> Picture:
    """What leaving out single pieces of the prompt does."""
    return plot_effects(_inside(run, method, "pieces"), _looked(run, method))


def faithfulness(run: Run, method: str | None = None) -> Picture:
    """Deletion and insertion curves of every explanation beside random orders."""
    tables = verdicts(run, method)["over_random"]
    curves = {test: _inside(run, method, test) for test in tables}
    return plot_faithfulness(curves, {t: pd.DataFrame(rows) for t, rows in tables.items()}, _looked(run, method))


def verdicts(run: Run, method: str | None = None) -> dict:
    """Whether to believe attention and gradients: sentences, and the numbers behind them."""
    return read_json(_open(run).require("interpretation") / _looked(run, method) / "verdicts.json")


def words(run: Run) -> Picture:
    """The words of the vocabulary nearest to each soft token."""
    _, delrec, P, untrained = _vectors(run)
    return plot_words(nearest_words(delrec.llm, P, untrained))


def cosines(run: Run) -> Picture:
    """The titles nearest to each soft token."""
    study, delrec, P, untrained = _vectors(run)
    return plot_cosines(title_cosines(delrec.llm, delrec.writer, study.data.split.titles, P, untrained))


def projection(run: Run) -> Picture:
    """P before and after training, among the titles."""
    _, delrec, P, untrained = _vectors(run)
    return plot_projection(*projected(delrec.llm, delrec.writer, P, untrained))


def _vectors(run: Run) -> tuple[Study, LlmRecommender, SoftPrompt, SoftPrompt]:
    """P as it was trained and before; where it depends on the user, as it is when the teacher expects what it expects
    of the test users on average."""
    study = Study(_open(run))
    delrec = study.recommender(DISTILLED)
    P, untrained = delrec.P, study.soft_prompt("llm_untrained_prompt", delrec.llm, delrec.writer)
    if delrec.expects is not None:
        mean = torch.from_numpy(delrec.expects(study.data.split.test).mean(0))
        P, untrained = P.constant(mean), untrained.constant(mean)
    return study, delrec, P, untrained


def growth(run: Run) -> Picture:
    """How P grew over stage 1."""
    return plot_growth(_table(run, "prompt", "growth"))


def one_user(run: Run, user: str | None = None, method: str | None = None) -> Picture:
    """How the teacher and ``method`` (DELRec) rank the candidates of one test user (the first)."""
    study = Study(_open(run))
    name = row_to_ask(study, method)
    history, candidates, target = tested(study, _users(study)[0] if user is None else str(user))
    return plot_ranking(by_hand(study, name).ranking(history, candidates), target, method=name)


def widget(run: Run, method: str | None = None) -> OneUser:
    """One user by hand, for a notebook: choose a user, change the history, colour the prompt; show its ``box``."""
    study = Study(_open(run))
    name = row_to_ask(study, method)
    seen = _inside(run, None, "attention")  # how many layers and heads there are is the same for all
    seen = seen[seen["kind"] == answering(seen["kind"])]
    users = {user: partial(tested, study, user) for user in _users(study)}
    size = int(seen["layer"].max()) + 1, int(seen["head"].max()) + 1
    return OneUser(by_hand(study, name), users, *size, name, judged(study.run, name))


def _users(study: Study) -> list[str]:
    """Those that are tested."""
    return [study.data.split.user_keys[u] for u in study.data.split.test.user]


def compare(one: Run, other: Run, names: tuple[str, str] | None = None) -> Picture:
    """Two runs side by side, such as two teachers, or with and without temporal analysis: methods (paired by user where
    both ranked the same people), recency profiles, and the attention of what both look inside first. Raises KitError
    for runs of other data or other candidates, whose metrics mean other things."""
    opened = [_open(run) for run in (one, other)]
    paths = [run.path for run in opened]
    called = names or tuple(str(path) if paths[0].name == paths[1].name else path.name for path in paths)
    if isinstance(called, str) or len(called) != 2 or (names and called[0] == called[1]):
        raise KitError(f"names must be two different names, one for each run, not {names!r}")
    data = [run.config.data.model_dump(exclude={"data_dir"}) for run in opened]
    for field, value in data[0].items():
        if value != data[1][field]:
            raise KitError(
                f"the runs differ in data.{field}, {value} and {data[1][field]}: their metrics are not alike"
            )
    parts = [
        {
            "ranks": ranks_of(run.require("evaluation").parent),
            "recency": _table(run, "interpretation", "recency"),
            "attention": _inside(run, None, "attention_by_user"),
        }
        for run in opened
    ]
    return plot_two_runs(two_runs(*parts), called)


def _looked(run: Run, method: str | None) -> str:
    """A row that the run looked inside; None: the first of them."""
    known = looked_into(_open(run).config)
    if method is not None and method not in known:
        raise KitError(f"this run did not look inside '{method}'{nearest(method, known)}")
    return known[0] if method is None else method


def _inside(run: Run, method: str | None, name: str) -> pd.DataFrame:
    return _table(run, "interpretation", f"{_looked(run, method)}/{name}")


def _open(run: Run) -> RunDirectory:
    return run if isinstance(run, RunDirectory) else RunDirectory.open(run)


def _table(run: Run, stage: str, name: str) -> pd.DataFrame:
    return pd.read_csv(_open(run).require(stage) / f"{name}.csv")
