"""What a picture looks like, in 64 bits, and how much there is to see in it.

Both look at the same grid of at most 128 x 128 grey levels, so that their cost hardly depends on the size of the picture,
and both work on whole numbers that floating-point numbers hold exactly, so that every machine gets the same result.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import cast

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Grey = npt.NDArray[np.float64]

FLAT = 0
"""The hash of pictures without any shape in them. From 9 x 9 pixels on, half of the bits of all others are set."""

_GRID = 128
"""Most rows and columns of pixels that are looked at."""
_FREQUENCIES = 8
_PRECISION = 1 << 14
"""Cosines are rounded to multiples of 1/16384: sums over the grid then stay whole numbers below 2^53."""
_LEAST_WAVE = 0.5
"""Amplitude in grey levels; if no wave in a picture reaches it, the bits of a hash would be those of compression noise."""
_RED, _GREEN, _BLUE = np.uint16(77), np.uint16(150), np.uint16(29)
"""Shares of grey, of 256 (ITU-R BT.601)."""


def perceptual_hash(pixels: Pixels) -> int:
    """Return 64 bits that hardly change when a picture is compressed, resized or brightened.

    Bit by bit, from the most significant one: whether one of 64 coefficients of the discrete cosine transform of the grey
    levels is above their median; they are those of 1 to 8 half waves down by 1 to 8 across (after Zauner, Implementation
    and Benchmarking of Perceptual Image Hash Functions, 2010). The transform is of the picture as a whole, sampled on the
    grid, whatever its size and aspect. The fewer bits differ, the more alike are two pictures.

    Args:
        pixels: uint8 [height, width, 3] in red, green, blue, or grey [height, width] or [height, width, 1].

    Returns:
        A number from 0 to 2^64 - 1. FLAT for a picture in which none of the 64 waves has an amplitude of half a grey
        level: blank ones, and those that change along one axis only (a plain gradient, stripes).
    """
    return hash_of_grey(sampled_grey(pixels))


def hash_of_grey(grey: Grey) -> int:
    """Return the perceptual hash of a picture whose grey levels have been sampled."""
    rows, columns = grey.shape
    waves = (_cosines(rows) @ grey @ _cosines(columns).T).ravel()
    if np.abs(waves).max() < _LEAST_WAVE * grey.size * _PRECISION**2 / 4:
        return FLAT
    values = np.sort(waves)
    middle = len(values) // 2
    bits = waves > (values[middle - 1] + values[middle]) / 2
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def grey_contrast(pixels: Pixels) -> float:
    """Return the standard deviation of the grey levels on the grid, from 0 (flat) to 127.5 (half black, half white).

    Args:
        pixels: uint8 [height, width, 3] in red, green, blue, or grey [height, width] or [height, width, 1].
    """
    return contrast_of_grey(sampled_grey(pixels))


def contrast_of_grey(grey: Grey) -> float:
    """Return the contrast of a picture whose grey levels have been sampled."""
    levels = grey.ravel()
    total, squares = float(levels.sum()), float(np.dot(levels, levels))
    return math.sqrt(squares * levels.size - total * total) / levels.size


def sampled_grey(pixels: Pixels) -> Grey:
    """Return whole grey levels, 0 to 255, of every n-th row and column."""
    height, width = pixels.shape[:2]
    down, across = -(-height // _GRID), -(-width // _GRID)
    seen = pixels[down // 2 :: down, across // 2 :: across]
    if seen.ndim == 2 or seen.shape[2] == 1:
        return seen.reshape(seen.shape[:2]).astype(np.float64)
    weighted = seen[..., 1] * _GREEN
    weighted += seen[..., 0] * _RED
    weighted += seen[..., 2] * _BLUE
    weighted >>= 8
    return weighted.astype(np.float64)


@lru_cache(maxsize=2 * _GRID)
def _cosines(count: int) -> npt.NDArray[np.float64]:
    """Return waves of 1 to 8 halves over `count` places: whole numbers [8, count], 0 for waves too short to be seen."""
    places = (np.arange(count) + 0.5) / count
    halves = np.arange(1, _FREQUENCIES + 1)[:, None]
    waves = np.where(halves < count, np.cos(np.pi * halves * places), 0.0)
    return cast(npt.NDArray[np.float64], np.rint(_PRECISION * waves))
