"""Pictures that are stored lying or mirrored, and shown upright."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def turned(pixels: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """Apply an EXIF orientation to a picture.

    Args:
        pixels: The picture as it is stored, (height, width, channels).
        orientation: How it is meant to be seen, 1 (as it is) to 8.

    Returns:
        The picture as it is seen, contiguous; 5 to 8 exchange height and width.
    """
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
