"""From stored rasters (depth, segments, bands of a satellite) to model input: decode exactly, render a view.

No value of a raster is ever changed: ids are names, and the zeros and NaNs of a depth camera mean that it saw nothing, so
mixing neighbours would invent both. Where a view asks for another number of pixels, the nearest one is taken.
"""

import io
import struct
import tokenize
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Shaped
from PIL import Image as Pillow
from torch import Tensor
from torchvision.io import ImageReadMode, decode_png

from pipelines.transforms.errors import DecodeError
from pipelines.views import View

PNG_START = b"\x89PNG\r\n\x1a\n"
NPY_START = b"\x93NUMPY"

PALETTE = 3
"""The colour type of a PNG whose pixels are places in a list of colours."""

_HEADER_END = 33
"""Where a PNG's header chunk ends, of which 13 bytes from byte 16 on say what the file holds."""
_PNG_CHANNELS: Mapping[int, int] = {0: 1, 2: 3, PALETTE: 1, 4: 2, 6: 4}
_PNG_DEPTHS: Mapping[int, tuple[int, ...]] = {
    0: (1, 2, 4, 8, 16),
    2: (8, 16),
    PALETTE: (1, 2, 4, 8),
    4: (8, 16),
    6: (8, 16),
}
_PILLOW_MODES = ("1", "L", "P", "I;16", "LA", "RGB", "RGBA")
_PNG_ERRORS = (OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error, Pillow.DecompressionBombError)
_NPY_ERRORS = (ValueError, KeyError, TypeError, SyntaxError, EOFError, OverflowError, tokenize.TokenError)
_NUMBER_KINDS = "biuf"
_MAX_ITEM_BYTES = 8


class RasterDecodeError(DecodeError):
    """The bytes are not a whole raster of a supported kind."""


