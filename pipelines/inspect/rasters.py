"""Rasters as pictures: depth and other measures on a colour scale, several bands one by one, ids in colours of their own."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Shaped, UInt8

from pipelines.inspect.colours import MAGMA, VIRIDIS, id_colours, shade

LONGEST = 240
"""Longer side, in pixels, of the pictures that are made of rasters."""
MAX_COLUMNS = 360
"""Widest picture of log-mel features."""
MAX_BANDS = 12
MAX_IDS = 10
_STRETCH = (2, 98)
_LARGEST_ID = 2.0**62
_ZERO_IS_NOTHING = frozenset({"depth", "disparity"})
"""Fields in which a sensor writes 0 where it saw nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A raster, or a band of it, as colours.

    Args:
        pixels: RGBA picture, transparent where there is no value.
        low: The value at the lower end of the colour scale: the 2nd percentile.
        high: The value at its upper end: the 98th percentile.
        least: The smallest value.
        most: The largest value.
        missing: Which part of the pixels has no value, in [0, 1].
    """

    pixels: UInt8[np.ndarray, "height width 4"]
    low: float
    high: float
    least: float
    most: float
    missing: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An id of a segmentation, its colour as `#rrggbb`, and the part of the pixels that has it, in [0, 1]."""

    number: int
    colour: str
    share: float


def show_band(values: Shaped[np.ndarray, "height width"], *, field: str) -> Shown:
    """Show one band on the viridis scale; NaN and infinities, and zeros of depth, are holes."""
    numbers = values.astype(np.float64)
    has_value = _has_value(numbers, field)
    known = numbers[has_value]
    low, high = np.percentile(known, _STRETCH).tolist() if known.size else (0.0, 0.0)
    return Shown(
        pixels=_with_holes(shade(numbers, VIRIDIS, low=low, high=high), has_value),
        low=low,
        high=high,
        least=float(known.min()) if known.size else 0.0,
        most=float(known.max()) if known.size else 0.0,
        missing=1 - known.size / max(numbers.size, 1),
    )


def show_composite(values: Shaped[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height width 4"]:
    """Show three bands as red, green and blue, each stretched from its 2nd to its 98th percentile."""
    numbers = values.astype(np.float64)
    has_value = np.asarray(np.isfinite(numbers).all(axis=2))
    known = numbers[has_value]
    if not known.size:
        return np.zeros((*values.shape[:2], 4), np.uint8)
    low, high = np.percentile(known, _STRETCH, axis=0)
    stretched = np.clip((numbers - low) / np.maximum(high - low, 1e-12), 0, 1) * 255
    return _with_holes(np.nan_to_num(stretched).astype(np.uint8), has_value)


def show_ids(values: Shaped[np.ndarray, "height width"]) -> tuple[npt.NDArray[np.uint8], list[Identity]]:
    """Return an RGB picture of ids, and the ids, most frequent first."""
    whole = (values if values.dtype.kind in "iu" else _rounded(values)).astype(np.int64)
    ids, places, counts = np.unique(whole, return_inverse=True, return_counts=True)
    colours = id_colours(ids)
    frequent = np.argsort(-counts, kind="stable")
    identities = [
        Identity(number=int(ids[row]), colour=_hex(colours[row]), share=float(counts[row] / whole.size))
        for row in frequent
    ]
    return colours[places.reshape(whole.shape)], identities


def show_logmel(features: Shaped[np.ndarray, "frames bins"]) -> npt.NDArray[np.uint8]:
    """Show log-mel features as RGB: time to the right, frequency upwards, loud is bright; long ones are averaged."""
    numbers = np.nan_to_num(features.astype(np.float64), posinf=0.0, neginf=0.0)
    num_columns = min(len(numbers), MAX_COLUMNS)
    starts = np.arange(num_columns) * len(numbers) // max(num_columns, 1)
    lengths = np.diff(np.append(starts, len(numbers)))
    columns = np.add.reduceat(numbers, starts, axis=0) / lengths[:, None] if num_columns else np.zeros((1, 1))
    low, high = np.percentile(columns, _STRETCH).tolist()
    return shade(columns.T[::-1], MAGMA, low=low, high=high)


def _rounded(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return ids that were stored as floating-point numbers as whole ones; NaN becomes 0."""
    return np.clip(np.rint(np.nan_to_num(values.astype(np.float64))), -_LARGEST_ID, _LARGEST_ID)


def _has_value(numbers: npt.NDArray[np.float64], field: str) -> npt.NDArray[np.bool_]:
    finite = np.isfinite(numbers)
    return finite & (numbers != 0) if field in _ZERO_IS_NOTHING else finite


def _with_holes(
    pixels: UInt8[np.ndarray, "height width 3"], has_value: Bool[np.ndarray, "height width"]
) -> npt.NDArray[np.uint8]:
    return np.dstack([pixels, np.where(has_value, 255, 0).astype(np.uint8)])


def _hex(colour: npt.NDArray[np.uint8]) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in colour.tolist())
