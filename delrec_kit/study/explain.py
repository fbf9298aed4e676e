"""One user of a run: asked by hand, and explained as a page."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches

import pandas as pd

from delrec_kit.interpret import ATTENTION, EFFECT, GRADIENTS, SAID, ByHand, Span, user_page
from delrec_kit.interpret.by_hand import THROUGH_P
from delrec_kit.run.directory import RunDirectory, read_json
from delrec_kit.settings.errors import KitError, nearest
from delrec_kit.settings.style import label
from delrec_kit.study.study import Study


def row_to_ask(study: Study, method: str | None) -> str:
    """A row with a language model that can be asked; None: DELRec, or the last that was fine-tuned. Raises KitError for
    another name."""
    name = study.answering(method)
    if name not in study.rows():
        raise KitError(f"this run has no method '{name}' to ask{nearest(name, study.rows())}")
    return name


def by_hand(study: Study, name: str) -> ByHand:
    """The method ``name`` and the teacher, to be asked about histories and candidates of one's own."""
    return ByHand(study.recommender(name), study.teacher, study.data.split.titles)


def tested(study: Study, user: str) -> tuple[list[int], list[int], int]:
    """History, candidates and target of one user of the test. Raises KitError for a user that is not tested, naming the
    nearest key."""
    split = study.data.split
    keys = [split.user_keys[u] for u in split.test.user]
    if user not in keys:
        close = get_close_matches(user, keys, n=1) or keys[:1]
        raise KitError(f"no test case of user '{user[:80]}'; one of the {len(keys)} that are tested is '{close[0]}'")
    row = keys.index(user)
    return split.test.history[row].tolist(), study.data.test_candidates[row].tolist(), int(split.test.target[row])


def explain_user(run: RunDirectory, user: str, method: str | None = None) -> str:
    """The page (HTML) that explains what ``method`` (DELRec) chose for one user of the test. Raises KitError for a user
    that is not tested, or a method that the run does not have."""
    study = Study(run)
    name = row_to_ask(study, method)
    history, candidates, target = tested(study, user)
    asked = by_hand(study, name)
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
    texts = {name: text for name, text in SAID.items() if name != ATTENTION}
    spans, missed = asked.explained(history, candidates, list(texts))
    facts = [
        ("run", run.path.name),
        ("method", label(name)),
        ("first choice", ranking["candidate"].iloc[0]),
        ("what came next", study.data.split.titles[target]),
        ("what speaks for it most", _strongest(spans, max)),
        ("what speaks against it most", _strongest(spans, min)),
    ]
    if missed is not None:
        total = sum(span.values[GRADIENTS] for span in spans if span.values)
        texts[GRADIENTS] += f" The shares add up to {total:.2f} nats and miss what they should by {abs(missed):.2f}."
    if asked.recommender.expects is not None:
        texts[GRADIENTS] += f" {THROUGH_P}."
    return user_page(f"What {label(name)} chose for user {user}", facts, ranking, spans, texts, judged(run, name))


def judged(run: RunDirectory, name: str) -> list[str]:
    """The verdicts of notebook 05b on explanations of the method ``name``, or that there are none."""
    if run.is_done("interpretation") and (path := run.require("interpretation") / name / "verdicts.json").is_file():
        found = read_json(path)
        return [*(f"{text} ({found['users']} users)" for text in found["verdicts"]), *found["notes"]]
    return [f"Explanations of {label(name)} were not tested in this run: notebook 05b tests those of two rows."]


def _strongest(spans: Sequence[Span], which: Callable) -> str:
    most = which((span for span in spans if span.values), key=lambda span: span.values[EFFECT])
    effect = most.values[EFFECT]
    return f"{most.text} ({most.name}, {effect:+.2f} nats)" if (effect > 0) == (which is max) else "nothing"
