from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from delrec_kit.data import Ragged
from delrec_kit.teachers.sequences import Windows, padded, windows

SEQUENCES = st.lists(st.lists(st.integers(1, 50), max_size=23), max_size=6)


def test_windows_by_hand():
    found = windows(Ragged.from_lists([[1, 2, 3, 4, 5, 6], [7], [8, 9]]), 2)
    assert sorted(found.tolist()) == [[1, 2, 0], [2, 3, 4], [4, 5, 6], [8, 9, 0]]


@given(SEQUENCES, st.integers(1, 9))
def test_every_item_but_the_first_is_a_target_once(sequences, length):
    found = windows(Ragged.from_lists(sequences), length)
    pairs = sorted((a, b) for row in found.tolist() for a, b in pairwise(row) if b)
    assert pairs == sorted(pair for s in sequences for pair in pairwise(s))


def test_a_loader_gets_inputs_and_their_targets():
    row = Windows(Ragged.from_lists([[1, 2, 3]]), 4)[0]
    assert row["items"].tolist() == [1, 2, 3, 0] and row["targets"].tolist() == [2, 3, 0, 0]


@given(SEQUENCES, st.integers(1, 9))
def test_padded_histories_keep_the_last_items(sequences, length):
    items, sizes = padded(Ragged.from_lists(sequences), length)
    assert items.shape == (len(sequences), length)
    for sequence, row, size in zip(sequences, items.tolist(), sizes.tolist()):
        assert row == sequence[-length:] + [0] * (length - len(sequence[-length:]))
        assert size == min(len(sequence), length)
    assert items.dtype.is_floating_point is False and np.asarray(items).min(initial=0) >= 0
