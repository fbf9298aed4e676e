"""One user's answer, shown: both rankings as a picture, and what explains it as a web page.

The page needs nothing beside itself: no server, no script, no other file.
"""

from collections.abc import Mapping, Sequence
from html import escape
from textwrap import shorten

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from delrec_kit.interpret.by_hand import Span
from delrec_kit.settings.style import PALETTE, headline, label, styled

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #111; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } th, td { padding: .2rem .8rem .2rem 0; text-align: left; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.answer { font-weight: bold; } .prompt { line-height: 2.1; } .caption { color: #444; font-size: .9rem; }
.piece { padding: .1rem .25rem; border-radius: .2rem; border-bottom: 2px solid transparent; }
.for { border-bottom-color: #0072B2; } .against { border-bottom-color: #D55E00; border-bottom-style: dashed; }
sup { font-size: .65rem; font-variant-numeric: tabular-nums; }
"""
COLOURS = {True: "0,114,178", False: "213,94,0"}  # for and against the choice
LONGEST = 40  # letters of a title in the picture
MARKED = 0.05  # of the largest value: what is smaller bears no number


def user_page(
    title: str,
    facts: Sequence[tuple[str, str]],
    ranking: pd.DataFrame,
    spans: Sequence[Span],
    texts: dict[str, str],
    verdicts: Sequence[str] = (),
) -> str:
    """The page. facts: label and text; ranking: candidate, answer (bool) and one column of ranks or chances a ranker;
    texts: explanation -> what its numbers are; verdicts: whether to believe them. Values are marked by an underline and
    a number beside the colour."""
    about = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in facts)
    parts = [
        f"<h2>{escape(name)}</h2>{prompt_html(spans, name)}<p class='caption'>{escape(text)}</p>"
        for name, text in texts.items()
    ]
    head = f"<meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style>"
    return (
        f"<!doctype html><html lang='en'><head>{head}</head><body><h1>{escape(title)}</h1><table>{about}</table>"
        f"<h2>Who ranks what</h2>{_ranking(ranking)}{''.join(parts)}{_verdicts(verdicts)}</body></html>\n"
    )


def _verdicts(verdicts: Sequence[str]) -> str:
    each = "".join(f"<li>{escape(text)}</li>" for text in verdicts)
    return f"<h2>Whether to believe it</h2><ul class='caption'>{each}</ul>" if each else ""


def _ranking(table: pd.DataFrame) -> str:
    columns = [name for name in table if name not in ("candidate", "answer")]
    head = "".join(f"<th class='number'>{escape(name)}</th>" for name in columns)
    rows = []
    for row in table.to_dict("records"):
        shown = (row[name] if isinstance(row[name], str) else f"{row[name]:.4g}" for name in columns)
        cells = "".join(f"<td class='number'>{escape(text)}</td>" for text in shown)
        mark = " ← what came next" if row["answer"] else ""
        kind = " class='answer'" if row["answer"] else ""
        rows.append(f"<tr{kind}><td>{escape(row['candidate'])}{mark}</td>{cells}</tr>")
    return f"<table><tr><th>candidate</th>{head}</tr>{''.join(rows)}</table>"


def prompt_html(spans: Sequence[Span], explanation: str) -> str:
    """The prompt's text, each piece marked by what ``explanation`` says of it: colour, underline and number."""
    largest = max((abs(span.values.get(explanation, 0.0)) for span in spans), default=0.0) or 1.0
    return f"<p class='prompt'>{' '.join(_span(span, explanation, largest) for span in spans)}</p>"


def _span(span: Span, explanation: str, largest: float) -> str:
    value = span.values.get(explanation)
    if value is None:
        return escape(span.text)
    share = abs(value) / largest
    side = "for" if value >= 0 else "against"
    number = f"<sup>{value:+.2g}</sup>" if share >= MARKED else ""
    kind = f"piece {side}" if share >= MARKED else "piece"
    colour = f"background: rgba({COLOURS[value >= 0]},{0.45 * share:.2f})"
    about = f"{span.name} {span.index + 1}: {value:+.4f}"
    return (
        f"<span class='{kind}' style='{colour}' title='{escape(about, quote=True)}'>{escape(span.text)}{number}</span>"
    )


@styled
def plot_ranking(
    table: pd.DataFrame, target: int | None = None, before: pd.DataFrame | None = None, method: str = ""
) -> tuple[Figure, pd.DataFrame]:
    """Teacher's ranks (left) and the language model's (right) of ``ByHand.ranking``, a line a candidate; the item that
    came next stands out. Tied candidates share a rank, marked "=". ``before``: an earlier ranking; what has moved since
    is marked with by how much. method: whose ranking."""
    figure, axis = plt.subplots(figsize=(8.0, 1.7 + 0.27 * len(table)))
    was = {} if before is None else dict(zip(before["item"], before["llm_rank"], strict=True))
    left, right = (table[column].rank(method="first").to_numpy() for column in ("teacher_rank", "llm_rank"))
    tied = [dict(table[column].value_counts()) for column in ("teacher_rank", "llm_rank")]
    texts = []
    for row, start, stop in zip(table.itertuples(), left, right, strict=True):
        true = row.item == target
        colour, width = (PALETTE[1], 2.5) if true else (PALETTE[8], 1.0)
        axis.plot([0, 1], [start, stop], color=colour, linewidth=width, marker="D" if true else "o", linestyle="-")
        looks = {"va": "center", "fontweight": "bold" if true else "normal", "fontsize": 9}
        step = was.get(row.item, row.llm_rank) - row.llm_rank
        moved = f"  {'▲' if step > 0 else '▼'}{abs(step):g}" if step else ""
        ranks = [_rank(rank, of) for rank, of in zip((row.teacher_rank, row.llm_rank), tied, strict=True)]
        title = shorten(row.title, LONGEST, placeholder="…")
        texts.append(axis.text(-0.06, start, f"{title}  {ranks[0]}", ha="right", **looks))
        texts.append(axis.text(1.06, stop, f"{ranks[1]}  {title}  {row.chance:.0%}{moved}", ha="left", **looks))
    for text in texts:
        text.set_parse_math(False)
    axis.set(xlim=(-1.6, 2.8), ylim=(len(table) + 0.6, -0.2))
    axis.text(0, 0.1, "teacher", ha="right", fontweight="bold")
    axis.text(1, 0.1, label(method) if method else "language model", ha="left", fontweight="bold")
    axis.axis("off")
    caption = "Ranks of the same candidates; percentages are the model's softmax; bold is what came next; = is a tie."
    headline(figure, _first_choices(table), caption)
    return figure, table


def _rank(rank: float, tied: Mapping[float, int]) -> str:
    """The best place of a rank that ``tied[rank]`` candidates share."""
    alike = tied[rank]
    return f"{rank - (alike - 1) / 2:g}{'=' if alike > 1 else ''}"


def _first_choices(table: pd.DataFrame) -> str:
    first = [table[table[column] == table[column].min()] for column in ("teacher_rank", "llm_rank")]
    said = [of["title"].iloc[0] if len(of) == 1 else f"{len(of)} candidates alike" for of in first]
    if len(first[0]) == len(first[1]) == 1 and first[0].index.equals(first[1].index):
        return f"Both put first {said[1]}"
    return f"The teacher puts first {said[0]}, the language model {said[1]}"
