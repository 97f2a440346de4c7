"""From columns of any type to the array that is stored: float32, one row per point.

Float32 has 24 bits. They hold a street scene in metres to a millimetre, but not its place on Earth, nor the seconds since
1980. So a number is subtracted from some columns and recorded as `origin`: the file said `stored + origin`, column by column.
It is 0 except

* for x, y or z that came with more than float32 can hold and reach 16384, where the step of float32 passes 1/1000: there
  it is the whole number below the smallest value;
* for `time`: there it is the smallest value.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ingest.points.cloud import COLOURS, COORDINATES, TIME, Column

_STEP_OF_A_THOUSANDTH = 16384.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArray:
    """A cloud as it goes into the shard.

    Args:
        data: A `.npy` file of shape (points, columns): float32, little-endian, C order.
        origin: What was subtracted, one number per column.
        bounds: Smallest x, y, z and largest x, y, z, as the file said them, before `origin` was subtracted.
    """

    data: bytes
    origin: list[float]
    bounds: list[float]


def encode_columns(columns: Mapping[str, Column]) -> StoredArray:
    """Encode columns of equal length, at least one point, whose x, y and z are finite and at most 1e18."""
    origin = [_origin(name, values) for name, values in columns.items()]
    bounds = [float(reduce(columns[name])) for reduce in (np.min, np.max) for name in COORDINATES]
    return StoredArray(data=_npy(columns, origin), origin=origin, bounds=bounds)


def with_unit_colours(columns: Mapping[str, Column]) -> dict[str, Column]:
    """Return columns with red, green, blue and alpha in [0, 1].

    Eight-bit colours are divided by 255. Others are judged by the largest of red, green and blue: up to 1 they stay (unless
    they are integers), up to 255 they are divided by 255 (many a writer leaves 8-bit colours in 16-bit fields), beyond that
    by 65535. What is still outside of [0, 1] is clipped.
    """
    if not all(name in columns for name in COLOURS):
        return dict(columns)
    largest = max(float(np.nanmax(columns[name], initial=0)) for name in COLOURS)
    is_fraction = columns["red"].dtype.kind == "f" and largest <= 1
    divisor = 1 if is_fraction else 255 if largest <= 255 else 65535
    colours = {name: columns[name] for name in (*COLOURS, "alpha") if name in columns}
    scaled = {name: np.clip(values.astype(np.float32) / divisor, 0, 1) for name, values in colours.items()}
    return dict(columns) | scaled


def _origin(name: str, values: Column) -> float:
    if name == TIME:
        finite = values[np.isfinite(values)]
        return float(finite.min()) if finite.size else 0.0
    is_wide = values.dtype.itemsize > 4 or (values.dtype.kind in "iu" and values.dtype.itemsize == 4)
    if name not in COORDINATES or not is_wide:
        return 0.0
    lowest, highest = float(values.min()), float(values.max())
    return float(math.floor(lowest)) if max(abs(lowest), abs(highest)) >= _STEP_OF_A_THOUSANDTH else 0.0


def _npy(columns: Mapping[str, Column], origin: Sequence[float]) -> bytes:
    """Write the numbers where the file keeps them: a large cloud is in memory once less than with an array in between."""
    shape = len(columns["x"]), len(columns)
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    start = file.tell()
    file.seek(start + 4 * shape[0] * shape[1] - 1)
    file.write(b"\0")
    with file.getbuffer() as view:
        _fill(view[start:], columns, origin)
    return file.getvalue()


def _fill(view: memoryview, columns: Mapping[str, Column], origin: Sequence[float]) -> None:
    table = np.frombuffer(view, "<f4").reshape(-1, len(columns))
    for number, values in enumerate(columns.values()):
        table[:, number] = values.astype(np.float64) - origin[number] if origin[number] else values
