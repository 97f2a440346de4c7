"""Small pictures of stored fields: decoded, made smaller, encoded again for a page."""

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Shaped, UInt8
from PIL import Image as Pillow

from pipelines.inspect.allowance import Allowance

_QUALITY = 72
_BOX = (312, 240)
"""Width and height, in CSS pixels, that pictures are fitted into."""
FEW_PIXELS = 96
"""Below this longer side, in pixels, the pixels of a picture are shown as blocks."""
_MOST_BLOW_UP = 2.0
"""How much larger than it is a picture may be shown whose pixels are not shown as blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture inside a page.

    Args:
        uri: Its data URI; None where the page had no room left.
        width: Width in CSS pixels at which it is shown, if there is room.
        height: Height at which it is shown.
        is_blocky: Whether its pixels are to be shown as blocks, because they are few.
        description: What it shows, for those who do not see it.
    """

    uri: str | None
    width: int
    height: int
    is_blocky: bool
    description: str


def smaller(pixels: UInt8[np.ndarray, "height width channels"], *, longest: int) -> npt.NDArray[np.uint8]:
    """Make the longer side of an RGB or RGBA picture at most `longest` pixels, averaging; smaller ones stay as they are."""
    height, width = pixels.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return pixels
    shape = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Pillow.fromarray(pixels).resize(shape, Pillow.Resampling.BOX, reducing_gap=3.0))


def nearest(values: Shaped[np.ndarray, "height width channels"], *, longest: int) -> npt.NDArray[np.generic]:
    """Make the longer side of a raster at most `longest` pixels, taking the value at the centre of each; never mixing."""
    height, width = values.shape[:2]
    factor = min(1.0, longest / max(height, width))
    rows, columns = (_centres(length, max(1, round(length * factor))) for length in (height, width))
    return values[rows][:, columns]


def _centres(length: int, count: int) -> npt.NDArray[np.int64]:
    return (2 * np.arange(count) + 1) * length // (2 * count)


def embed(pixels: UInt8[np.ndarray, "height width channels"], description: str, allowance: Allowance) -> Picture:
    """Encode an RGB or RGBA picture as lossy WebP, for photographs and smooth maps."""
    return _embedded(pixels, description, allowance, {"quality": _QUALITY, "method": 4})


def embed_exactly(
    pixels: UInt8[np.ndarray, "height width channels"], description: str, allowance: Allowance
) -> Picture:
    """Encode an RGB or RGBA picture as lossless WebP, for few colours with hard edges."""
    return _embedded(pixels, description, allowance, {"lossless": True, "method": 4})


def _embedded(
    pixels: npt.NDArray[np.uint8], description: str, allowance: Allowance, options: dict[str, object]
) -> Picture:
    data = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(pixels)).save(data, format="WEBP", **options)
    height, width = pixels.shape[:2]
    is_blocky = max(height, width) < FEW_PIXELS
    fit = min(_BOX[0] / width, _BOX[1] / height)
    factor = fit if is_blocky else min(fit, _MOST_BLOW_UP)
    return Picture(
        uri=allowance.data_uri("image/webp", data.getvalue()),
        width=max(1, round(width * factor)),
        height=max(1, round(height * factor)),
        is_blocky=is_blocky,
        description=description,
    )
