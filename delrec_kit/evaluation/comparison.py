"""One run's comparison: its methods on the same users and candidates, in ``comparison.json``, ``per_user.parquet``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from delrec_kit.evaluation.paired import bootstrap_intervals, paired_test
from delrec_kit.evaluation.ranks import METRICS, per_user
from delrec_kit.run.config_file import read_config
from delrec_kit.run.directory import read_json, write_json
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.methods import alike

AGAINST = {
    "delrec": [
        *("llm_finetuned", "llm_zero_shot", "teacher", "markov", "popularity"),
        *("llm_finetuned_untrained_prompt", "llm_distilled_prompt", "map_popularity"),
    ],
    "delrec_joint_prompt": ["delrec"],
    "delrec_kept": ["llm_finetuned", "llm_finetuned_distilled_weights", "teacher"],
    "delrec_faded": ["llm_finetuned", "delrec_kept", "teacher"],
    "llm_distilled_both": ["llm_distilled_prompt", "llm_finetuned"],
    "llm_finetuned": ["llm_zero_shot"],
    "llm_prompt_tuned": ["llm_zero_shot", "llm_finetuned", "llm_distilled_prompt"],
    "llm_finetuned_distilled_weights": ["llm_finetuned"],
    "llm_distilled_prompt": [
        *("llm_distilled_weights", "llm_untrained_prompt", "llm_zero_shot"),
        *("llm_distilled_prompt_no_history", "llm_distilled_prompt_of_another", "map_popularity", "content_popularity"),
    ],
    "llm_zero_shot": ["content_popularity"],
}
PAIRS = alike([(a, b) for a, others in AGAINST.items() for b in others])
OWN = "candidates"  # the protocol whose comparison lies in the evaluation folder itself
SCHEMA = {"protocol", "m", "seed", "users", "methods", "differences"}


def compare(
    ranks: Mapping[str, np.ndarray], *, protocol: str, m: int, seed: int, pairs: Sequence[tuple[str, str]] = PAIRS
) -> dict[str, Any]:
    """All metrics of all methods with 95 % bootstrap intervals over users, and the paired differences.

    Args:
        ranks: method -> (U,) rank of each user's answer, or (U, D) in D draws; row u is the same user for every method.
        protocol: what was ranked, such as ``candidates``; m: size of that set; seed: of the run, and of the resampling.
        pairs: methods (a, b) to compare as a − b, where both are present.

    Returns:
        The content of ``comparison.json``: protocol, m, seed, users, ``methods[name][metric]`` with value, low and
        high, and ``differences`` with a, b, metric, value, low, high and p (uncorrected, for the family is what a
        table shows; see ``difference_table``).

    Raises:
        KitError: no methods, fewer than two users, or methods with unequal numbers of users.
    """
    users = _common_length(ranks)
    values = {method: per_user(r) for method, r in ranks.items()}
    table = np.stack([values[method][metric] for method in ranks for metric in METRICS])
    low, high = bootstrap_intervals(table, seed=seed)
    parts = np.stack([table.mean(axis=1), low, high], axis=1).tolist()
    cells = iter([dict(zip(("value", "low", "high"), part)) for part in parts])
    rows = [(a, b, metric) for a, b in pairs if a in ranks and b in ranks for metric in METRICS]
    tested = paired_test([values[a][metric] - values[b][metric] for a, b, metric in rows], seed).drop(columns="users")
    return {
        "protocol": protocol,
        "m": int(m),
        "seed": int(seed),
        "users": users,
        "methods": {method: {metric: next(cells) for metric in METRICS} for method in ranks},
        "differences": [
            dict(zip(("a", "b", "metric"), row)) | cell
            for row, cell in zip(rows, tested.to_dict("records"), strict=True)
        ],
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


def protocol_folder(run: str | Path, protocol: str) -> Path:
    """Where a run directory keeps its comparison under ``protocol``."""
    return Path(run) / "evaluation" / ("" if protocol == OWN else protocol)


def ranks_of(run: str | Path, protocol: str = OWN) -> pd.DataFrame:
    """The ranks of a run under ``protocol``, a row a person, a column a method. Each seed of the made world makes other
    people under the same names: there the seed is part of the name."""
    table = pd.read_parquet(protocol_folder(run, protocol) / "per_user.parquet").set_index("user")
    config = read_config(Path(run))
    return table.add_prefix(f"{config['seed']}/", axis=0) if config["data"]["dataset"] == "demo" else table


def _common_length(ranks: Mapping[str, np.ndarray]) -> int:
    if not ranks:
        raise KitError("nothing to compare: no method has ranks")
    lengths = {method: len(r) for method, r in ranks.items()}
    if len(set(lengths.values())) > 1:
        raise KitError(f"the methods were not ranked on the same users: {lengths}")
    users = next(iter(lengths.values()))
    if users < 2:
        raise KitError(f"intervals over users need at least two of them, not {users}; evaluate on more users")
    return users
