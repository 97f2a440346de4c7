"""From a decoded frame, in whatever colours, bit depth and orientation, to upright 8-bit RGB.

Limited range is stretched to full range, and luma and chroma are mixed by the matrix that the file names; a file that names
none gets BT.709 from 720 lines on and BT.601 below, as players do. Pictures for HDR screens (PQ and HLG) are mapped to the
colours and brightness of an ordinary screen (BT.709) by FFmpeg's perceptual mapping. More than 8 bits are dithered, as
swscale does. Transparency is dropped, interlaced fields stay woven, and pixels that are not square stay as they are coded.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorTrc, VideoReformatter

from ingest.orientation import turned
from ingest.rejection import Rejection
from pipelines.transforms.frames import to_rgb
from shards.schema import RejectReason

Pixels = npt.NDArray[np.uint8]

UPRIGHT = 1
_ORIENTATIONS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
"""EXIF orientation by the signs of the four entries of a display matrix that turn and mirror."""
_HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)
_WIDE = (ColorPrimaries.BT2020, ColorPrimaries.SMPTE431, ColorPrimaries.SMPTE432)


class _Kept(threading.local):
    """What swscale works out once for frames of one kind; for HDR that takes seconds, too long to do it for every file."""

    def __init__(self) -> None:
        self.reformatter = VideoReformatter()


_of_this_thread = _Kept()
_SMALLEST_TURN = 1 / 64
"""Entries of a display matrix below this share of the largest count as 0; a picture turned by less looks straight."""


def upright(frame: VideoFrame) -> Pixels:
    """Return a frame as uint8 RGB of shape (height, width, 3), turned the way it is shown.

    Raises:
        Rejection: Its pixels have no meaning in RGB, or it is shown tilted.
    """
    conversion: dict[str, int] = {}
    if frame.color_trc in _HDR:
        conversion["dst_color_trc"] = ColorTrc.BT709
        if frame.color_primaries in _WIDE:
            conversion["dst_color_primaries"] = ColorPrimaries.BT709
    try:
        pixels = to_rgb(frame, _of_this_thread.reformatter, **conversion)
    except av.FFmpegError as error:
        detail = f"{frame.format.name} (matrix {frame.colorspace}, transfer {frame.color_trc}): {error.strerror}"
        raise Rejection(RejectReason.UNSUPPORTED_PIXELS, detail) from error
    return turned(pixels, orientation(frame))


def orientation(frame: VideoFrame) -> int:
    """Return how a frame has to be turned and mirrored to be shown, as an EXIF orientation from 1 (not at all) to 8.

    Raises:
        Rejection: The display matrix tilts the picture.
    """
    for entry in cast("Sequence[SideData]", frame.side_data):
        if entry.type is SideDataType.DISPLAYMATRIX:
            return _orientation_of(struct.unpack("<9i", bytes(entry)))
    return UPRIGHT


def _orientation_of(matrix: tuple[int, ...]) -> int:
    a, b, _, c, d, *_ = matrix
    largest = max(abs(entry) for entry in (a, b, c, d)) or 1
    signs = tuple(int(np.sign(entry)) if abs(entry) > largest * _SMALLEST_TURN else 0 for entry in (a, b, c, d))
    if not any(signs):
        return UPRIGHT
    if signs not in _ORIENTATIONS:
        turn = f"[{a / largest:.2f} {b / largest:.2f}; {c / largest:.2f} {d / largest:.2f}]"
        raise Rejection(RejectReason.UNSUPPORTED_PIXELS, f"the pictures are shown tilted, by the matrix {turn}")
    return _ORIENTATIONS[signs]
