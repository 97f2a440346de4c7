"""LAS, LAZ and COPC, read by laspy and lazrs chunk by chunk, after their headers have been checked."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import laspy
import numpy as np

from ingest.points.claims import corrupt, require_points, require_storable
from ingest.points.cloud import COORDINATES, Cloud, Column, named_columns
from ingest.points.las_header import LasHeader, checked_header
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import Limits

_ATTRIBUTES = (
    "intensity",
    "red",
    "green",
    "blue",
    "nir",
    "gps_time",
    "classification",
    "return_number",
    "number_of_returns",
)
_CHUNK_BYTES = 32 << 20


def read_las(raw: Raw, limits: Limits) -> Cloud:
    """Read coordinates, scaled, and the attributes that most scanners fill; flags, angles and extra bytes are left out.

    Raises:
        Rejection: The file is damaged, cut off, over a limit, or compressed in a way that is not read.
    """
    data = raw.read()
    header = checked_header(data)
    require_points(header.count, limits)
    with _damage_rejected():
        columns = _columns(data, header, limits)
    return Cloud(columns=named_columns(columns.items()), source_format="laz" if data[104] & 0x80 else "las")


def _columns(data: bytes, header: LasHeader, limits: Limits) -> dict[str, Column]:
    reader = laspy.open(io.BytesIO(data), laz_backend=laspy.LazBackend.Lazrs, read_evlrs=False)
    point_format = reader.header.point_format
    attributes = [name for name in _ATTRIBUTES if name in point_format.dimension_names]
    require_storable(header.count, 3 + len(attributes), limits)
    columns: dict[str, Column] = {name: np.empty(header.count) for name in COORDINATES}
    scales, offsets, filled = reader.header.scales, reader.header.offsets, 0
    for chunk in reader.chunk_iterator(max(1, _CHUNK_BYTES // header.point_bytes)):
        place = slice(filled, filled + len(chunk))
        for axis, name in enumerate(COORDINATES):
            columns[name][place] = chunk[name.upper()] * scales[axis] + offsets[axis]
        for name in attributes:
            values = np.asarray(chunk[name])
            columns.setdefault(name, np.empty(header.count, values.dtype))[place] = values
        filled += len(chunk)
    if filled != header.count:
        raise corrupt(f"{header.count} points are claimed, {filled} are there")
    return columns


@contextmanager
def _damage_rejected() -> Iterator[None]:
    """Turn whatever the libraries raise at damaged bytes into a rejection.

    lazrs panics at some of them: Python sees an exception beside `Exception`, of a class that cannot be imported.
    """
    try:
        yield
    except (Rejection, MemoryError):
        raise
    except Exception as error:
        raise corrupt(f"{type(error).__name__}: {error}"[:300]) from error
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime":
            raise
        raise corrupt(f"the decoder broke off: {error}"[:300]) from error
