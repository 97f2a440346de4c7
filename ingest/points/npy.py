"""NumPy files: arrays (points, columns), and structured arrays whose fields have names. Nothing is ever unpickled."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from tokenize import TokenError
from typing import Any

import numpy as np

from ingest.points.claims import corrupt, require_points, require_storable
from ingest.points.cloud import Cloud, Column, named_columns
from ingest.points.nameless import guess_names
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import Limits
from shards.schema import RejectReason

_MAX_HEADER_CHARACTERS = 10_000
_KINDS = "fiu"
_LARGEST_ITEM = 8
_HEADER_ERRORS = (
    ValueError,
    TypeError,
    SyntaxError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
    TokenError,
    Warning,
)
"""What NumPy raises at a header that is no literal of a dictionary, or names no type."""


def read_npy(raw: Raw, limits: Limits) -> Cloud:
    """Read a `.npy` file.

    Raises:
        Rejection: It is damaged, cut off, over a limit, of another shape, or of a type that is no plain number.
    """
    data = raw.read()
    shape, in_columns, dtype, start = _header(data)
    if dtype.names is None and len(shape) != 2:
        raise Rejection(RejectReason.UNSUPPORTED_FORMAT, f"an array of shape {shape}; points are (points, columns)")
    if dtype.names is not None and len(shape) != 1:
        raise Rejection(RejectReason.UNSUPPORTED_FORMAT, f"a structured array of shape {shape}; points are (points,)")
    require_points(shape[0], limits)
    numbers = math.prod(shape)
    if numbers * dtype.itemsize != len(data) - start:
        raise corrupt(f"{dtype} of shape {shape} takes {numbers * dtype.itemsize} bytes, there are {len(data) - start}")
    array = np.frombuffer(data, dtype, numbers, start).reshape(shape, order="F" if in_columns else "C")
    columns = list(_fields(array)) if dtype.names is not None else list(zip(guess_names(array), array.T, strict=True))
    require_storable(shape[0], len(columns), limits)
    return Cloud(columns=named_columns(columns), source_format="npy")


def _header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, whether the first index runs fastest, type, and where the numbers start."""
    file = io.BytesIO(data)
    try:
        with warnings.catch_warnings(action="error"):  # NumPy only warns of headers that it had to mend
            version = np.lib.format.read_magic(file)
            if version not in ((1, 0), (2, 0)):
                raise Rejection(
                    RejectReason.UNSUPPORTED_FORMAT, f"a .npy file of version {version}; 1.0 and 2.0 are read"
                )
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, in_columns, dtype = read(file, max_header_size=_MAX_HEADER_CHARACTERS)
    except _HEADER_ERRORS as error:
        raise corrupt(f"the header of the .npy file is damaged: {error}"[:300]) from error
    for name, kind in [(name, dtype[name].base) for name in dtype.names or ()] or [("", dtype)]:
        if kind.kind not in _KINDS or kind.itemsize > _LARGEST_ITEM:
            what = f"the field {name[:40]}" if name else "the array"
            raise Rejection(RejectReason.UNSUPPORTED_FORMAT, f"{what} has the type {kind}, which is no plain number")
    if min(shape, default=0) < 0:
        raise corrupt(f"the shape is {shape}")
    return shape, in_columns, dtype, file.tell()


def _fields(array: Column) -> Iterator[tuple[str, Column]]:
    """Yield the fields of a structured array; one of several numbers (`xyz`) becomes as many columns (`xyz_0`)."""
    for name in array.dtype.names or ():
        values = array[name]
        table = values.reshape(len(values), -1)
        names = [name] if values.ndim == 1 else [f"{name}_{number}" for number in range(table.shape[1])]
        yield from zip(names, table.T, strict=True)
