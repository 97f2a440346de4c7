"""The solids of the world as distance functions: at most as far as the surface is, negative inside.

A function takes local points, float32 [3, n] with y up, of a solid of about unit radius, and returns [n]. Never more
than the true distance, which is all that sphere tracing needs (Hart 1996, "Sphere tracing").
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]  # float32 throughout; NumPy's stubs lose sight of the width in arithmetic


@dataclass(frozen=True, kw_only=True)
class Solid:
    """A kind of thing. All lengths are in radii."""

    distance: Callable[[Floats], Floats]
    foot: float  # how far its lowest point lies below the local origin
    bound: float  # the sphere about the local origin that holds all of it
    is_round: bool = False  # a turn about the vertical does not change it


def _box(points: Floats, half: tuple[float, float, float]) -> Floats:
    beyond = np.abs(points) - np.array(half, dtype=np.float32)[:, None]
    outside: Floats = np.sqrt(np.square(np.maximum(beyond, 0)).sum(axis=0))
    distance: Floats = outside + np.minimum(beyond.max(axis=0), 0)
    return distance


def _arch(points: Floats) -> Floats:
    x, y, _ = points
    doorway = np.maximum(np.hypot(x, np.maximum(y + 0.05, 0)) - 0.46, -2 - y)
    distance: Floats = np.maximum(_box(points, (0.85, 0.8, 0.4)), -doorway)
    return distance


def _cone(points: Floats) -> Floats:
    x, y, z = points
    side = 0.894 * np.hypot(x, z) + 0.447 * (y - 0.95)
    distance: Floats = np.maximum(side, -0.75 - y)
    return distance


def _cross(points: Floats) -> Floats:
    bars = [_box(points, half) for half in ((0.9, 0.27, 0.27), (0.27, 0.9, 0.27), (0.27, 0.27, 0.9))]
    distance: Floats = np.minimum.reduce(bars)
    return distance


def _cube(points: Floats) -> Floats:
    distance: Floats = _box(points, (0.68, 0.68, 0.68)) - 0.05
    return distance


def _cylinder(points: Floats) -> Floats:
    x, y, z = points
    distance: Floats = np.maximum(np.hypot(x, z) - 0.68, np.abs(y) - 0.82)
    return distance


def _dumbbell(points: Floats) -> Floats:
    x, y, z = points
    radius = np.hypot(y, z)
    weights = np.hypot(np.abs(x) - 0.72, radius) - 0.48
    distance: Floats = np.minimum(weights, np.maximum(radius - 0.18, np.abs(x) - 0.72))
    return distance


def _pyramid(points: Floats) -> Floats:
    x, y, z = points
    side = 0.832 * np.maximum(np.abs(x), np.abs(z)) + 0.555 * (y - 0.75)
    distance: Floats = np.maximum(side, -0.6 - y)
    return distance


def _sphere(points: Floats) -> Floats:
    distance: Floats = np.sqrt(np.square(points).sum(axis=0)) - np.float32(0.88)
    return distance


def _star(points: Floats) -> Floats:
    x, y, z = points
    sector = 2 * math.pi / 5
    angle = np.arctan2(x, y)
    angle = angle - sector * np.rint(angle / sector)
    radius = np.hypot(x, y)
    along, across = radius * np.cos(angle), radius * np.abs(np.sin(angle))
    # The edge runs from a tip at (1, 0) to the notch at radius 0.45, half a sector further round.
    edge_along, edge_across = 0.45 * math.cos(sector / 2) - 1, 0.45 * math.sin(sector / 2)
    edge = ((along - 1) * edge_across - across * edge_along) / math.hypot(edge_along, edge_across)
    distance: Floats = np.maximum(edge, np.abs(z) - 0.28)
    return distance


def _torus(points: Floats) -> Floats:
    x, y, z = points
    distance: Floats = np.hypot(np.hypot(x, z) - 0.68, y) - 0.3
    return distance


SOLIDS: Mapping[str, Solid] = {
    "arch": Solid(distance=_arch, foot=0.8, bound=1.24),
    "cone": Solid(distance=_cone, foot=0.75, bound=1.14, is_round=True),
    "cross": Solid(distance=_cross, foot=0.9, bound=0.98),
    "cube": Solid(distance=_cube, foot=0.73, bound=1.23),
    "cylinder": Solid(distance=_cylinder, foot=0.82, bound=1.07, is_round=True),
    "dumbbell": Solid(distance=_dumbbell, foot=0.48, bound=1.2),
    "pyramid": Solid(distance=_pyramid, foot=0.6, bound=1.42),
    "sphere": Solid(distance=_sphere, foot=0.88, bound=0.89, is_round=True),
    "star": Solid(distance=_star, foot=0.809, bound=1.04),  # two of the five tips stand on the ground: cos 36 degrees
    "torus": Solid(distance=_torus, foot=0.3, bound=0.99, is_round=True),
}
