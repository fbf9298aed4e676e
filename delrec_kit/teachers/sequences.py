"""Training windows and padded histories: sequences of ids as the models read them, 0 on the right."""

import numpy as np
import torch
from torch.utils.data import Dataset

from delrec_kit.data import Ragged


def windows(train: Ragged, length: int) -> np.ndarray:
    """Cut training sequences so that every item but a sequence's first is a target exactly once.

    Windows are cut from the end backwards and overlap by one item, so that the latest one of a long sequence is full.

    Args:
        train: U sequences of ids; those of fewer than two items give nothing.
        length: L.

    Returns:
        (windows, L+1) int64: columns 0…L-1 are read, columns 1…L are their targets.
    """
    per_user = -(-np.maximum(train.lengths - 1, 0) // length)
    user = np.repeat(np.arange(len(train)), per_user)
    back = np.arange(len(user)) - np.repeat(per_user.cumsum() - per_user, per_user)  # 0 is the latest window
    stop = train.offsets[user + 1] - back * length
    start = np.maximum(train.offsets[user], stop - 1 - length)
    table = np.zeros((len(user), length + 1), dtype=np.int64)
    inside = np.arange(length + 1) < (stop - start)[:, None]
    table[inside] = Ragged.slices(train.values, start, stop - start).values
    return table


class Windows(Dataset):
    """``windows`` as inputs (L,) and targets (L,) for a data loader."""

    def __init__(self, train: Ragged, length: int):
        self.table = torch.from_numpy(windows(train, length))

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        window = self.table[row]
        return {"items": window[:-1], "targets": window[1:]}


def padded(histories: Ragged, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The last L items of each history.

    Returns:
        items (B, L) and sizes (B,), how many of each row are items.
    """
    sizes = np.minimum(histories.lengths, length)
    columns = np.arange(length)
    places = (histories.offsets[1:] - sizes)[:, None] + columns
    table = np.zeros((len(histories), length), dtype=np.int64)
    inside = columns < sizes[:, None]
    table[inside] = histories.values[places[inside]]
    return torch.from_numpy(table), torch.from_numpy(sizes)
