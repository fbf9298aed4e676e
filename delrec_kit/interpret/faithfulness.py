"""Whether to believe an explanation: take out first what it calls important, and see what that costs the choice.

The deletion and insertion tests (Samek et al., arXiv 1509.06321; DeYoung et al., arXiv 1911.03429): an explanation that
is no better than a random order explains nothing. One that is no better than knowing the kind of a piece, soft token,
title or candidate, says nothing of single pieces: hence ``by_kind`` beside, and rank correlations within the kinds.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from delrec_kit.evaluation import bootstrap_intervals
from delrec_kit.interpret.question import Piece, Question, leave_out
from delrec_kit.settings.streams import stream

SHARES = (0.1, 0.2, 0.3, 0.5, 0.7)
RANDOM, ORDERS = "random", 5  # orders a user, averaged
KIND, YARDSTICK = "kind of piece", "leave-one-out"
POOR, GOOD = 0.3, 0.6  # Spearman correlation with leave-one-out
WORDS = {  # verdict -> what it says
    "good": "finds what the choice hangs on, and tells pieces of a kind apart",
    "fair": "beats random orders, and tells pieces of a kind apart in part",
    "coarse": "beats random orders, and tells kinds of pieces apart, but not pieces of a kind",
    "poor": "beats random orders, but hardly ranks pieces as leaving them out does",
    "unsure": "is not surely better than chance",
    "misleading": "is surely worse than chance",
}
Interval = tuple[float, float, float]  # value, low, high


def deletion_curves(
    question: Question, explanations: Mapping[str, pd.Series], seed: int, shares: Sequence[float] = SHARES
) -> pd.DataFrame:
    """How far the log-probability of each prompt's first choice falls as ever more of its pieces are taken out, the
    most important first, and in random orders (the mean of several a user); a ``readout`` stays.

    explanations: name -> importance of every piece, in the order of ``leave_one_out``'s rows.

    Returns:
        explanation, user (row of the cases), share (of the pieces taken out), nats.
    """
    orders = _orders(question, explanations, seed)
    return _curves(question, [(*at, share, own[: _count(share, own)]) for *at, own in orders for share in shares])


def insertion_curves(
    question: Question, explanations: Mapping[str, pd.Series], seed: int, shares: Sequence[float] = SHARES
) -> pd.DataFrame:
    """The counterpart of ``deletion_curves``: all pieces are out, and the most important come back first.

    Returns:
        explanation, user, share (of the pieces put back), nats (how far the choice rose over the prompt without any).
    """
    orders = _orders(question, explanations, seed)
    emptied = [leave_out(prompt, own) for prompt, own in zip(question.prompts, _removable(question), strict=True)]
    bare = question.fall(emptied, np.arange(len(emptied)))
    out = [(*at, share, own[_count(share, own) :]) for *at, own in orders for share in shares]
    return _curves(question, out, bare)


def readouts(question: Question) -> list[Piece | None]:
    """Of each prompt the last piece from whose state the answer is made, where it is made from pieces alone: without
    any of them the model would say nothing of the user, and the tests see only which was put back first."""
    recommender, found = question.recommender, []
    reads = recommender.llm.read_out(recommender.writer.batch(question.prompts)).cpu().numpy()
    for prompt, pieces, where in zip(question.prompts, question.pieces, reads, strict=True):
        read = set(np.flatnonzero(where[: len(prompt.ids)]))
        alone = read <= {place for piece in pieces for place in piece.places}
        found.append([piece for piece in pieces if read & set(piece.places)][-1] if alone and read else None)
    return found


def _removable(question: Question) -> list[list[Piece]]:
    """The pieces of each prompt that may be taken out: all but its readout."""
    return [
        [piece for piece in pieces if piece is not stays]
        for pieces, stays in zip(question.pieces, readouts(question), strict=True)
    ]


def _orders(
    question: Question, explanations: Mapping[str, pd.Series], seed: int
) -> Iterator[tuple[str, int, list[Piece]]]:
    """Explanation, user, and the user's removable pieces, the most important first; random orders come last."""
    ends, removable = np.cumsum([len(pieces) for pieces in question.pieces]), _removable(question)
    drawn = stream(seed, "random orders").random((ORDERS, ends[-1]))
    for name, importance in [*explanations.items(), *((RANDOM, order) for order in drawn)]:
        each = np.split(np.asarray(importance, dtype=float), ends[:-1])
        for user, (values, pieces, own) in enumerate(zip(each, question.pieces, removable, strict=True)):
            worth = {(piece.name, piece.index): value for piece, value in zip(pieces, values, strict=True)}
            yield name, user, sorted(own, key=lambda piece, worth=worth: -worth[piece.name, piece.index])


def _count(share: float, pieces: Sequence[Piece]) -> int:
    """How many pieces a share of them is: at least one."""
    return max(1, round(share * len(pieces)))


