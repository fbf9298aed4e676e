"""Several methods on the same users and candidates: means, intervals, and paired differences."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from delrec_kit.evaluation.metrics import METRICS, per_user
from delrec_kit.evaluation.statistics import bootstrap_intervals, sign_flip_p
from delrec_kit.run.directory import read_json, write_json
from delrec_kit.settings.errors import KitError

PAIRS = [
    ("delrec", "llm_finetuned"),
    ("delrec", "llm_zero_shot"),
    ("delrec", "teacher"),
    ("delrec", "markov"),
    ("delrec", "popularity"),
    ("delrec", "llm_finetuned_untrained_prompt"),
    ("delrec", "llm_distilled_prompt"),
    ("delrec_joint_prompt", "delrec"),
    ("delrec_kept", "llm_finetuned"),
    ("delrec_kept", "llm_finetuned_distilled_weights"),
    ("delrec_kept", "teacher"),
    ("delrec_faded", "llm_finetuned"),
    ("delrec_faded", "delrec_kept"),
    ("delrec_faded", "teacher"),
    ("llm_distilled_both", "llm_distilled_prompt"),
    ("llm_distilled_both", "llm_finetuned"),
    ("llm_finetuned", "llm_zero_shot"),
    ("llm_finetuned_distilled_weights", "llm_finetuned"),
    ("llm_distilled_prompt", "llm_distilled_weights"),
    ("llm_distilled_prompt", "llm_untrained_prompt"),
    ("llm_distilled_prompt", "llm_zero_shot"),
]
OWN = "candidates"  # the protocol whose comparison lies in the evaluation folder itself
SCHEMA = {"protocol", "m", "seed", "users", "methods", "differences"}


def compare(
    ranks: Mapping[str, np.ndarray],
    *,
    protocol: str,
    m: int,
    seed: int,
    resamples: int,
    pairs: Sequence[tuple[str, str]] = PAIRS,
) -> dict[str, Any]:
    """All metrics of all methods with 95 % bootstrap intervals over users, and the paired differences.

    Args:
        ranks: method -> (U,) rank of each user's answer, or (U, D) in D draws; row u is the same user for every method.
        protocol: ``candidates``, ``rerank`` or ``full``.
        m: size of the ranked set.
        seed: of the run, and of the resampling.
        resamples: bootstrap samples, and sign flips.
        pairs: methods (a, b) to compare as a − b, where both are present.

    Returns:
        The content of ``comparison.json``: protocol, m, seed, users, ``methods[name][metric]`` with value, low and
        high, and ``differences`` with a, b, metric, value, low, high and p (two-sided sign-flip test, not corrected
        for the number of comparisons; ``difference_table`` corrects).

    Raises:
        KitError: no methods, fewer than two users, or methods with unequal numbers of users.
    """
    users = _common_length(ranks)
    values = {method: per_user(r) for method, r in ranks.items()}
    present = [(a, b) for a, b in pairs if a in ranks and b in ranks]
    means = np.stack([values[method][metric] for method in ranks for metric in METRICS])
    cells = iter(_intervals(means, seed, resamples))
    methods = {method: {metric: next(cells) for metric in METRICS} for method in ranks}
    return {
        "protocol": protocol,
        "m": int(m),
        "seed": int(seed),
        "users": users,
        "methods": methods,
        "differences": _differences(values, present, seed, resamples),
    }


def write_comparison(
    folder: str | Path, comparison: Mapping[str, Any], ranks: Mapping[str, np.ndarray], users: Sequence[str]
) -> None:
    """Write ``comparison.json`` and ``per_user.parquet`` (column user, then each method's rank, a list where there are
    several draws) into ``folder``."""
    if len(users) != comparison["users"]:
        raise ValueError(f"{len(users)} user keys for {comparison['users']} compared users")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    columns = {method: list(r) for method, r in ranks.items()}
    pd.DataFrame({"user": list(users), **columns}).to_parquet(folder / "per_user.parquet", index=False)
    write_json(folder / "comparison.json", comparison)


def protocol_folder(run: str | Path, protocol: str) -> Path:
    """Where a run directory keeps its comparison under ``protocol``."""
    return Path(run) / "evaluation" / ("" if protocol == OWN else protocol)


def ranks_of(run: str | Path, protocol: str = OWN) -> pd.DataFrame:
    """The ranks of a run under ``protocol``, a row a person, a column a method. Each seed of the made world makes other
    people under the same names: there the seed is part of the name."""
    table = pd.read_parquet(protocol_folder(run, protocol) / "per_user.parquet").set_index("user")
    config = read_json(Path(run) / "config.json")
    return table.add_prefix(f"{config['seed']}/", axis=0) if config["data"]["dataset"] == "demo" else table


def load_comparison(folder: str | Path) -> dict[str, Any]:
    """The comparison that ``write_comparison`` left in ``folder``. Raises KitError where it is missing or torn."""
    path = Path(folder) / "comparison.json"
    if not path.is_file():
        raise KitError(f"no comparison in {folder}: comparison.json is missing; run notebook 05 first")
    try:
        comparison = read_json(path)
    except ValueError as error:
        raise KitError(f"{path} is no JSON ({error}); run notebook 05 again") from None
    if not isinstance(comparison, dict) or SCHEMA - set(comparison):
        raise KitError(f"{path} is no comparison of delrec_kit; run notebook 05 again")
    return comparison


def _common_length(ranks: Mapping[str, np.ndarray]) -> int:
    lengths = {method: len(r) for method, r in ranks.items()}
    if not lengths:
        raise KitError("nothing to compare: no method has ranks")
    if len(set(lengths.values())) > 1:
        raise KitError(f"the methods were not ranked on the same users: {lengths}")
    users = next(iter(lengths.values()))
    if users < 2:
        raise KitError(f"intervals over users need at least two of them, not {users}; evaluate on more users")
    return users


def _differences(
    values: Mapping[str, dict[str, np.ndarray]], pairs: Sequence[tuple[str, str]], seed: int, resamples: int
) -> list[dict[str, Any]]:
    if not pairs:
        return []
    rows = [(a, b, metric) for a, b in pairs for metric in METRICS]
    differences = np.stack([values[a][metric] - values[b][metric] for a, b, metric in rows])
    p = sign_flip_p(differences, seed=seed, resamples=resamples)
    cells = _intervals(differences, seed, resamples)
    return [
        {"a": a, "b": b, "metric": metric, **cell, "p": float(p_value)}
        for (a, b, metric), cell, p_value in zip(rows, cells, p, strict=True)
    ]


def _intervals(values: np.ndarray, seed: int, resamples: int) -> list[dict[str, float]]:
    low, high = bootstrap_intervals(values, seed=seed, resamples=resamples)
    table = np.stack([values.mean(axis=1), low, high], axis=1).tolist()
    return [dict(zip(("value", "low", "high"), row, strict=True)) for row in table]
