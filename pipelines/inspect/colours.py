"""Numbers as colours: two scales that the eye reads evenly, and colours for ids that differ as much as they can."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Integer, UInt8

Scale = tuple[str, ...]
"""Evenly spaced colours, from the lowest value to the highest, between which is interpolated."""

VIRIDIS: Scale = (
    *("#440154", "#482878", "#3e4989", "#31688e", "#26828e"),
    *("#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"),
)
MAGMA: Scale = (
    *("#000004", "#180f3d", "#440f76", "#721f81", "#9e2f7f"),
    *("#cd4071", "#f1605d", "#fd9668", "#feca8d", "#fcfdbf"),
)
"""Scales of matplotlib (Smith and van der Walt, 2015, CC0), thinned to ten colours each."""

_GOLDEN_ANGLE = 0.6180339887498949
_LIGHTNESS = (0.55, 0.72, 0.42)
_BACKGROUND = (72, 76, 84)


def shade(
    values: Float[np.ndarray, "height width"], scale: Scale, *, low: float, high: float
) -> UInt8[np.ndarray, "height width 3"]:
    """Return the colours of values on a scale that spans `low` to `high`; what is beyond takes the colour of the end."""
    places = np.clip((values - low) / max(high - low, 1e-12), 0, 1) * 255
    return _table(scale)[np.nan_to_num(places).astype(np.uint8)]


def id_colours(ids: Integer[np.ndarray, " ids"]) -> UInt8[np.ndarray, "ids 3"]:
    """Return a colour for each id, always the same one; 0, which usually is the background, is dark grey."""
    hues = ids.astype(np.float64) * _GOLDEN_ANGLE % 1
    lightness = np.array(_LIGHTNESS)[ids % len(_LIGHTNESS)]
    channels = [_channel(hues, lightness, number) for number in (0, 8, 4)]
    return np.where((ids == 0)[:, None], _BACKGROUND, np.stack(channels, axis=-1)).astype(np.uint8)


def _channel(hues: npt.NDArray[np.float64], lightness: npt.NDArray[np.float64], number: int) -> npt.NDArray[np.float64]:
    """Return red (0), green (8) or blue (4) of colours of 65 % saturation (CSS Color 4, section 7.1)."""
    place = (number + hues * 12) % 12
    reach = 0.65 * np.minimum(lightness, 1 - lightness)
    return np.asarray(np.rint(255 * (lightness - reach * np.clip(np.minimum(place - 3, 9 - place), -1, 1))))


def _table(scale: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Return the 256 colours of a scale."""
    anchors = np.array([[int(colour[place : place + 2], 16) for place in (1, 3, 5)] for colour in scale])
    at, every = np.linspace(0, 1, len(anchors)), np.linspace(0, 1, 256)
    return (
        np.stack([np.interp(every, at, anchors[:, channel]) for channel in range(3)], axis=-1).round().astype(np.uint8)
    )
