"""What a .npy file says about itself in its first bytes, read without trusting it and without loading the array."""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.lib import format as npy


class UnreadableArrayError(ValueError):
    """The bytes are no .npy file of plain numbers, or not as long as their header says."""


def read_array_header(data: bytes) -> tuple[tuple[int, ...], str]:
    """Return shape and dtype (`float32`) of a .npy file whose payload has exactly the size that its header announces.

    Raises:
        UnreadableArrayError: No .npy file, Python objects, records, or another size than announced.
    """
    file = io.BytesIO(data)
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
    except (ValueError, EOFError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise UnreadableArrayError(f"no .npy file: {error}") from error
    if dtype.hasobject or dtype.names is not None or (not np.issubdtype(dtype, np.number) and dtype != np.bool_):
        raise UnreadableArrayError(f"a .npy file of {dtype}; only plain numbers are read")
    if any(length < 0 for length in shape) or math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise UnreadableArrayError(f"a .npy file of shape {shape} that holds {len(data) - file.tell()} bytes")
    return tuple(int(length) for length in shape), str(dtype.newbyteorder("="))
