"""Rasters with a line of text in front: PGM and PPM of 8 or 16 bits, and PFM."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ingest.rejection import Rejection
from pipelines.transforms.raster import RasterHeader
from shards.schema import RejectReason

Values = npt.NDArray[np.generic]

NETPBM_STARTS = (b"P5", b"P6", b"Pf", b"PF")

_GAP = rb"(?:\s|#[^\n]*\n)+"
_HEADER = re.compile(rb"(P[56fF])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"([0-9.eE+-]{1,32})\s")
_LONGEST_HEADER = 4096
_CHANNELS = {b"P5": 1, b"P6": 3, b"Pf": 1, b"PF": 3}


def open_netpbm(data: bytes) -> tuple[RasterHeader, Callable[[], Values]]:
    """Read the header of a PGM, PPM or PFM file, and return it with what decodes the rest.

    Values are what the file holds: those of a PGM are not stretched to the largest one that its header allows, those of a
    PFM are not multiplied by the scale of which only the sign counts (negative: little-endian). Rows run from the top,
    also those of a PFM, which stores them from the bottom.

    Raises:
        Rejection: A broken header, or too few values.
    """
    found = _HEADER.match(data[:_LONGEST_HEADER])
    if found is None:
        raise Rejection(RejectReason.CORRUPT_IMAGE, f"broken PGM, PPM or PFM header: {data[:32]!r}")
    magic, columns, rows, limit = found.groups()
    dtype = _float_dtype(limit) if magic in (b"Pf", b"PF") else _whole_dtype(limit)
    header = RasterHeader(height=int(rows), width=int(columns), channels=_CHANNELS[magic], dtype=dtype)
    body = len(data) - found.end()
    if header.num_bytes == 0 or body < header.num_bytes:
        raise Rejection(
            RejectReason.CORRUPT_IMAGE,
            f"{body} bytes of values, but the header promises {columns.decode()}x{rows.decode()} pixels of {dtype}",
        )

    def decode() -> Values:
        values = np.frombuffer(data, dtype, count=math.prod(header.shape), offset=found.end()).reshape(header.shape)
        return values[::-1] if magic in (b"Pf", b"PF") else values

    return header, decode


def _whole_dtype(limit: bytes) -> np.dtype[np.generic]:
    if not limit.isdigit() or not 0 < int(limit) < 65536:
        raise Rejection(RejectReason.CORRUPT_IMAGE, f"{limit!r} as the largest value; it is from 1 to 65535")
    return np.dtype(np.uint8 if int(limit) < 256 else ">u2")


def _float_dtype(scale: bytes) -> np.dtype[np.generic]:
    try:
        value = float(scale)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value == 0:
        raise Rejection(RejectReason.CORRUPT_IMAGE, f"{scale!r} as the scale of a PFM; its sign says the byte order")
    return np.dtype("<f4" if value < 0 else ">f4")
