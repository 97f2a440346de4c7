"""From stored point clouds to arrays."""

import io
import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32

from shards.errors import MaskloomError

_MAX_HEADER_CHARACTERS = 10_000
_HEADER_ERRORS = (ValueError, TypeError, SyntaxError, OverflowError, RecursionError, MemoryError, Warning)


class PointsDecodeError(MaskloomError):
    """The bytes are not a whole point cloud as it is stored."""


def decode_points(data: bytes) -> Float32[np.ndarray, "points columns"]:
    """Decode a stored point cloud: x, y, z, then the attributes that the field's fact `columns` names.

    Strictly: anything but a `.npy` file of version 1.0 that holds a float32 array of two dimensions in C order, and
    nothing after it, is an error. The array is a copy that the caller may change.

    Raises:
        PointsDecodeError: The bytes are damaged, cut off, or not such a file.
    """
    file = io.BytesIO(data)
    shape, in_columns, dtype = _read_header(file, len(data))
    held = len(data) - file.tell()
    if dtype != np.dtype("<f4") or in_columns or len(shape) != 2 or min(shape) < 0:
        order = "Fortran" if in_columns else "C"
        found = f"a {dtype} array of shape {shape} in {order} order"
        raise PointsDecodeError(
            f"A stored point cloud is a float32 array (points, columns) in C order, this is {found}."
        )
    if 4 * math.prod(shape) != held:
        raise PointsDecodeError(f"A point cloud of shape {shape} takes {4 * math.prod(shape)} bytes, here are {held}.")
    points: npt.NDArray[np.float32] = np.frombuffer(data, dtype, math.prod(shape), file.tell()).reshape(shape).copy()
    return points


def _read_header(file: io.BytesIO, size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        with warnings.catch_warnings(action="error"):  # NumPy only warns of headers that it had to mend
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"its version is {version}, not (1, 0)")
            return np.lib.format.read_array_header_1_0(file, max_header_size=_MAX_HEADER_CHARACTERS)
    except _HEADER_ERRORS as error:
        raise PointsDecodeError(f"The {size} bytes are no stored point cloud: {error}.") from error
