"""One user's explanation as a web page that needs nothing beside itself: no server, no script, no other file."""

from collections.abc import Sequence
from html import escape

import pandas as pd

from delrec_kit.interpret.spans import Span

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
MARKED = 0.05  # of the largest value: what is smaller bears no number


def user_page(
    title: str,
    facts: Sequence[tuple[str, str]],
    ranking: pd.DataFrame,
    spans: Sequence[Span],
    told: dict[str, str],
    verdicts: Sequence[str] = (),
) -> str:
    """The page. facts: label and text; ranking: candidate, answer (bool) and one column of ranks or chances a ranker;
    told: explanation -> what its numbers are; verdicts: whether to believe them. Values are marked by an underline and
    a number beside the colour."""
    about = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in facts)
    parts = [
        f"<h2>{escape(name)}</h2>{prompt_html(spans, name)}<p class='caption'>{escape(text)}</p>"
        for name, text in told.items()
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
        told = (row[name] if isinstance(row[name], str) else f"{row[name]:.4g}" for name in columns)
        cells = "".join(f"<td class='number'>{escape(text)}</td>" for text in told)
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
