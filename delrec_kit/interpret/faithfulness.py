"""Whether to believe an explanation: take out first what it calls important, and see what that costs the choice.

The deletion and insertion tests (Samek et al., arXiv 1509.06321; DeYoung et al., arXiv 1911.03429): an explanation that
is no better than a random order explains nothing. One that is no better than knowing the kind of a piece, soft token,
title or candidate, says nothing of single pieces: hence ``by_kind`` beside, and rank correlations within the kinds.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from delrec_kit.evaluation.statistics import bootstrap_intervals
from delrec_kit.interpret.attribution import Score, choices, fall
from delrec_kit.interpret.pieces import Piece, leave_out, pieces_of
from delrec_kit.llm import LanguageModel, Prompt, PromptWriter

SHARES = (0.1, 0.2, 0.3, 0.5, 0.7)
RANDOM, ORDERS = "random", 5  # orders a user, averaged
KIND, YARDSTICK = "kind of piece", "leave-one-out"
POOR, GOOD = 0.3, 0.6  # Spearman correlation with leave-one-out
Interval = tuple[float, float, float]  # value, low, high


def deletion_curves(
    score: Score,
    prompts: Sequence[Prompt],
    explanations: Mapping[str, pd.Series],
    seed: int,
    shares: Sequence[float] = SHARES,
    kept: Sequence[Piece | None] = (),
) -> pd.DataFrame:
    """The fall of the log-probability of each prompt's first choice as ever more of its pieces are taken out.

    explanations: name -> importance of every piece, in the order of ``leave_one_out``'s rows; the most important go
    first. Random orders are added, the mean of several a user. kept: of each prompt the piece that is never taken out
    (``readouts``), none where left empty.

    Returns:
        explanation, user, share (of the pieces taken out), nats (how far the choice fell from the whole prompt's).
    """
    first, whole = choices(score, prompts)
    table, cut = _in_order(prompts, explanations, seed, shares, kept, lambda own, count: own[:count])
    return _orders_in_one(table.assign(nats=fall(score, first, whole, cut, table["user"].to_numpy())))


def insertion_curves(
    score: Score,
    prompts: Sequence[Prompt],
    explanations: Mapping[str, pd.Series],
    seed: int,
    shares: Sequence[float] = SHARES,
    kept: Sequence[Piece | None] = (),
) -> pd.DataFrame:
    """The counterpart of ``deletion_curves``: all pieces are out, and the most important come back first.

    Returns:
        explanation, user, share (of the pieces put back), nats (how far the choice rose over the prompt without any).
    """
    first, whole = choices(score, prompts)
    emptied = [leave_out(prompt, own) for prompt, own in zip(prompts, _taken(prompts, kept), strict=True)]
    bare = fall(score, first, whole, emptied, np.arange(len(prompts)))
    table, cut = _in_order(prompts, explanations, seed, shares, kept, lambda own, count: own[count:])
    users = table["user"].to_numpy()
    return _orders_in_one(table.assign(nats=bare[users] - fall(score, first, whole, cut, users)))


def readouts(llm: LanguageModel, writer: PromptWriter, prompts: Sequence[Prompt]) -> list[Piece | None]:
    """Of each prompt the last piece from whose state the answer is made, where it is made from pieces alone: without
    any of them the model would say nothing of the user, and the tests see only which was put back first."""
    found = []
    for prompt, where in zip(prompts, llm.compared(writer.batch(prompts)).cpu().numpy(), strict=True):
        pieces, read = pieces_of(prompt), set(np.flatnonzero(where[: len(prompt.ids)]))
        alone = read <= {place for piece in pieces for place in piece.places}
        found.append([piece for piece in pieces if read & set(piece.places)][-1] if alone and read else None)
    return found


def _taken(prompts: Sequence[Prompt], kept: Sequence[Piece | None]) -> list[list[Piece]]:
    """The pieces of each prompt that may be taken out."""
    stays = [None if piece is None else (piece.name, piece.index) for piece in kept] or [None] * len(prompts)
    return [
        [piece for piece in pieces_of(prompt) if (piece.name, piece.index) != stay]
        for prompt, stay in zip(prompts, stays, strict=True)
    ]


def _orders_in_one(table: pd.DataFrame) -> pd.DataFrame:
    return table.groupby(["explanation", "user", "share"], sort=False, as_index=False)["nats"].mean()


def _in_order(
    prompts: Sequence[Prompt],
    explanations: Mapping[str, pd.Series],
    seed: int,
    shares: Sequence[float],
    kept: Sequence[Piece | None],
    gone: Callable[[list[Piece], int], list[Piece]],
) -> tuple[pd.DataFrame, list[Prompt]]:
    """explanation, user and share, and a prompt for each row without the pieces ``gone`` (ordered, count)."""
    whole, taken = [pieces_of(prompt) for prompt in prompts], _taken(prompts, kept)
    ends = np.cumsum([len(own) for own in whole])
    drawn = np.random.default_rng(seed).random((ORDERS, ends[-1]))
    rows, cut = [], []
    for name, importance in [*explanations.items(), *((RANDOM, order) for order in drawn)]:
        each = np.split(np.asarray(importance, dtype=float), ends[:-1])
        for user, (values, pieces, own) in enumerate(zip(each, whole, taken, strict=True)):
            worth = {(piece.name, piece.index): -value for piece, value in zip(pieces, values, strict=True)}
            ordered = sorted(own, key=lambda piece: worth[piece.name, piece.index])
            for share in shares:
                cut.append(leave_out(prompts[user], gone(ordered, max(1, round(share * len(own))))))
                rows.append((name, user, share))
    return pd.DataFrame(rows, columns=["explanation", "user", "share"]), cut


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
        value, low, high = _ahead(mean[name] - mean[RANDOM], resamples, seed)
        kind = _ahead(mean[name] - mean[KIND], resamples, seed) if KIND in mean else (np.nan,) * 3
        rows.append((name, value, low, high, low > 0, *kind))
    columns = ["explanation", "value", "low", "high", "faithful", "over_kind", "over_kind_low", "over_kind_high"]
    return pd.DataFrame(rows, columns=columns)


def _ahead(gain: pd.Series, resamples: int, seed: int) -> Interval:
    low, high = bootstrap_intervals(gain.to_numpy()[None], seed=seed, resamples=resamples)
    return float(gain.mean()), float(low[0]), float(high[0])


def by_kind(effects: pd.DataFrame, seed: int) -> pd.Series:
    """An explanation that knows of each piece only its kind: the mean effect of that kind over the other users, and
    chance among pieces of a kind; for rows of ``leave_one_out``."""
    sums = effects.pivot_table(index="user", columns="name", values="effect", aggfunc=["sum", "size"])
    others = {part: sums[part].sum() - sums[part] for part in ("sum", "size")}
    means = (others["sum"] / others["size"].clip(lower=1)).stack()
    known = means.loc[pd.MultiIndex.from_frame(effects[["user", "name"]])].to_numpy()
    return pd.Series(known + 1e-9 * np.random.default_rng(seed).random(len(known)), index=effects.index)


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
    each = pd.DataFrame(rows, columns=["user", "rho"]).groupby("user")["rho"].mean().to_numpy()
    if not len(each):
        return 0.0, 0.0, 0.0
    low, high = bootstrap_intervals(each[None], seed=seed, resamples=resamples)
    return float(each.mean()), float(low[0]), float(high[0])


def verdict(name: str, within: Interval, over_all: Interval, kind: float, tests: Mapping[str, pd.Series]) -> str:
    """Two plain sentences on an explanation.

    Args:
        within, over_all: its ``rank_agreement`` among pieces of a kind, and among all.
        kind: the correlation over all pieces of ``by_kind``.
        tests: its rows of ``faithfulness_table``, by "deletion" and "insertion".
    """
    rows = list(tests.values())
    if all(row["high"] < 0 for row in rows):
        guide = "is misleading here, worse than chance"
    elif not all(row["low"] > 0 for row in rows):
        guide = "is not surely better than chance here"
    elif within[1] < POOR:  # by the low end: a good one must be sure
        coarse = over_all[0] >= POOR
        guide = "is a coarse guide here, that tells kinds of pieces apart" if coarse else "is a poor guide here"
    else:
        guide = f"is a {'good' if within[1] >= GOOD else 'fair'} guide here"
    out, back = (f"{row['value']:.2f} nats [{row['low']:.2f}, {row['high']:.2f}]" for row in rows)
    return (
        f"{name} {guide}: Spearman {within[0]:.2f} [{within[1]:.2f}, {within[2]:.2f}] with leaving out one by one, "
        f"among pieces of a kind ({over_all[0]:.2f} among all, where the kind alone has {kind:.2f}). Taking out first "
        f"what it names costs the choice {out} more than a random order, putting it back first wins {back} more"
    )
