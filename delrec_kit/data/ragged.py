"""Sequences of different lengths in two flat arrays."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa


def sorted_unique(values: np.ndarray) -> np.ndarray:
    """The different values in rising order; by sorting, since numpy's hashing ``unique`` can be 20 times slower."""
    ordered = np.sort(values, axis=None)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def among(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Which of ``values`` stand in ``ordered``, which is rising; in the shape of ``values``."""
    if not len(ordered):
        return np.zeros(np.shape(values), dtype=bool)
    place = np.searchsorted(ordered, values)
    return (place < len(ordered)) & (ordered[np.minimum(place, len(ordered) - 1)] == values)


@dataclass(frozen=True)
class Ragged:
    """U sequences of ids.

    values: (total,) int64, the sequences laid end to end; offsets: (U+1,) int64, where each begins and ends.
    """

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def from_lists(cls, sequences: Iterable[Iterable[int]]) -> "Ragged":
        """From any iterable of sequences of ids; empty ones are kept."""
        rows = [np.asarray(s if hasattr(s, "__len__") else list(s), dtype=np.int64) for s in sequences]
        lengths = np.array([len(r) for r in rows], np.int64)
        return cls.of_lengths(np.concatenate([np.empty(0, np.int64), *rows]), lengths)

    @classmethod
    def from_groups(cls, group: np.ndarray, values: np.ndarray, count: int) -> "Ragged":
        """``count`` sequences out of flat rows: ``values[i]`` belongs to sequence ``group[i]``; order is kept."""
        group, values = (np.asarray(a) if len(a) else np.empty(0, np.int64) for a in (group, values))
        if (group[1:] < group[:-1]).any():
            values = values[np.argsort(group, kind="stable")]
        return cls.of_lengths(values, np.bincount(group, minlength=count))

    @classmethod
    def from_arrow(cls, array: pa.Array | pa.ChunkedArray) -> "Ragged":
        """From a list column, as Parquet gives it."""
        array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        lengths = array.value_lengths().to_numpy(zero_copy_only=False)
        return cls.of_lengths(array.flatten().to_numpy(zero_copy_only=False), lengths)

    @classmethod
    def slices(cls, values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> "Ragged":
        """Sequence i is ``values[starts[i] : starts[i] + lengths[i]]``; they may overlap."""
        shift = np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64), lengths)
        return cls.of_lengths(values[shift + np.arange(lengths.sum())], lengths)

    @classmethod
    def of_lengths(cls, values: np.ndarray, lengths: np.ndarray) -> "Ragged":
        """From sequences laid end to end, and how long each is."""
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return cls(np.asarray(values, dtype=np.int64), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        """(length,) view of one sequence; negative indices count from the end."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        index = index % len(self)
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        both = isinstance(other, Ragged) and np.array_equal(self.offsets, other.offsets)
        return both and np.array_equal(self.values, other.values)

    @property
    def lengths(self) -> np.ndarray:
        """(U,) int64."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> np.ndarray:
        """(total,) int64: which sequence each value belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @property
    def most_different(self) -> int:
        """How many different values the sequence with the most of them has."""
        width = int(self.values.max(initial=0)) + 1
        return int(np.bincount(sorted_unique(self.rows * width + self.values) // width).max(initial=0))

    def take(self, index: np.ndarray) -> "Ragged":
        """The sequences at ``index`` (a list of positions or a mask), in that order."""
        index = np.asarray(index)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        return self.slices(self.values, self.offsets[index], self.lengths[index])

    def drop_last(self, count: int) -> "Ragged":
        """Every sequence without its last ``count`` values; shorter ones become empty."""
        keep = np.ones(len(self.values), dtype=bool)
        for back in range(1, count + 1):
            keep[self.offsets[1:][self.lengths >= back] - back] = False
        return self.of_lengths(self.values[keep], np.maximum(self.lengths - count, 0))

    def last(self, count: int) -> "Ragged":
        """The last ``count`` values of every sequence."""
        lengths = np.minimum(self.lengths, count)
        return self.slices(self.values, self.offsets[1:] - lengths, lengths)

    def to_arrow(self) -> pa.ListArray:
        return pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), pa.array(self.values, pa.int64()))
