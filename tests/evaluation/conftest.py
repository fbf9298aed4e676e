"""Runs as a comparison leaves them: settings, ranks, marker."""

import numpy as np
import pytest

from delrec_kit.evaluation import compare, write_comparison
from delrec_kit.run.directory import RunDirectory, write_json
from delrec_kit.settings.resolve import resolve


@pytest.fixture
def made(tmp_path):
    """name, seed, ranks by method, overrides -> the run's folder, of MovieLens unless an override says otherwise."""

    def make(name, seed, ranks, *overrides, protocol="", users=None):
        run = RunDirectory.create(tmp_path / name, resolve("smoke", ["data.dataset=ml-100k", *overrides], seed=seed))
        ranks = {method: np.array(rows, dtype=float) for method, rows in ranks.items()}
        keys = users or [f"u{n}" for n in range(len(next(iter(ranks.values()))))]
        comparison = compare(ranks, protocol=protocol or "candidates", m=15, seed=seed)
        write_comparison(run.folder("evaluation") / protocol, comparison, ranks, keys)
        done = {"fingerprint": run.fingerprint("evaluation"), "seconds": 2.0}
        write_json(run.folder("evaluation") / "done.json", done)
        return run.path

    return make
