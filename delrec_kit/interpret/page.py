"""One user's answer, shown: both rankings as a picture, and what explains it as a web page.

The page needs nothing beside itself: no server, no script, no other file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import shorten
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from delrec_kit.interpret.by_hand import SAID, Span
from delrec_kit.interpret.view import embedded, page_html
from delrec_kit.settings.style import PALETTE, headline, label, styled

STYLE = """
.delrec-page table { border-collapse: collapse; } .delrec-page .wide { overflow-x: auto; }
.delrec-page th, .delrec-page td { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; }
.delrec-page .facts td { overflow-wrap: anywhere; }
.delrec-page .wide td:first-child { min-width: 9rem; overflow-wrap: anywhere; }
.delrec-page td.number, .delrec-page th.number { text-align: right; font-variant-numeric: tabular-nums; }
.delrec-page tr.answer { font-weight: bold; } .delrec-page li { max-width: 60rem; margin-bottom: .4rem; }
@media (prefers-color-scheme: dark) { .delrec-prompt .caption { color: #b4b4b4; } }
"""
PROMPT = """
.delrec-prompt .prompt { line-height: 2.1; } .delrec-prompt .caption { color: #555; font-size: .9rem; }
.delrec-prompt .piece { padding: .1rem .25rem; border-radius: .2rem; border-bottom: 2px solid transparent; }
.delrec-prompt .for { border-bottom-color: #0072B2; }
.delrec-prompt .against { border-bottom-color: #D55E00; border-bottom-style: dashed; }
.delrec-prompt sup { font-size: .65rem; font-variant-numeric: tabular-nums; }
"""
COLOURS = {True: "0,114,178", False: "213,94,0"}  # for and against the choice
LONGEST = 40  # letters of a title in the picture
MARKED = 0.05  # of the largest value: what is smaller bears no number


@dataclass(frozen=True)
class Page:
    """What a page says of one user.

    facts: label and text; ranking: candidate, answer (bool) and one column of ranks or chances a ranker; spans: the
    prompt, marked by what ``explanation`` says of it where no script runs; verdicts: whether to believe explanations;
    view: what ``view_data`` made, to touch.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    ranking: pd.DataFrame
    spans: Sequence[Span]
    explanation: str
    verdicts: Sequence[str] = ()
    view: Mapping[str, Any] | None = None

    def html(self) -> str:
        """The page, which needs nothing beside itself."""
        about = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in self.facts)
        still = f"<h2>{escape(self.explanation)}</h2>{prompt_html(self.spans, self.explanation)}"
        shown = still if self.view is None else f"{embedded(self.view)}<noscript>{still}</noscript>"
        body = (
            f"<h1>{escape(self.title)}</h1><table class='facts'>{about}</table><h2>Who ranks what</h2>"
            f"{_ranking(self.ranking)}<h2>The prompt</h2>{shown}{_verdicts(self.verdicts)}"
        )
        return page_html(self.title, body, STYLE)


def _verdicts(verdicts: Sequence[str]) -> str:
    each = "".join(f"<li>{escape(text)}</li>" for text in verdicts)
    return f"<h2>Whether to believe it</h2><ul>{each}</ul>" if each else ""


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
    wide = "<div class='wide' tabindex='0' role='region' aria-label='ranks and chances'>"  # keys scroll it on a phone
    return f"{wide}<table><tr><th>candidate</th>{head}</tr>{''.join(rows)}</table></div>"


def prompt_html(spans: Sequence[Span], explanation: str) -> str:
    """The prompt's text, each piece marked by what ``explanation`` says of it: colour, underline and number; and what
    the numbers are. Its style sheet touches nothing else."""
    largest = max((abs(span.values.get(explanation, 0.0)) for span in spans), default=0.0) or 1.0
    words = " ".join(_span(span, explanation, largest) for span in spans)
    caption = f"<p class='caption'>{escape(SAID.get(explanation, ''), quote=False)}</p>"
    return f"<style>{PROMPT}</style><div class='delrec-prompt'><p class='prompt'>{words}</p>{caption}</div>"


def _span(span: Span, explanation: str, largest: float) -> str:
    value = span.values.get(explanation)
    if value is None:
        return escape(span.text)
    share = abs(value) / largest
    side = "for" if value >= 0 else "against"
    number = f"<sup>{value:+.2g}</sup>" if share >= MARKED else ""
    kind = f"piece {side}" if share >= MARKED else "piece"
    colour = f"background: rgba({COLOURS[value >= 0]},{0.45 * share:.2f})"
    about = f"{span.text if span.name == 'soft' else f'{span.name} {span.index + 1}'}: {value:+.4f}"
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
