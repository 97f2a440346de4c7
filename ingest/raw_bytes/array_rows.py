"""Rows of arrays as raw bytes: pictures as PNG, everything else as one small .npy file each."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ingest.sources.array_files import open_array, read_rows

_WINDOW_BYTES = 256 << 20
_MOST_ROWS = 16_384
_PICTURE_CHANNELS = (1, 3, 4)


def rows_that_fit(path: Path, member: str) -> int:
    """Return how many rows of an array are held at once: as many as 256 MiB hold.

    Raises:
        BadArrayError: The array is damaged.
    """
    with open_array(path, member) as (header, _):
        return max(1, min(_MOST_ROWS, _WINDOW_BYTES // max(header.row_bytes, 1)))


def read_row_files(path: Path, member: str, rows: Sequence[int], kind: str) -> dict[int, bytes]:
    """Return rows of an array as files, by number: PNG for pictures, .npy for everything else.

    Raises:
        BadArrayError: The array is damaged.
    """
    encode = _png if kind == "image" else _npy
    return {row: encode(values) for row, values in read_rows(path, member, rows)}


def _png(row: npt.NDArray[Any]) -> bytes:
    if row.ndim == 3:
        row = row if row.shape[-1] in _PICTURE_CHANNELS else np.moveaxis(row, 0, -1)
        row = row[..., 0] if row.shape[-1] == 1 else row
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(row)).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _npy(row: npt.NDArray[Any]) -> bytes:
    """Return a row as (height, width) or (height, width, bands): what stands first and is shortest is taken for bands."""
    if row.ndim == 1:
        row = row[np.newaxis]
    if row.ndim == 3 and row.shape[0] < min(row.shape[1:]):
        row = np.moveaxis(row, 0, -1)
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(row), allow_pickle=False)
    return buffer.getvalue()
