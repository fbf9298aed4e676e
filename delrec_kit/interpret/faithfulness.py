"""Whether to believe an explanation: take out first what it calls important, and see what that costs the choice.

The deletion and insertion tests (Samek et al., arXiv 1509.06321; DeYoung et al., arXiv 1911.03429): an explanation that
is no better than a random order explains nothing.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from delrec_kit.evaluation.statistics import bootstrap_intervals
from delrec_kit.interpret.attribution import Score, choices, fall
from delrec_kit.interpret.pieces import Piece, leave_out, pieces_of
from delrec_kit.llm import Prompt

SHARES = (0.1, 0.2, 0.3, 0.5, 0.7)
RANDOM = "random"
POOR, GOOD = 0.3, 0.6  # Spearman correlation with leave-one-out


def deletion_curves(
    score: Score, prompts: Sequence[Prompt], explanations: Mapping[str, pd.Series], seed: int, shares=SHARES
) -> pd.DataFrame:
    """The fall of the log-probability of each prompt's first choice as ever more of its pieces are taken out.

    explanations: name -> importance of every piece, in the order of ``leave_one_out``'s rows; the most important go
    first. A random order is added.

    Returns:
        explanation, user, share (of the pieces taken out), nats (how far the choice fell from the whole prompt's).
    """
    first, whole = choices(score, prompts)
    table, cut = _in_order(prompts, explanations, seed, shares, lambda own, count: own[:count])
    return table.assign(nats=fall(score, first, whole, cut, table["user"].to_numpy()))


def insertion_curves(
    score: Score, prompts: Sequence[Prompt], explanations: Mapping[str, pd.Series], seed: int, shares=SHARES
) -> pd.DataFrame:
    """The counterpart of ``deletion_curves``: all pieces are out, and the most important come back first.

    Returns:
        explanation, user, share (of the pieces put back), nats (how far the choice rose over the prompt without any).
    """
    first, whole = choices(score, prompts)
    bare = fall(score, first, whole, [leave_out(p, pieces_of(p)) for p in prompts], np.arange(len(prompts)))
    table, cut = _in_order(prompts, explanations, seed, shares, lambda own, count: own[count:])
    users = table["user"].to_numpy()
    return table.assign(nats=bare[users] - fall(score, first, whole, cut, users))


def _in_order(
    prompts: Sequence[Prompt],
    explanations: Mapping[str, pd.Series],
    seed: int,
    shares: Sequence[float],
    gone: Callable[[list[Piece], int], list[Piece]],
) -> tuple[pd.DataFrame, list[Prompt]]:
    """explanation, user and share, and a prompt for each row without the pieces ``gone`` (ordered, count)."""
    pieces = [pieces_of(prompt) for prompt in prompts]
    sizes = np.array([len(own) for own in pieces])
    ends = sizes.cumsum()
    drawn = np.random.default_rng(seed).random(ends[-1])
    rows, cut = [], []
    for name, importance in {**explanations, RANDOM: pd.Series(drawn)}.items():
        values = np.asarray(importance, dtype=float)
        for user, own in enumerate(pieces):
            order = np.argsort(-values[ends[user] - sizes[user] : ends[user]], kind="stable")
            ordered = [own[place] for place in order]
            for share in shares:
                cut.append(leave_out(prompts[user], gone(ordered, max(1, round(share * len(own))))))
                rows.append((name, user, share))
    return pd.DataFrame(rows, columns=["explanation", "user", "share"]), cut


def faithfulness_table(curves: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """Per explanation how many nats more the choice loses (or, of insertion curves, wins) than by a random order, mean
    over shares and users.

    Returns:
        explanation, value, low, high (95 % bootstrap interval over users), faithful (whether low is above 0).
    """
    mean = curves.pivot_table(index="user", columns="explanation", values="nats")
    rows = []
    for name in [column for column in dict.fromkeys(curves["explanation"]) if column != RANDOM]:
        gain = (mean[name] - mean[RANDOM]).to_numpy()
        low, high = bootstrap_intervals(gain[None], seed=seed, resamples=resamples)
        rows.append((name, gain.mean(), low[0], high[0], bool(low[0] > 0)))
    return pd.DataFrame(rows, columns=["explanation", "value", "low", "high", "faithful"])


def rank_agreement(
    importance: pd.Series, effect: pd.Series, user: pd.Series, resamples: int, seed: int
) -> tuple[float, float, float]:
    """Spearman's correlation of an explanation with the size of the leave-one-out effects, mean over users, and its
    95 % bootstrap interval over users; a constant explanation agrees with nothing (0)."""
    table = pd.DataFrame({"user": user, "a": np.asarray(importance), "b": np.abs(np.asarray(effect))})
    each = np.array(
        [
            spearmanr(own["a"], own["b"]).statistic if own["a"].nunique() > 1 and own["b"].nunique() > 1 else 0.0
            for _, own in table.groupby("user")
        ]
    )
    low, high = bootstrap_intervals(each[None], seed=seed, resamples=resamples)
    return float(each.mean()), float(low[0]), float(high[0])


def verdict(name: str, agreement: tuple[float, float, float], row: pd.Series) -> str:
    """One plain sentence on an explanation, from its ``rank_agreement`` and its row of ``faithfulness_table``."""
    rho, low, high = agreement
    guide = "good" if rho >= GOOD and row["faithful"] else "poor" if rho < POOR or not row["faithful"] else "fair"
    return (
        f"{name} is a {guide} guide here: Spearman {rho:.2f} [{low:.2f}, {high:.2f}] with leaving out one by one; "
        f"taking out what it names first costs the choice {row['value']:.2f} nats "
        f"[{row['low']:.2f}, {row['high']:.2f}] more than a random order"
    )
