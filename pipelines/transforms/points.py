"""From stored point clouds to arrays."""

import re

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32

from pipelines.transforms.errors import DecodeError

_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(..)\{'descr': '<f4', 'fortran_order': False, 'shape': \(([0-9]{1,18}), ([0-9]{1,9})\), \} *\n",
    re.DOTALL,
)
_BEFORE_TEXT = 10


class PointsDecodeError(DecodeError):
    """The bytes are not a whole point cloud as it is stored."""


def decode_points(data: bytes) -> Float32[np.ndarray, "points columns"]:
    """Decode a stored point cloud: x, y, z, then the attributes that the field's fact `columns` names.

    Strictly: the header must be what `numpy.save` writes for a float32 array of two dimensions in C order, and the numbers
    must fill the rest. It is matched, not evaluated. The array is a copy that the caller may change.

    Raises:
        PointsDecodeError: The bytes are damaged, cut off, or not such a file.
    """
    header = _HEADER.match(data)
    if header is None or int.from_bytes(header[1], "little") != header.end() - _BEFORE_TEXT:
        raise PointsDecodeError(
            "A stored point cloud is a .npy file (version 1.0) of a float32 array (points, columns) in C order; these "
            f"{len(data)} bytes begin with {data[:80]!r}."
        )
    shape = int(header[2]), int(header[3])
    needed, held = 4 * shape[0] * shape[1], len(data) - header.end()
    if needed != held:
        raise PointsDecodeError(f"A point cloud of shape {shape} takes {needed} bytes, here are {held}.")
    numbers: npt.NDArray[np.float32] = np.frombuffer(data, "<f4", shape[0] * shape[1], header.end())
    return numbers.reshape(shape).copy()
