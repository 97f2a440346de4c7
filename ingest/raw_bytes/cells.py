"""Cells of bytes out of Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_BATCH_BYTES = 32 << 20
_WINDOW_BYTES = 256 << 20
_MOST_ROWS = 4096


def rows_that_fit(path: Path, column: str) -> int:
    """Return how many cells of a column are held at once: as many as 256 MiB hold, by the average size of a cell."""
    with pq.ParquetFile(path) as file:
        return _rows_of(file, column, _WINDOW_BYTES)


def read_cells(path: Path, column: str, rows: Sequence[int], *, limit: int) -> dict[int, bytes | int]:
    """Read cells of a Parquet file, each row group at most once.

    Args:
        path: The Parquet file.
        column: Its column of bytes, or of structs with a member `bytes`.
        rows: Row numbers, in any order.
        limit: Most bytes of a cell; of a larger one only the size is returned.

    Returns:
        Bytes, or a size that is over the limit, by row; empty cells and rows that are not there are left out.
    """
    wanted = set(rows)
    cells: dict[int, bytes | int] = {}
    with pq.ParquetFile(path) as file:
        length = _rows_of(file, column, _BATCH_BYTES)
        start = 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            if any(start <= row < end for row in wanted):
                for first, values in _batches(file, group, column, length):
                    cells |= _wanted_cells(values, first=start + first, wanted=wanted, limit=limit)
            start = end
    return cells


def _rows_of(file: pq.ParquetFile, column: str, size: int) -> int:
    metadata = file.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    leaves = [
        number for number in range(metadata.num_columns) if _is_leaf_of(metadata.schema.column(number).path, column)
    ]
    total = sum(group.column(leaf).total_uncompressed_size for group in groups for leaf in leaves)
    fitting: int = size * max(metadata.num_rows, 1) // max(total, 1)
    return max(1, min(_MOST_ROWS, fitting))


def _is_leaf_of(path: str, column: str) -> bool:
    return path in (column, f"{column}.bytes")


def _batches(file: pq.ParquetFile, group: int, column: str, length: int) -> Iterator[tuple[int, pa.Array]]:
    first = 0
    for batch in file.iter_batches(batch_size=length, row_groups=[group], columns=[column]):
        values = batch.column(0)
        yield first, values.field("bytes") if pa.types.is_struct(values.type) else values
        first += len(values)


def _wanted_cells(values: pa.Array, *, first: int, wanted: set[int], limit: int) -> Mapping[int, bytes | int]:
    places = [place for place in range(len(values)) if first + place in wanted]
    sizes = pc.binary_length(values).to_pylist()
    return {
        first + place: values[place].as_py() if sizes[place] <= limit else sizes[place]
        for place in places
        if sizes[place] is not None
    }