def _curves(
    question: Question, out: Sequence[tuple[str, int, float, list[Piece]]], bare: np.ndarray | None = None
) -> pd.DataFrame:
    """The choice's fall without the pieces of each of ``out`` (explanation, user, share, pieces), or how much less it
    is than ``bare`` (U,); the mean of orders of the same name."""
    table = pd.DataFrame([row[:3] for row in out], columns=["explanation", "user", "share"])
    users = table["user"].to_numpy()
    fall = question.fall([leave_out(question.prompts[user], pieces) for _, user, _, pieces in out], users)
    table["nats"] = fall if bare is None else bare[users] - fall
    return table.groupby(["explanation", "user", "share"], sort=False, as_index=False)["nats"].mean()


def faithfulness_table(curves: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """Per explanation how many nats more the choice loses (or, of insertion curves, wins) than by a random order, mean
    over shares and users.

    Returns:
        explanation, value, low, high (95 % bootstrap interval over users), faithful (whether low is above 0), and
        over_kind, over_kind_low, over_kind_high: the same over ``by_kind``, where that is among the explanations.
    """
    mean = curves.pivot_table(index="user", columns="explanation", values="nats")
    rows = []
    for name in [column for column in dict.fromkeys(curves["explanation"]) if column != RANDOM]:
        value, low, high = _interval(mean[name] - mean[RANDOM], resamples, seed)
        kind = _interval(mean[name] - mean[KIND], resamples, seed) if KIND in mean else (np.nan,) * 3
        rows.append((name, value, low, high, low > 0, *kind))
    columns = ["explanation", "value", "low", "high", "faithful", "over_kind", "over_kind_low", "over_kind_high"]
    return pd.DataFrame(rows, columns=columns)


def _interval(values: pd.Series, resamples: int, seed: int) -> Interval:
    """The mean over users and its 95 % bootstrap interval."""
    low, high = bootstrap_intervals(values.to_numpy()[None], seed=seed, resamples=resamples)
    return float(values.mean()), float(low[0]), float(high[0])


def by_kind(effects: pd.DataFrame, seed: int) -> pd.Series:
    """An explanation that knows of each piece only its kind: the mean effect of that kind over the other users, and
    chance among pieces of a kind; for rows of ``leave_one_out``."""
    sums = effects.pivot_table(index="user", columns="name", values="effect", aggfunc=["sum", "size"])
    others = {part: sums[part].sum() - sums[part] for part in ("sum", "size")}
    means = (others["sum"] / others["size"].clip(lower=1)).stack()
    known = means.loc[pd.MultiIndex.from_frame(effects[["user", "name"]])].to_numpy()
    return pd.Series(known + 1e-9 * stream(seed, "chance within a kind").random(len(known)), index=effects.index)


def rank_agreement(
    importance: pd.Series, effect: pd.Series, groups: pd.DataFrame, resamples: int, seed: int
) -> Interval:
    """Spearman's correlation of an explanation with the size of the leave-one-out effects, mean over users, and its
    95 % bootstrap interval over users; a constant explanation agrees with nothing (0).

    groups: "user" of each row, and "name" where only pieces of one kind are compared with each other; a user's value is
    then the mean over the kinds of which there are at least three pieces.
    """
    table = groups.assign(a=np.asarray(importance), b=np.abs(np.asarray(effect)))
    rows = [
        (key[0], spearmanr(own["a"], own["b"]).statistic if min(own["a"].nunique(), own["b"].nunique()) > 1 else 0.0)
        for key, own in table.groupby(list(groups))
        if len(own) > 2
    ]
    each = pd.DataFrame(rows, columns=["user", "rho"]).groupby("user")["rho"].mean()
    return _interval(each, resamples, seed) if len(each) else (0.0, 0.0, 0.0)


def verdict(name: str, within: Interval, over_all: Interval, kind: float, tests: Mapping[str, pd.Series]) -> dict:
    """One word on an explanation, of ``WORDS``, and the numbers behind it.

    Args:
        within, over_all: its ``rank_agreement`` among pieces of a kind, and among all.
        kind: the correlation over all pieces of ``by_kind``.
        tests: its rows of ``faithfulness_table``, by "deletion" and "insertion".

    Returns:
        explanation, verdict, spearman (with leaving out one by one, among pieces of a kind), low, high, among_all,
        kind_alone, and for each test what the explanation has over random orders in nats.
    """
    rows = list(tests.values())
    if all(row["high"] < 0 for row in rows):
        word = "misleading"
    elif not all(row["low"] > 0 for row in rows):
        word = "unsure"
    elif within[1] < POOR:  # by the low end: a good one must be sure
        word = "coarse" if over_all[0] >= POOR else "poor"
    else:
        word = "good" if within[1] >= GOOD else "fair"
    numbers = dict(zip(("spearman", "low", "high"), map(float, within), strict=True))
    numbers |= {"among_all": float(over_all[0]), "kind_alone": float(kind)}
    return {"explanation": name, "verdict": word, **numbers, **{of: float(row["value"]) for of, row in tests.items()}}


def verdict_text(found: Mapping[str, Any]) -> str:
    """A ``verdict`` as people read it, such as "attention: poor, 0.12 [0.02, 0.21]"."""
    return "{explanation}: {verdict}, {spearman:.2f} [{low:.2f}, {high:.2f}]".format(**found)
