"""The pictures of notebooks 05a to 05c, each from a run directory: the figure and the numbers that it shows.

Use them in a notebook of your own: ``figure, table = pictures.recency("runs/demo")``. Those that look inside a method
take its name, such as "delrec"; by default it is the frozen language model with the distilled P.
"""

from collections.abc import Sequence
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
    plot_recency,
    plot_two_runs,
    plot_words,
    title_cosines,
    two_runs,
)
from delrec_kit.interpret import projection as projected
from delrec_kit.llm import LlmRecommender, SoftPrompt
from delrec_kit.run.directory import RunDirectory, read_json
from delrec_kit.settings.errors import KitError, nearest
from delrec_kit.settings.methods import DISTILLED
from delrec_kit.settings.rows import called
from delrec_kit.study.explain import every_row, one_user, opened, prompt, widget  # noqa: F401 (of one user)
from delrec_kit.study.inside import looked_into
from delrec_kit.study.study import Study

Picture = tuple[Figure, pd.DataFrame]
Run = RunDirectory | str | Path


def comparison(run: Run, protocol: str = OWN, metrics: Sequence[str] = METRICS) -> Picture:
    """Every method under a protocol, with intervals. Raises KitError where the run has it not."""
    for metric in metrics:
        if metric not in METRICS:
            raise KitError(f"no metric '{metric}'{nearest(metric, METRICS)}")
    folder = opened(run).require("evaluation")
    return plot_comparison(load_comparison(folder / ("" if protocol == OWN else protocol)), metrics)


def differences(run: Run, metric: str = "HR@1") -> Picture:
    """Paired differences between methods. Raises KitError for an unknown metric."""
    if metric not in METRICS:
        raise KitError(f"no metric '{metric}'{nearest(metric, METRICS)}")
    comparison = load_comparison(opened(run).require("evaluation"))
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
    """What deletion and insertion say of every explanation, over random orders."""
    found = verdicts(run, method)
    over_random = {test: pd.DataFrame(rows) for test, rows in found["over_random"].items()}
    return plot_faithfulness(over_random, found["verdicts"], _looked(run, method))


def verdict_table(run: Run) -> pd.DataFrame:
    """Whether to believe attention and gradients, of every row that the run looked inside: a word, the rank correlation
    behind it with its interval, and what the explanation has over random orders."""
    tables = [
        pd.DataFrame(verdicts(run, name)["verdicts"]).assign(method=name) for name in looked_into(opened(run).config)
    ]
    table = pd.concat(tables, ignore_index=True)
    interval = [f"{row.spearman:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in table.itertuples()]
    columns = ["method", "explanation", "verdict", "spearman", "among_all", "kind_alone", "deletion", "insertion"]
    return table.assign(spearman=interval)[columns]


def verdicts(run: Run, method: str | None = None) -> dict:
    """Whether to believe attention and gradients: ``verdicts``, the numbers behind them, and notes."""
    return read_json(opened(run).require("interpretation") / _looked(run, method) / "verdicts.json")


def words(run: Run) -> Picture:
    """The words of the vocabulary nearest to each soft token."""
    _, delrec, P, untrained = _vectors(run)
    return plot_words(nearest_words(delrec.llm, P, untrained))


def cosines(run: Run) -> Picture:
    """The titles nearest to each soft token."""
    study, delrec, P, untrained = _vectors(run)
    return plot_cosines(title_cosines(delrec.llm, delrec.writer, study.data.split.titles, P, untrained))


def projection(run: Run) -> Picture:
    """P before and after training, among the titles; a saved SVG says each title under the pointer."""
    study, delrec, P, untrained = _vectors(run)
    table, share = projected(delrec.llm, delrec.writer, P, untrained)
    titles = study.data.split.titles
    named = [titles[int(row.name)] if row.what == "title" else row.name for row in table.itertuples()]
    return plot_projection(table.assign(name=named), share)


def _vectors(run: Run) -> tuple[Study, LlmRecommender, SoftPrompt, SoftPrompt]:
    """P as it was trained and before; where it depends on the user, as it is when the teacher expects what it expects
    of the test users on average."""
    study = Study(opened(run))
    delrec = study.recommender(DISTILLED)
    P, untrained = delrec.P, study.soft_prompt("llm_untrained_prompt", delrec.llm, delrec.writer)
    if delrec.expects is not None:
        mean = torch.from_numpy(delrec.expects(study.data.split.test).mean(0))
        P, untrained = P.constant(mean), untrained.constant(mean)
    return study, delrec, P, untrained


def growth(run: Run) -> Picture:
    """How P grew over stage 1."""
    return plot_growth(_table(run, "prompt", "growth"))


def compare(one: Run, other: Run, names: tuple[str, str] | None = None) -> Picture:
    """Two runs side by side, such as two teachers, or with and without temporal analysis: methods (paired by user where
    both ranked the same people), recency profiles, and the attention of what both look inside first. Raises KitError
    for runs of other data or other candidates, whose metrics mean other things."""
    runs = [opened(run) for run in (one, other)]
    paths = [run.path for run in runs]
    called = names or tuple(str(path) if paths[0].name == paths[1].name else path.name for path in paths)
    if isinstance(called, str) or len(called) != 2 or (names and called[0] == called[1]):
        raise KitError(f"names must be two different names, one for each run, not {names!r}")
    data = [run.config.data.model_dump(exclude={"data_dir"}) for run in runs]
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
        for run in runs
    ]
    return plot_two_runs(two_runs(*parts), called)


def _looked(run: Run, method: str | None) -> str:
    """A row that the run looked inside; None: the first of them."""
    config = opened(run).config
    known, method = looked_into(config), method and called(config, method)
    if method is not None and method not in known:
        raise KitError(f"this run did not look inside '{method}'{nearest(method, known)}")
    return known[0] if method is None else method


def _inside(run: Run, method: str | None, name: str) -> pd.DataFrame:
    return _table(run, "interpretation", f"{_looked(run, method)}/{name}")


def _table(run: Run, stage: str, name: str) -> pd.DataFrame:
    return pd.read_csv(opened(run).require(stage) / f"{name}.csv")
