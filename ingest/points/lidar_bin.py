"""Sweeps of float32 numbers without any header, as KITTI, nuScenes and others distribute them.

Nothing in such a file says how many numbers make a point. A layout is consistent with a file if it divides its size and its
attributes lie where that sensor's lie; the wrong number of columns puts coordinates into the attributes, which shows.
A name that ends in `.pcd.bin` decides for nuScenes' five columns. Any other file is taken for KITTI's four columns if they
are consistent, else for the only other layout that is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.points.claims import require_points, require_storable
from ingest.points.cloud import COLOURS, COORDINATES, Cloud
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import Limits
from shards.schema import RejectReason

Table = npt.NDArray[np.float32]

_FARTHEST = 10_000.0
_MAX_RING = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Columns of a kind of sweep, and what its attributes, the columns after x, y and z, look like."""

    source_format: str
    columns: tuple[str, ...]
    fits: Callable[[Table], bool]


def _is_fraction(values: Table) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def _is_whole(values: Table, highest: int) -> bool:
    return bool(((values >= 0) & (values <= highest) & (values == np.floor(values))).all())


def _is_intensity(values: Table) -> bool:
    return _is_fraction(values) or _is_whole(values, 255)


_KITTI = _Layout(
    source_format="kitti",
    columns=(*COORDINATES, "intensity"),
    fits=lambda attributes: _is_intensity(attributes[:, 0]),
)
_NUSCENES = _Layout(
    source_format="nuscenes",
    columns=(*COORDINATES, "intensity", "ring"),
    fits=lambda attributes: _is_intensity(attributes[:, 0]) and _is_whole(attributes[:, 1], _MAX_RING),
)
_COLOURED = _Layout(
    source_format="xyzrgb",
    columns=(*COORDINATES, *COLOURS),
    fits=_is_fraction,
)


def read_lidar_bin(raw: Raw, limits: Limits) -> Cloud:
    """Read a sweep; one of NaN coordinates is consistent too, one with coordinates beyond 10 km is not.

    Raises:
        Rejection: No layout, or more than one beside KITTI's, is consistent with the file; or it is over a limit.
    """
    if raw.size % 4:
        raise _unclear(raw, "is no multiple of 4 bytes, the size of a float32")
    require_points(raw.size // 24, limits)
    data = raw.read()
    numbers: Table = np.frombuffer(data, "<f4")
    named = [_NUSCENES] if raw.name.lower().endswith(".pcd.bin") else [_KITTI, _NUSCENES, _COLOURED]
    fitting = [layout for layout in named if _fits(numbers, layout)]
    if not fitting or (fitting[0] is not _KITTI and len(fitting) > 1):
        tried = ", ".join(f"{layout.source_format} ({' '.join(layout.columns)})" for layout in named)
        raise _unclear(raw, f"fits {'more than one' if fitting else 'none'} of {tried}")
    table = numbers.reshape(-1, len(fitting[0].columns))
    require_points(len(table), limits)
    require_storable(*table.shape, limits)
    columns = dict(zip(fitting[0].columns, table.T, strict=True))
    return Cloud(columns=columns, source_format=fitting[0].source_format)


def _fits(numbers: Table, layout: _Layout) -> bool:
    width = len(layout.columns)
    if len(numbers) % width:
        return False
    table = numbers.reshape(-1, width)
    is_far = np.isfinite(table[:, :3]) & (np.abs(table[:, :3]) > _FARTHEST)
    return not is_far.any() and layout.fits(table[:, 3:])


def _unclear(raw: Raw, why: str) -> Rejection:
    advice = "store the sweep as .npy (points, columns), .pcd or .ply, which say what they hold"
    return Rejection(RejectReason.UNKNOWN_FORMAT, f"a .bin file of {raw.size} bytes {why}; {advice}")
