"""Point clouds, made small enough for a page: a few thousand points, quantised, with what they can be coloured by."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Float32

from pipelines.randomness import generator_for

MAX_POINTS = 4000
STEPS = 16_000
"""A coordinate of this many steps lies as far from the middle as 98 % of the points at most."""
MAX_ATTRIBUTES = 3
"""Attributes, beside colour and height, that points can be coloured by."""

_FARTHEST_STEPS = 32_000
_NOT_ATTRIBUTES = frozenset({"x", "y", "z", "red", "green", "blue", "alpha", "nx", "ny", "nz"})
_STRETCH = (2, 98)


@dataclass(frozen=True, slots=True, kw_only=True)
class Colouring:
    """What points can be coloured by: `name`, bytes per point (3: red, green, blue; 1: a place on a scale), its range."""

    name: str
    width: int
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedCloud:
    """Points for the viewer of the page.

    Args:
        data: x, y, z of every point as little-endian int16, then, one colouring after the other, its bytes for all points.
        count: How many points.
        colourings: What they can be coloured by; the first one is what people want to see first.
    """

    data: bytes
    count: int
    colourings: tuple[Colouring, ...]


def pack_cloud(points: Float32[np.ndarray, "points columns"], columns: Sequence[str], *, key: str) -> PackedCloud:
    """Pack at most 4,000 points, drawn by chance that depends on the key alone.

    Args:
        points: x, y, z and attributes; points without a finite place are left out.
        columns: Names of the columns.
        key: Key of the sample.
    """
    finite = points[np.isfinite(points[:, :3]).all(axis=1)]
    if len(finite) > MAX_POINTS:
        generator = generator_for(seed=0, epoch=0, key=key, purpose="points that are shown")
        finite = finite[np.sort(generator.choice(len(finite), MAX_POINTS, replace=False))]
    named = {name: finite[:, place] for place, name in enumerate(columns[: finite.shape[1]])}
    painted = [*_colours(named), _scalar("height", finite[:, 2]), *_attributes(named)]
    return PackedCloud(
        data=b"".join([_quantised(finite[:, :3]), *(data for _, data in painted)]),
        count=len(finite),
        colourings=tuple(colouring for colouring, _ in painted),
    )


def _quantised(places: Float[np.ndarray, "points 3"]) -> bytes:
    if not len(places):
        return b""
    exact = places.astype(np.float64)
    centred = exact - np.percentile(exact, _STRETCH, axis=0).mean(axis=0)
    reach = np.percentile(np.linalg.norm(centred, axis=1), _STRETCH[1]) or 1.0
    steps = np.clip(np.rint(centred / reach * STEPS), -_FARTHEST_STEPS, _FARTHEST_STEPS)
    return bytes(steps.astype("<i2").tobytes())


def _colours(named: dict[str, npt.NDArray[np.float32]]) -> list[tuple[Colouring, bytes]]:
    if not {"red", "green", "blue"} <= named.keys():
        return []
    colours = np.stack([named["red"], named["green"], named["blue"]], axis=1)
    data = np.rint(np.clip(np.nan_to_num(colours), 0, 1) * 255).astype(np.uint8).tobytes()
    return [(Colouring(name="colour", width=3, low=0.0, high=1.0), data)]


def _attributes(named: dict[str, npt.NDArray[np.float32]]) -> list[tuple[Colouring, bytes]]:
    """Return the first few attributes that vary, in their order, which has the intensity first."""
    painted = (_scalar(name, values) for name, values in named.items() if name not in _NOT_ATTRIBUTES)
    return list(
        islice(((colouring, data) for colouring, data in painted if colouring.low < colouring.high), MAX_ATTRIBUTES)
    )


def _scalar(name: str, values: npt.NDArray[np.float32]) -> tuple[Colouring, bytes]:
    known = np.nan_to_num(values.astype(np.float64))
    low, high = np.percentile(known, _STRETCH).tolist() if len(known) else (0.0, 0.0)
    places = np.clip((known - low) / max(high - low, 1e-12), 0, 1) * 255
    return Colouring(name=name, width=1, low=low, high=high), places.astype(np.uint8).tobytes()
