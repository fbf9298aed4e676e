"""One user of a run: asked by hand, and explained as a page."""

from difflib import get_close_matches
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import softmax
from scipy.stats import rankdata

from delrec_kit.interpret import EFFECT, WORDS, ByHand, Page, PromptView, Side, Span, plot_ranking, side, verdict_text
from delrec_kit.interpret.attention import answering
from delrec_kit.interpret.by_hand import THROUGH_P
from delrec_kit.interpret.by_piece import REST
from delrec_kit.interpret.panel import OneUser
from delrec_kit.interpret.view import place_of
from delrec_kit.run.directory import RunDirectory, read_json
from delrec_kit.settings.errors import KitError, nearest
from delrec_kit.settings.methods import WITHOUT_P, base_of
from delrec_kit.settings.style import FIRST, label
from delrec_kit.study.inside import looked_into
from delrec_kit.study.study import Study

MATTERS = 0.005  # nats: a smaller effect is nothing, to the two digits that are shown


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


def tested(study: Study, user: str | int | None = None) -> tuple[str, list[int], list[int], int]:
    """Key, history, candidates and target of one user of the test: by key; where no key is a number, by place from 1 on
    too; None: the first. Raises KitError for one that is not tested, naming the nearest key."""
    split = study.data.split
    keys = [split.user_keys[u] for u in split.test.user]
    wanted = keys[0] if user is None else str(user)
    if wanted not in keys and wanted.isdecimal() and not any(key.isdecimal() for key in keys):
        if not 1 <= int(wanted) <= len(keys):
            raise KitError(f"no test case number {wanted[:80]}: {len(keys)} users are tested, numbered from 1")
        wanted = keys[int(wanted) - 1]
    if wanted not in keys:
        close = get_close_matches(wanted, keys, n=1) or keys[:1]
        raise KitError(f"no test case of user '{wanted[:80]}'; one of the {len(keys)} that are tested is '{close[0]}'")
    row = keys.index(wanted)
    target = int(split.test.target[row])
    return keys[row], split.test.history[row].tolist(), study.data.test_candidates[row].tolist(), target


