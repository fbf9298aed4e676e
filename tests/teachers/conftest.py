"""Small made splits that the teacher tests share."""

import numpy as np
import pytest

from delrec_kit.data import Cases, Domain, PreparedData, Ragged, Split
from delrec_kit.settings.config import TeacherConfig

SMALL = {"width": 16, "layers": 1, "length": 8, "batch": 8, "dropout": 0.0, "epochs": 3, "prefixes": 2}


def split_of(sequences, n_items: int) -> Split:
    """Leave-one-out of the given sequences."""
    sequences = [np.asarray(s) for s in sequences]
    users = np.arange(len(sequences))

    def cases(cut: int) -> Cases:
        targets = np.array([s[-cut] for s in sequences])
        return Cases(users, Ragged.from_lists([s[:-cut] for s in sequences]), targets)

    names = ["", *(f"Film {i}" for i in range(1, n_items + 1))]
    train = Ragged.from_lists([s[:-2] for s in sequences])
    return Split(names, names, [f"u{u}" for u in users], train, cases(2), cases(1))


def prepared_of(split: Split, m: int = 5) -> PreparedData:
    rng = np.random.default_rng(0)

    def candidates(cases: Cases) -> np.ndarray:
        rows = []
        for history, target in zip(cases.history, cases.target):
            free = np.setdiff1d(np.arange(1, split.n_items + 1), [*history, target])
            rows.append(rng.permutation([target, *rng.choice(free, m - 1, replace=False)]))
        return np.array(rows)

    return PreparedData(split, Domain(), candidates(split.valid), candidates(split.test), {}, [])


@pytest.fixture(scope="session")
def make_config():
    return lambda name="sasrec", **more: TeacherConfig(**{"name": name, **SMALL, **more})


@pytest.fixture(scope="session")
def make_split():
    return split_of


@pytest.fixture(scope="session")
def random_split() -> Split:
    rng = np.random.default_rng(1)
    return split_of([rng.permutation(30)[: rng.integers(4, 12)] + 1 for _ in range(24)], 30)


@pytest.fixture(scope="session")
def prepared(random_split) -> PreparedData:
    return prepared_of(random_split)


@pytest.fixture(scope="session")
def cyclic_split() -> Split:
    """Item i is always followed by i+1, and 12 by 1: nothing but order tells the answer."""
    rng = np.random.default_rng(2)
    starts = rng.integers(0, 12, 40)
    return split_of([(start + np.arange(rng.integers(6, 10))) % 12 + 1 for start in starts], 12)
