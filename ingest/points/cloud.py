"""What every reader returns: named columns, one value per point, and the triangles of a mesh."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.points.claims import corrupt
from ingest.rejection import Rejection
from shards.schema import RejectReason

Column = npt.NDArray[Any]
Triangles = npt.NDArray[np.int64]

COORDINATES = ("x", "y", "z")
COLOURS = ("red", "green", "blue")
NORMALS = ("nx", "ny", "nz")
TIME = "time"

_ORDER = (*COORDINATES, "intensity", *COLOURS, "alpha", *NORMALS, TIME, "ring", "classification")
_SYNONYMS = {
    **dict.fromkeys(("i", "reflectance", "reflectivity", "remission"), "intensity"),
    **dict.fromkeys(("r", "diffuse_red", "rgb_0", "colors_0"), "red"),
    **dict.fromkeys(("g", "diffuse_green", "rgb_1", "colors_1"), "green"),
    **dict.fromkeys(("b", "diffuse_blue", "rgb_2", "colors_2"), "blue"),
    **dict.fromkeys(("a", "diffuse_alpha"), "alpha"),
    **dict.fromkeys(("normal_x", "normalx", "normals_0"), "nx"),
    **dict.fromkeys(("normal_y", "normaly", "normals_1"), "ny"),
    **dict.fromkeys(("normal_z", "normalz", "normals_2"), "nz"),
    **dict.fromkeys(("t", "gps_time", "gpstime", "timestamp"), TIME),
    **dict.fromkeys(("class", "label"), "classification"),
    **dict.fromkeys(("xyz_0", "points_0"), "x"),
    **dict.fromkeys(("xyz_1", "points_1"), "y"),
    **dict.fromkeys(("xyz_2", "points_2"), "z"),
}
_MAX_COLUMNS = 256
_FARTHEST = 1e18


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """The points of a file, or the vertices of a mesh.

    Args:
        columns: Values by name, in the order in which they are stored: x, y, z first. Any numeric dtype, all of one length.
        source_format: What the file is, as the fact of that name says it (`ply`, `las`, `kitti`).
        triangles: Vertex numbers (triangles, 3) of a mesh, all of them valid; None for bare points.
    """

    columns: Mapping[str, Column]
    source_format: str
    triangles: Triangles | None = None


def usable_points(columns: Mapping[str, Column]) -> npt.NDArray[np.bool_]:
    """Tell which points have a place: finite coordinates, none beyond 1e18, whose square float32 cannot hold."""
    usable = np.ones(len(columns["x"]), dtype=np.bool_)
    for name in COORDINATES:
        usable &= np.abs(columns[name]) <= _FARTHEST
    return usable


def named_columns(columns: Iterable[tuple[str, Column]]) -> dict[str, Column]:
    """Return columns by the names that maskloom gives them, the common ones first and in a fixed order.

    Common attributes get one name each (`gps_time` and `timestamp` become `time`); others keep their own, in small letters,
    digits and underscores.

    Raises:
        Rejection: There is no x, y, z, a name occurs twice, or there are more than 256 columns.
    """
    named: dict[str, Column] = {}
    for name, values in columns:
        own = _clean(name)
        common = _SYNONYMS.get(own, own)
        chosen = own if common in named else common
        if chosen in named:
            raise corrupt(f"two columns are called '{chosen[:40]}'")
        named[chosen] = values
    missing = [name for name in COORDINATES if name not in named]
    if missing:
        raise corrupt(f"no column {', '.join(missing)}; there are {', '.join(named)[:200] or 'none'}")
    if len(named) > _MAX_COLUMNS:
        raise Rejection(RejectReason.UNSUPPORTED_FORMAT, f"{len(named)} columns; at most {_MAX_COLUMNS} are stored")
    order = [*(name for name in _ORDER if name in named), *(name for name in named if name not in _ORDER)]
    return {name: named[name] for name in order}


def _clean(name: str) -> str:
    own = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "column"
    return own.removeprefix("scalar_")
