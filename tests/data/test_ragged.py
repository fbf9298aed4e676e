import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delrec_kit.data import Ragged

LISTS = st.lists(st.lists(st.integers(0, 2**40), max_size=6), max_size=8)


@given(LISTS, st.data())
def test_sequences_come_back_as_they_went_in(lists, data):
    ragged = Ragged.from_lists(lists)
    assert [row.tolist() for row in ragged] == lists
    assert len(ragged) == len(lists) and ragged.lengths.tolist() == [len(row) for row in lists]
    assert ragged.values.dtype == ragged.offsets.dtype == np.int64
    assert Ragged.from_arrow(ragged.to_arrow()) == ragged
    assert [row.tolist() for row in ragged.drop_last(2)] == [row[:-2] for row in lists]
    shuffled = data.draw(st.permutations(range(len(lists))))
    assert [row.tolist() for row in ragged.take(shuffled)] == [lists[i] for i in shuffled]
    flat = [(group, value) for group, row in enumerate(lists) for value in row]
    assert Ragged.from_groups([g for g, _ in flat], [v for _, v in flat], len(lists)) == ragged


def test_a_slice_of_an_arrow_column_keeps_its_place():
    column = pa.chunked_array([Ragged.from_lists([[1], [2, 3], [], [4]]).to_arrow()]).slice(1, 2)
    assert [row.tolist() for row in Ragged.from_arrow(column)] == [[2, 3], []]


def test_take_accepts_a_mask_and_repeats():
    ragged = Ragged.from_lists([[1], [2, 3], []])
    assert [r.tolist() for r in ragged.take(np.array([False, True, True]))] == [[2, 3], []]
    assert [r.tolist() for r in ragged.take([1, 1, 0])] == [[2, 3], [2, 3], [1]]


def test_indices_beyond_the_ends_are_refused():
    ragged = Ragged.from_lists([[1], [2, 3]])
    assert ragged[-1].tolist() == [2, 3]
    for index in (2, -3):
        with pytest.raises(IndexError, match="of 2"):
            ragged[index]
