"""Points drawn from the surface of a mesh, uniformly by area."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ingest.points.claims import corrupt
from ingest.points.cloud import COLOURS, COORDINATES, NORMALS, Column, Triangles
from ingest.rejection import Rejection
from shards.schema import RejectReason

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def vertex_numbers(values: Column) -> Integers:
    """Return numbers that name vertices as integers, whatever type the file gave them.

    Raises:
        Rejection: One is not finite, or beyond 2^53.
    """
    if values.dtype.kind == "f" and not (np.abs(values) < 2.0**53).all():
        raise corrupt("a face names a vertex by what is no number")
    return values.astype(np.int64)


def fan(counts: Integers, corners: Integers, *, vertices: int) -> Triangles | None:
    """Cut polygons into triangles that share the polygon's first corner.

    Args:
        counts: How many corners each polygon has; those with fewer than three are edges or points, and make no triangle.
        corners: The vertex numbers of all polygons, one after the other.
        vertices: How many vertices there are.

    Returns:
        Vertex numbers (triangles, 3), or None if no polygon has three corners.

    Raises:
        Rejection: A corner is a vertex that does not exist.
    """
    if corners.size and not 0 <= corners.min() <= corners.max() < vertices:
        raise corrupt(f"faces name the vertices {corners.min()} to {corners.max()}; there are {vertices}")
    if counts.size and (counts == 3).all():
        return corners.reshape(-1, 3)
    per_face = np.maximum(counts - 2, 0)
    if not per_face.any():
        return None
    first = np.repeat(np.cumsum(counts) - counts, per_face)
    step = np.arange(per_face.sum()) - np.repeat(np.cumsum(per_face) - per_face, per_face)
    triangles: Triangles = corners[np.stack([first, first + step + 1, first + step + 2], axis=1)]
    return triangles


def draw_points(
    columns: Mapping[str, Column], triangles: Triangles, count: int, generator: np.random.Generator
) -> dict[str, Column]:
    """Draw points from the surface of a mesh.

    Args:
        columns: Coordinates of the vertices, and their colours, which are interpolated if there are any.
        triangles: Vertex numbers (triangles, 3); every coordinate they use is finite and at most 1e18.
        count: How many points are drawn, independently, uniformly by area.
        generator: Where the randomness comes from.

    Returns:
        Coordinates, colours if the vertices have them, and the unit normals of the faces, by the right-hand rule.

    Raises:
        Rejection: The surface has no area.
    """
    vertices = np.stack([columns[name].astype(np.float64) for name in COORDINATES], axis=1)
    origin, first, second = (vertices[triangles[:, corner]] for corner in range(3))
    crosses = np.cross(first - origin, second - origin)
    lengths = np.linalg.norm(crosses, axis=1)
    cumulated = np.cumsum(lengths)
    if not len(cumulated) or not cumulated[-1] > 0:
        raise Rejection(
            RejectReason.NO_POINTS, f"the surface of {len(triangles)} triangles has no area to draw points from"
        )
    draws = generator.random((count, 3))
    chosen = np.searchsorted(cumulated, draws[:, 0] * cumulated[-1], side="right")
    chosen = np.minimum(chosen, np.searchsorted(cumulated, cumulated[-1]))  # a product may round up to the whole area
    weights = _barycentric(draws[:, 1:])
    corners = triangles[chosen]
    carried = [*COORDINATES, *(name for name in COLOURS if all(colour in columns for colour in COLOURS))]
    drawn: dict[str, Column] = {name: _interpolated(columns[name], corners, weights) for name in carried}
    normals = crosses[chosen] / lengths[chosen, None]
    return drawn | {name: normals[:, axis] for axis, name in enumerate(NORMALS)}


def _barycentric(draws: Floats) -> Floats:
    """Map the unit square to weights of three corners that are uniform on the triangle (Osada et al., 2002, section 4.2)."""
    root = np.sqrt(draws[:, 0])
    return np.stack([1 - root, root * (1 - draws[:, 1]), root * draws[:, 1]], axis=1)


def _interpolated(values: Column, corners: Integers, weights: Floats) -> Floats:
    mixed: Floats = (values[corners].astype(np.float64) * weights).sum(axis=1)
    return mixed