class UnsupportedRasterError(RasterDecodeError):
    """The bytes are sound, but what they hold is no raster of numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RasterHeader:
    """What the file of a raster says about itself: size in pixels, values to a pixel, and their dtype once decoded."""

    height: int
    width: int
    channels: int
    dtype: np.dtype[np.generic]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the decoded array."""
        return self.height, self.width, self.channels

    @property
    def num_bytes(self) -> int:
        """Bytes of the decoded array."""
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class _ArrayHeader:
    """The header of an NPY file: shape and dtype as written, whether columns come first, and where the values start."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    is_fortran: bool
    start: int


def read_raster_header(data: bytes) -> RasterHeader:
    """Read what a PNG or NPY file holds from its first bytes; nothing is decoded, nothing is allocated.

    Raises:
        UnsupportedRasterError: An array that is not [height, width] or [height, width, channels], or not of real numbers.
        RasterDecodeError: Neither PNG nor NPY, or a broken header.
    """
    if data.startswith(PNG_START):
        return _png_header(data)
    if not data.startswith(NPY_START):
        raise RasterDecodeError(f"The raster of {len(data)} bytes starts with {data[:6]!r}: neither PNG nor NPY.")
    written = _npy_header(data)
    height, width, channels = (*written.shape, 1)[:3]
    dtype = np.dtype(np.uint8) if written.dtype.kind == "b" else written.dtype.newbyteorder("=")
    return RasterHeader(height=height, width=width, channels=channels, dtype=dtype)


def decode_raster(data: bytes) -> Shaped[np.ndarray, "height width channels"]:
    """Decode a PNG or NPY file to exactly the values it holds, in their own dtype.

    PNG: 8 or 16 bits stay 8 or 16 bits, grey of fewer bits is not stretched to 0..255, a palette gives the places in the
    list of colours, alpha is one more channel. NPY: [height, width] gets a channel, [height, width, channels] stays as it
    is, truth values become 0 and 1, the byte order becomes the machine's. The result may be read-only memory of `data`.

    Raises:
        RasterDecodeError: The bytes are damaged, or no such raster.
    """
    header = read_raster_header(data)
    if data.startswith(NPY_START):
        return _decode_npy(data, header)
    try:
        values = _decode_deep_png(data) if _is_deep(data) else _decode_png(data)
    except _PNG_ERRORS as error:
        raise RasterDecodeError(f"The PNG file of {len(data)} bytes cannot be decoded: {error}.") from error
    if values.shape != header.shape or values.dtype != header.dtype:
        raise RasterDecodeError(
            f"The PNG file holds {values.shape} values of {values.dtype}; its header says {header}."
        )
    return values


def render_raster(
    values: Shaped[np.ndarray, "rows columns channels"], view: View, *, height: int, width: int
) -> Shaped[Tensor, "channels {view.size} {view.size}"]:
    """Carry out a view on a raster: of each pixel of the view, take the value at its centre, mirror.

    The centres are those of the antialiased resize of `render`, so a raster and its picture stay aligned to half a pixel.

    Args:
        values: The decoded raster, of any size and dtype; it shows the same as the picture, edge to edge.
        view: The look at the picture.
        height: Rows of the picture whose pixels the view counts in.
        width: Its columns.
    """
    rows = _nearest(view.top, view.height, count=view.size, whole=height, onto=values.shape[0])
    columns = _nearest(view.left, view.width, count=view.size, whole=width, onto=values.shape[1])
    if view.flip:
        columns = columns[::-1]
    return torch.from_numpy(values[rows].take(columns, axis=1)).permute(2, 0, 1)


def _nearest(start: int, length: int, *, count: int, whole: int, onto: int) -> npt.NDArray[np.int64]:
    """Return in which of `onto` pixels the centres of `count` equal parts of a span lie, `whole` pixels being the picture.

    In whole numbers, so that no rounding decides: pixel i covers i..i+1, part k of the span has its centre at
    start + (k + 1/2) * length / count.
    """
    assert 0 <= start < start + length <= whole, (start, length, whole)
    centres = 2 * count * start + (2 * np.arange(count, dtype=np.int64) + 1) * length
    return centres * onto // (2 * count * whole)


def _png_header(data: bytes) -> RasterHeader:
    if len(data) < _HEADER_END or data[12:16] != b"IHDR":
        raise RasterDecodeError(f"The PNG file of {len(data)} bytes has no header.")
    width, height, depth, colours = struct.unpack_from(">IIBB", data, 16)
    if depth not in _PNG_DEPTHS.get(colours, ()) or not width or not height:
        raise RasterDecodeError(
            f"The header of the PNG file makes no sense: {width} x {height} pixels of {depth} bits, colour type {colours}."
        )
    dtype = np.dtype(np.uint16 if depth == 16 else np.uint8)
    return RasterHeader(height=height, width=width, channels=_PNG_CHANNELS[colours], dtype=dtype)


def _is_deep(data: bytes) -> bool:
    """Tell whether a PNG has several channels of 16 bits, of which Pillow would keep 8."""
    depth, colours = data[24], data[25]
    return depth == 16 and colours != 0


def _decode_deep_png(data: bytes) -> npt.NDArray[np.generic]:
    planes = decode_png(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.UNCHANGED)
    values: npt.NDArray[np.generic] = planes.permute(1, 2, 0).contiguous().numpy()
    return values


def _decode_png(data: bytes) -> npt.NDArray[np.generic]:
    with warnings.catch_warnings(action="ignore"), Pillow.open(io.BytesIO(data), formats=("PNG",)) as picture:
        if picture.mode not in _PILLOW_MODES:
            raise RasterDecodeError(f"The PNG file decodes to pixels of mode '{picture.mode}', which are not exact.")
        values = np.array(picture)
    depth, colours = data[24], data[25]
    if colours == 0 and 1 < depth < 8:
        values //= 255 // (2**depth - 1)  # Pillow has stretched the 2 or 4 bits to 8
    return np.atleast_3d(values.astype(np.uint8) if values.dtype == np.bool_ else values)


def _npy_header(data: bytes) -> _ArrayHeader:
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, is_fortran, dtype = read(file)
    except _NPY_ERRORS as error:
        raise RasterDecodeError(f"The NPY file of {len(data)} bytes has a broken header: {error}.") from error
    if dtype.kind not in _NUMBER_KINDS or dtype.itemsize > _MAX_ITEM_BYTES:
        raise UnsupportedRasterError(f"The NPY file holds {dtype}; a raster holds real numbers of at most 64 bits.")
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise UnsupportedRasterError(
            f"The NPY file holds an array of shape {shape}; a raster is [height, width] or [height, width, channels]."
        )
    return _ArrayHeader(shape=shape, dtype=dtype, is_fortran=is_fortran, start=file.tell())


def _decode_npy(data: bytes, header: RasterHeader) -> npt.NDArray[np.generic]:
    written = _npy_header(data)
    found, wanted = len(data) - written.start, prod(written.shape) * written.dtype.itemsize
    if found != wanted:
        raise RasterDecodeError(f"The NPY file has {found} bytes of values; its header promises {wanted}.")
    values = np.frombuffer(data, dtype=written.dtype, offset=written.start)
    ordered = values.reshape(written.shape, order="F" if written.is_fortran else "C")
    return np.atleast_3d(ordered).astype(header.dtype, copy=False)
