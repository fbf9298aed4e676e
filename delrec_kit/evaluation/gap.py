"""How much of the way from one method to the best possible another goes: of use where the best possible is known."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from delrec_kit.evaluation.metrics import per_user

COLUMNS = ["pattern", "users", "method", "value", "oracle", "closed", "low", "high"]
FEWEST = 10  # users below which a pattern has no row
TAILS = (0.025, 0.975)


def gap_table(
    ranks: Mapping[str, np.ndarray],
    patterns: Sequence[str],
    start: str,
    oracle: str = "oracle",
    *,
    seed: int,
    resamples: int,
    metric: str = "HR@1",
) -> pd.DataFrame:
    """Of each method the part of the gap between ``start`` and ``oracle`` that it closes, over all users and over those
    of each pattern.

    Args:
        ranks: method -> (U,). patterns: (U,) what most likely led to each user's answer.

    Returns:
        pattern, users, method, value (mean metric), oracle (the oracle's), closed (0 as ``start``, 1 as the oracle),
        low, high (95 % bootstrap interval of closed, over users). A pattern whose gap is not surely above 0, by the
        same interval, has no row: a part of nearly nothing says nothing.
    """
    of = np.asarray(patterns)
    groups = {"all": np.ones(len(of), dtype=bool), **{name: of == name for name in dict.fromkeys(sorted(patterns))}}
    values = {method: per_user(r)[metric] for method, r in ranks.items()}
    rows = []
    for name, inside in groups.items():
        floor, best = values[start][inside], values[oracle][inside]
        if inside.sum() < FEWEST:
            continue
        drawn = np.random.default_rng(seed).multinomial(len(best), np.full(len(best), 1 / len(best)), resamples)
        if np.quantile(drawn @ (best - floor), TAILS[0]) <= 0:
            continue
        for method in [method for method in values if method not in (start, oracle)]:
            own = values[method][inside]
            closed = (own.mean() - floor.mean()) / (best.mean() - floor.mean())
            means = drawn @ np.stack([own, floor, best], axis=1) / len(own)
            wide = means[:, 2] > means[:, 1]  # a draw without a gap says nothing of its parts
            low, high = np.quantile((means[wide, 0] - means[wide, 1]) / (means[wide, 2] - means[wide, 1]), TAILS)
            rows.append((name, len(own), method, own.mean(), best.mean(), closed, low, high))
    return pd.DataFrame(rows, columns=COLUMNS)
