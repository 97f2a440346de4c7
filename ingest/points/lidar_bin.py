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
_MOST_COLUMNS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Columns of a kind of sweep, and whether attributes (columns after x, y and z; points) look like those of its sensor."""

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
    fits=lambda attributes: _is_intensity(attributes[0]),
)
_NUSCENES = _Layout(
    source_format="nuscenes",
    columns=(*COORDINATES, "intensity", "ring"),
    fits=lambda attributes: _is_intensity(attributes[0]) and _is_whole(attributes[1], _MAX_RING),
)
_COLOURED = _Layout(
    source_format="xyzrgb",
    columns=(*COORDINATES, *COLOURS),
    fits=_is_fraction,
)


def read_lidar_bin(raw: Raw, limits: Limits) -> Cloud:
    """Read a sweep; one with NaN coordinates is consistent too, one with coordinates beyond 10 km is not.

    Raises:
        Rejection: No layout, or more than one beside KITTI's, is consistent with the file; or it is over a limit.
    """
    if raw.size % 4:
        raise _unclear(raw, "is no multiple of 4 bytes, the size of a float32")
    require_points(raw.size // 4 // _MOST_COLUMNS, limits)
    numbers: Table = np.frombuffer(raw.read(), "<f4")
    layout, table = _understood(raw, numbers)
    require_points(table.shape[1], limits)
    require_storable(table.shape[1], table.shape[0], limits)
    return Cloud(columns=dict(zip(layout.columns, table, strict=True)), source_format=layout.source_format)


def _understood(raw: Raw, numbers: Table) -> tuple[_Layout, Table]:
    """Return the layout of a file and its columns, shape (columns, points)."""
    is_named = raw.name.lower().endswith(".pcd.bin")
    for layouts in [[_NUSCENES]] if is_named else [[_KITTI], [_NUSCENES, _COLOURED]]:
        tables = [(layout, _table(numbers, layout)) for layout in layouts]
        fitting = [(layout, table) for layout, table in tables if table is not None]
        if len(fitting) == 1:
            return fitting[0]
    tried = ", ".join(
        f"{layout.source_format} ({' '.join(layout.columns)})" for layout in (_KITTI, _NUSCENES, _COLOURED)
    )
    if is_named:
        raise _unclear(raw, "is named .pcd.bin, but has not the columns x y z intensity ring")
    raise _unclear(raw, f"fits {'more than one' if fitting else 'none'} of {tried}")


def _table(numbers: Table, layout: _Layout) -> Table | None:
    """Return the columns that a layout makes of a file, shape (columns, points), or None if they are not consistent."""
    width = len(layout.columns)
    if len(numbers) % width:
        return None
    table = np.ascontiguousarray(numbers.reshape(-1, width).T)
    is_far = any((np.abs(axis) > _FARTHEST).any() for axis in table[:3])
    return table if not is_far and layout.fits(table[3:]) else None


def _unclear(raw: Raw, why: str) -> Rejection:
    advice = "store the sweep as .npy (points, columns), .pcd or .ply, which say what they hold"
    return Rejection(RejectReason.UNKNOWN_FORMAT, f"a .bin file of {raw.size} bytes {why}; {advice}")