def every_row(run: RunDirectory | str | Path, user: str | int | None = None) -> pd.DataFrame:
    """The main rows of the comparison for one user of the test: ``first choice``, its chance among the candidates (none
    of rows whose scores are no logits), and the rank of what came next. From the scores that 05a has kept."""
    study = Study(opened(run))
    key, _, candidates, target = tested(study, user)
    scores = pd.read_parquet(study.run.require("evaluation") / "scores.parquet").set_index("user").loc[key]
    rows = {}
    for name in [name for name in scores.index if base_of(name) in FIRST]:
        own = np.asarray(scores[name], dtype=float)
        chance = softmax(own).max() if name in study.rows() else np.nan
        first = study.data.split.titles[candidates[own.argmax()]]
        rows[name] = (first, chance, f"{rankdata(-own)[candidates.index(target)]:g}")
    columns = ["first choice", "its chance", "rank of what came next"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("method")


def prompt_view(study: Study, user: str | int | None, method: str | None = None) -> PromptView:
    """What ``method`` (DELRec) does with the prompt of one user of the test, and beside it the run's row that differs
    from it in P alone, where the run has one. A model is let go before the next is loaded."""
    name, (key, *case) = row_to_ask(study, method), tested(study, user)
    names = [name, *(other for other in [WITHOUT_P.get(base_of(name))] if other in study.rows())]
    sides = [side(by_hand(study, each), *case, label(each)) for each in names]
    return PromptView(sides, f"What {label(name)} chose for user {key}")


def explain_user(run: RunDirectory, user: str | int | None, method: str | None = None) -> tuple[Page, PromptView]:
    """The page that explains what ``method`` (DELRec) chose for one user of the test, and the view in it. Raises
    KitError for a user that is not tested, or a method that the run does not have."""
    study = Study(run)
    name, view = row_to_ask(study, method), prompt_view(study, user, method)
    own = view.sides[0]
    ranking = pd.DataFrame(own.answers, columns=["candidate", "chance", "rank, teacher", "answer"])
    ranking[f"rank, {own.name}"] = ranking["chance"].rank(ascending=False)
    ranking = ranking.sort_values("chance", ascending=False)
    ranking[f"chance, {own.name}"] = ranking.pop("chance").map("{:.1%}".format)
    if own.prior is not None:
        ranking["chance, popularity alone"] = [f"{own.prior[row]:.1%}" for row in ranking.index]
    effects = own.effect[own.first]
    facts = [
        ("run", run.path.name),
        ("method", own.name),
        ("first choice", own.answers[own.first][0]),
        ("what came next", next(title for title, _, _, came in own.answers if came)),
        *speaking(own),
    ]
    matters = np.abs(effects).max() >= MATTERS
    spans = [
        Span(text, *own.pieces[at], {EFFECT: effects[at]} if matters and own.pieces[at][0] != REST else {})
        for text, at in own.spans
    ]
    verdicts = [text for text in judged(run, name) if text != THROUGH_P]  # which the view says
    return Page(view.title, facts, ranking, spans, EFFECT, verdicts, view.data), view


def one_user(
    run: RunDirectory | str | Path, user: str | int | None = None, method: str | None = None
) -> tuple[Figure, pd.DataFrame]:
    """How the teacher and ``method`` (DELRec) rank the candidates of one test user, by key or number (the first)."""
    study = Study(opened(run))
    name = row_to_ask(study, method)
    _, history, candidates, target = tested(study, user)
    return plot_ranking(by_hand(study, name).ranking(history, candidates), target, method=name)


def prompt(run: RunDirectory | str | Path, user: str | int | None = None, method: str | None = None) -> PromptView:
    """The prompt of one test user, by key or number (the first), to touch, and beside it the same without P."""
    return prompt_view(Study(opened(run)), user, method)


def widget(run: RunDirectory | str | Path, method: str | None = None, user: str | int | None = None) -> OneUser:
    """One user by hand, for a notebook: choose a method and a user, change the history, colour the prompt. It begins
    with ``user``, by key or number (the first)."""
    study = Study(opened(run))
    first, split = row_to_ask(study, method), study.data.split
    seen = pd.read_csv(study.run.require("interpretation") / looked_into(study.run.config)[0] / "attention.csv")
    seen = seen[seen["kind"] == answering(seen["kind"])]  # how many layers and heads there are is the same for all
    users = {key: partial(_case, study, key) for key in (split.user_keys[u] for u in split.test.user)}
    size = int(seen["layer"].max()) + 1, int(seen["head"].max()) + 1
    methods = {name: partial(by_hand, study, name) for name in dict.fromkeys([first, *study.rows()])}
    return OneUser(methods, users, size, partial(judged, study.run), study.run.figures, tested(study, user)[0])


def _case(study: Study, user: str) -> tuple[list[int], list[int], int]:
    return tested(study, user)[1:]


def opened(run: RunDirectory | str | Path) -> RunDirectory:
    return run if isinstance(run, RunDirectory) else RunDirectory.open(run)


def judged(run: RunDirectory, name: str) -> list[str]:
    """The verdicts of notebook 05b on explanations of the method ``name``, or that there are none."""
    if run.is_done("interpretation") and (path := run.require("interpretation") / name / "verdicts.json").is_file():
        found = read_json(path)
        texts = [f"{verdict_text(each)}: {WORDS[each['verdict']]}" for each in found["verdicts"]]
        scale = (
            f"The number is the rank correlation with leaving pieces out one by one, among pieces of a kind, over "
            f"{found['users']} users, with its 95 % interval."
        )
        return [*texts, scale, *found["notes"]]
    return [f"Explanations of {label(name)} were not tested in this run: notebook 05b tests those of two rows."]


def speaking(own: Side) -> list[tuple[str, str]]:
    """What speaks for and against the choice most; or that nothing does, as where the choice is saturated."""
    effects = own.effect[own.first]
    if np.abs(effects).max() < MATTERS:
        said = f"no single piece matters: none changes it by {MATTERS} nats or more when left out alone"
        return [("what speaks for or against it", said)]
    return [
        ("what speaks for it most", _strongest(own, int(effects.argmax()), 1)),
        ("what speaks against it most", _strongest(own, int(effects.argmin()), -1)),
    ]


def _strongest(own: Side, at: int, sign: int) -> str:
    effect, text, place = own.effect[own.first][at], own.texts()[at], place_of(own)[at]
    nats = f"{effect:+.2f} nats"
    return (
        (f"{text} ({nats})" if text == place else f"{text} ({place}, {nats})")
        if effect * sign >= MATTERS
        else "nothing"
    )
