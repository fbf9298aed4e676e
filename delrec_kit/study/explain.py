"""One user of a run: asked by hand, and explained as a page."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches

import pandas as pd

from delrec_kit.interpret import ATTENTION, EFFECT, GRADIENTS, SAID, ByHand, user_page
from delrec_kit.interpret.by_hand import THROUGH_P
from delrec_kit.interpret.spans import Span
from delrec_kit.run.directory import read_json
from delrec_kit.settings.config import KitConfig
from delrec_kit.settings.errors import KitError, nearest
from delrec_kit.settings.methods import FROZEN, METHODS
from delrec_kit.settings.style import label
from delrec_kit.study.inside import folder_inside
from delrec_kit.study.workbench import Workbench


def row_to_ask(config: KitConfig, method: str | None) -> str:
    """A row with a language model that can be asked; None: DELRec, or the last that was fine-tuned. Raises KitError for
    another name."""
    adapted = config.finetune.methods
    if method is None:
        return "delrec" if "delrec" in adapted else adapted[-1]
    if method not in (*adapted, *FROZEN):
        raise KitError(f"this run has no method '{method}' to ask{nearest(method, (*adapted, *FROZEN))}")
    return method


def by_hand(bench: Workbench, name: str) -> ByHand:
    """The method ``name`` and the teacher, to be asked about histories and candidates of one's own."""
    config, (llm, writer, soft) = bench.run.config, bench.open_method(name)
    return ByHand(
        llm,
        writer,
        soft,
        bench.ask(METHODS[name]),
        bench.teacher,
        bench.expectations(writer),
        bench.data.split.titles,
        config.distill.h,
        config.llm.length_normalised,
    )


def tested(bench: Workbench, user: str) -> tuple[list[int], list[int], int]:
    """History, candidates and target of one user of the test. Raises KitError for a user that is not tested, naming the
    nearest key."""
    split = bench.data.split
    keys = [split.user_keys[u] for u in split.test.user]
    if user not in keys:
        close = get_close_matches(user, keys, n=1) or keys[:1]
        raise KitError(f"no test case of user '{user[:80]}'; one of the {len(keys)} that are tested is '{close[0]}'")
    row = keys.index(user)
    return split.test.history[row].tolist(), bench.data.test_candidates[row].tolist(), int(split.test.target[row])


def explain_user(bench: Workbench, user: str, method: str | None = None) -> str:
    """The page (HTML) that explains what ``method`` (DELRec) chose for one user of the test. Raises KitError for a user
    that is not tested, or a method that the run does not have."""
    name = row_to_ask(bench.run.config, method)
    history, candidates, target = tested(bench, user)
    asked = by_hand(bench, name)
    ranks = asked.ranking(history, candidates)
    ranking = pd.DataFrame(
        {
            "candidate": ranks["title"],
            "answer": ranks["item"] == target,
            "rank, teacher": ranks["teacher_rank"],
            f"rank, {label(name)}": ranks["llm_rank"],
            f"chance, {label(name)}": ranks["chance"].map("{:.1%}".format),
        }
    )
    if "prior" in ranks:
        ranking["chance, popularity alone"] = ranks["prior"].map("{:.1%}".format)
    ranking = ranking.sort_values(f"rank, {label(name)}")
    told = {name: text for name, text in SAID.items() if name != ATTENTION}
    spans, missed = asked.explained(history, candidates, list(told))
    facts = [
        ("run", str(bench.run.path)),
        ("method", label(name)),
        ("first choice", ranking["candidate"].iloc[0]),
        ("what came next", bench.data.split.titles[target]),
        ("what speaks for it most", _strongest(spans, max)),
        ("what speaks against it most", _strongest(spans, min)),
    ]
    if missed is not None:
        total = sum(span.values[GRADIENTS] for span in spans if span.values)
        told[GRADIENTS] += f" The shares add up to {total:.2f} nats and miss what they should by {abs(missed):.2f}."
    if asked.expectations is not None and asked.ask.method.soft:
        told[GRADIENTS] += f" {THROUGH_P}."
    return user_page(f"What {label(name)} chose for user {user}", facts, ranking, spans, told, judged(bench, name))


def judged(bench: Workbench, name: str) -> list[str]:
    """The verdicts of notebook 05 on explanations of the method ``name``, or that there are none."""
    path = folder_inside(bench.run.folder("evaluation"), name) / "verdicts.json"
    if path.is_file():
        told = read_json(path)
        return [*(f"{text} ({told['users']} users)" for text in told["verdicts"]), *told["notes"]]
    return [f"Explanations of {label(name)} were not tested in this run: evaluation.inside names the rows that are."]


def _strongest(spans: Sequence[Span], which: Callable) -> str:
    most = which((span for span in spans if span.values), key=lambda span: span.values[EFFECT])
    effect = most.values[EFFECT]
    return f"{most.text} ({most.name}, {effect:+.2f} nats)" if (effect > 0) == (which is max) else "nothing"
