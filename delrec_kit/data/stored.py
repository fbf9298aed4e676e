"""Evaluation cases with their candidate sets, as Parquet tables."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from delrec_kit.data.ragged import Ragged
from delrec_kit.data.split import Cases
from delrec_kit.settings.errors import KitError


def case_table(cases: Cases, candidates: np.ndarray) -> pa.Table:
    """Columns user, history, target, candidates; a row a case."""
    columns = {"user": cases.user, "history": cases.history.to_arrow(), "target": cases.target}
    return pa.table({**columns, "candidates": lists(candidates)})


def read_cases(table: pa.Table) -> tuple[Cases, np.ndarray]:
    """The cases and their candidates (U, m)."""
    cases = Cases(table["user"].to_numpy(), Ragged.from_arrow(table["history"]), table["target"].to_numpy())
    return cases, matrix(table["candidates"])


def read_table(path: Path) -> pa.Table:
    """Raises KitError where the file is missing or damaged."""
    if not path.is_file():
        raise KitError(f"{path.parent} has no {path.name}; run notebook 01 again")
    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise KitError(f"{path} is damaged or cut off; delete it and run notebook 01 again") from error


def lists(matrix: np.ndarray) -> pa.ListArray:
    """A column of lists out of (rows, m)."""
    rows, m = matrix.shape
    return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1) * m, pa.int32()), pa.array(matrix.ravel()))


def matrix(column: pa.ChunkedArray) -> np.ndarray:
    """(rows, m) out of a column of lists."""
    return column.combine_chunks().flatten().to_numpy().reshape(len(column), -1)
