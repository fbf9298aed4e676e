"""Comparisons as tables that people read, and as files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from delrec_kit.evaluation.paired import TESTED, judged
from delrec_kit.evaluation.ranks import METRICS
from delrec_kit.settings.methods import base_of
from delrec_kit.settings.style import FIRST, label

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

ROWS = 10  # of a table on the screen


def comparison_table(comparison: Mapping[str, Any], digits: int = 3) -> pd.DataFrame:
    """Methods by metrics; each cell is ``0.512 [0.480, 0.544]`` (95 % interval over users)."""
    form = f"{{value:.{digits}f}} [{{low:.{digits}f}}, {{high:.{digits}f}}]"
    rows = {
        name: {metric: form.format(**cell) for metric, cell in cells.items()}
        for name, cells in comparison["methods"].items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def difference_table(comparison: Mapping[str, Any], metrics: Sequence[str] = TESTED) -> pd.DataFrame:
    """Paired differences a − b in ``metrics``, one family: a, b, metric, value, low, high, p, p_holm, sure."""
    table = pd.DataFrame(comparison["differences"], columns=["a", "b", "metric", "value", "low", "high", "p"])
    return judged(table[table["metric"].isin(metrics)].reset_index(drop=True))


def results_text(table: pd.DataFrame) -> pd.DataFrame:
    """``results_table`` to read: one row a method, cells such as ``0.512 ± 0.010``, mean and standard deviation
    over runs (no ± for a single run)."""
    spread = table["sd"].map(lambda sd: "" if pd.isna(sd) else f" ± {sd:.3f}")
    cells = table.assign(text=table["value"].map("{:.3f}".format) + spread)
    rows = ["method", "runs"] if (table["settings"] == "").all() else ["settings", "method", "runs"]
    wide = cells.pivot_table(index=rows, columns="metric", values="text", aggfunc="first", sort=False)
    return wide[[metric for metric in METRICS if metric in wide]].reset_index().rename_axis(columns=None)


def labelled(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` with methods, in its index or its columns, by the names that figures give them."""
    if "method" in table.index.names:
        table = table.rename(label, axis=0, level="method" if table.index.nlevels > 1 else None)
    return table.assign(**{column: table[column].map(label) for column in ("method", "a", "b") if column in table})


def shown(table: pd.DataFrame, file: str = "", rows: int = ROWS, digits: int = 2) -> "Styler":
    """``table`` as a notebook shows it: methods by the names that figures give them, at most ``rows`` rows, what is
    ``sure`` in bold. file: where the rest stands, which is said where rows are left out."""
    named = labelled(table.head(rows))
    plain = named.index.names == [None] and pd.api.types.is_integer_dtype(named.index)
    sure = named["sure"].to_numpy(dtype=bool) if "sure" in named else np.zeros(len(named), dtype=bool)
    bold = pd.DataFrame(
        np.where(np.tile(sure[:, None], named.shape[1]), "font-weight: bold", ""),
        index=named.index,
        columns=named.columns,
    )
    styler = named.style.apply(lambda _: bold, axis=None).format(precision=digits, na_rep="")
    if len(table) > len(named):
        styler = styler.set_caption(f"{len(named)} of {len(table)} rows{f'; all in {file}' if file else ''}")
    return styler.hide(axis="index") if plain else styler


def main_first(table: pd.DataFrame, rows: int = ROWS) -> pd.DataFrame:
    """``table``, a row a method (perhaps by settings), with those in front that every claim is measured by, up to
    ``rows`` with the best of the others, the best first: by the first column where it is text, else by the mean of
    all."""
    text = not pd.api.types.is_numeric_dtype(table.iloc[:, 0])
    value = table.iloc[:, 0] if text else table.mean(axis=1)
    best = value.sort_values(ascending=False, kind="stable").index
    main = [name for name in best if base_of(name[-1] if isinstance(name, tuple) else name) in FIRST][:rows]
    others = [name for name in best if name not in main]
    front = {*main, *others[: rows - len(main)]}
    return table.loc[[*(name for name in best if name in front), *(name for name in best if name not in front)]]


def surest_first(table: pd.DataFrame) -> pd.DataFrame:
    """Differences: the sure ones first, and the larger of like sureness."""
    size = table.assign(size=table["value"].abs()).sort_values(["sure", "size"], ascending=False, kind="stable")
    return size.drop(columns="size").reset_index(drop=True)


def write_report(
    table: pd.DataFrame, csv: str | Path | None = None, markdown: str | Path | None = None, **others: pd.DataFrame
) -> None:
    """Write a ``results_table`` and ``others`` that belong to it, such as its differences: numbers as CSV (each of the
    others into a file of its own beside it), all in readable form as Markdown."""
    if csv is not None:
        csv = Path(csv)
        table.to_csv(csv, index=False)
        for name, other in others.items():
            other.to_csv(csv.with_name(f"{csv.stem}_{name}{csv.suffix}"), index=False)
    if markdown is not None:
        shown = [results_text(table), *(other.round(3) for other in others.values())]
        Path(markdown).write_text("\n\n".join(map(_markdown, shown)) + "\n", encoding="utf-8")


def _markdown(table: pd.DataFrame) -> str:
    """Cells as they are, those without a value empty."""
    cells = table.astype(object).where(table.notna(), "").replace(r"\|", r"\\|", regex=True)
    return cells.to_markdown(index=False, disable_numparse=True)
