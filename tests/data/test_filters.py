import numpy as np
import pytest
from as_frame import as_frame
from hypothesis import given, settings
from hypothesis import strategies as st

from delrec_kit.data.filters import drop_short_users, k_core
from delrec_kit.settings.errors import KitError

ROWS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 6), st.integers(0, 9)), min_size=1, max_size=40)


def plain_core(rows, core):
    while True:
        users, items = [r[0] for r in rows], [r[1] for r in rows]
        kept = [r for r in rows if users.count(r[0]) >= core and items.count(r[1]) >= core]
        if len(kept) == len(rows):
            return kept
        rows = kept


@given(ROWS, st.integers(1, 4))
@settings(max_examples=40)
def test_k_core_is_the_fixed_point(made, rows, core):
    expected = plain_core(rows, core)
    if not expected:
        with pytest.raises(KitError, match=rf"data\.core={core} leaves no interactions"):
            k_core(made(rows), core)
        return
    kept = k_core(made(rows), core)
    assert sorted(as_frame(kept).itertuples(index=False, name=None)) == sorted((u, str(i), t) for u, i, t in expected)
    assert set(kept.titles.index) == set(as_frame(kept)["item"])
    assert kept.titles.index.tolist() == sorted(kept.titles.index, key=int), "catalogue order stays"
    gone = len(rows) - len(expected)
    assert kept.notices[-1].startswith(f"{core}-core: ") and f"and {gone} interactions" in kept.notices[-1]


def test_a_long_chain_falls_domino_after_domino(made):
    chain = [(f"u{i}", j, 0) for i in range(1, 20) for j in (i, i + 1)]
    square = [(u, i, 0) for u in ("x", "y") for i in (28, 29)]
    kept = k_core(made([*chain, *square]), 2)
    assert set(as_frame(kept)["user"]) == {"x", "y"}
    assert kept.notices == ["2-core: 19 users, 28 items and 38 interactions left out"]


def test_short_users_are_counted(made):
    rows = [("a", i, i) for i in range(1, 5)] + [("b", 1, 1)] + [("c", 2, 1)]
    before = made(rows)
    kept = drop_short_users(before, 3)
    assert kept.notices == ["2 users with fewer than 3 interactions left out"] and before.notices == []
    assert np.array_equal(as_frame(kept).index, np.arange(4)) and set(as_frame(kept)["user"]) == {"a"}
    assert drop_short_users(kept, 3) is kept
    with pytest.raises(KitError, match=r"no user has 5 interactions or more \(the most is 4\)"):
        drop_short_users(before, 5)
