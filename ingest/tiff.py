"""TIFF rasters: any number of bands, pages and bits, by tifffile; LZW and PackBits by Pillow where it keeps the values."""

from __future__ import annotations

import io
import logging
import math
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from ingest.rejection import Rejection
from pipelines.transforms.raster import RasterHeader
from shards.schema import RejectReason

Values = npt.NDArray[np.generic]

TIFF_STARTS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")

# tifffile logs every oddity of a hostile file; what matters of it is in the reason of the rejection.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_UNCOMPRESSED = 1
_DEFLATE = (8, 32946)
_BY_PILLOW = (5, 32773)
"""LZW and PackBits, for which tifffile needs a library of codecs."""
_PILLOW_DTYPES = ("uint8", "uint16", "float32")
_BLACK_IS_ZERO, _RGB, _PALETTE = 1, 2, 3
_NO_PREDICTOR, _DIFFERENCES = 1, 2
_REDUCED, _MASK = 1, 4
"""Bits of a page's subfile type: a smaller copy for viewers, a mask of what is valid."""
_NUMBER_KINDS = "iuf"
_ROOMY = 1 << 24
"""Bytes that one strip or tile may take even if the whole raster is smaller."""
_ERRORS = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
    RuntimeError,
    OSError,
    SyntaxError,
    struct.error,
    zlib.error,
)


def open_tiff(data: bytes, kind: str) -> tuple[RasterHeader, Callable[[], Values]]:
    """Read the header of a TIFF, and return it with what decodes the rest.

    The samples of a page and the pages of a file are the channels, in this order; smaller copies and masks are left out.
    Tags of places and projections are ignored.

    Args:
        data: The file.
        kind: `raster`, or `ids` for one whose palette may be left aside.

    Raises:
        Rejection: Damaged, of a compression that needs more libraries, or of values that are no plain numbers.
    """
    try:
        pages = _pages(data)
        for page in pages:
            _require_plain(page, kind)
            _require_same(page, pages[0])
        header = RasterHeader(
            height=pages[0].imagelength,
            width=pages[0].imagewidth,
            channels=sum(page.samplesperpixel for page in pages),
            dtype=np.dtype(pages[0].dtype),
        )
    except _ERRORS as error:
        raise _damaged(error) from error
    return header, lambda: _decode(data, pages, header)


def _pages(data: bytes) -> list[tifffile.TiffPage]:
    """Return the pages that hold bands, in order."""
    file = tifffile.TiffFile(io.BytesIO(data))
    pages = [page for page in file.pages if isinstance(page, tifffile.TiffPage)]
    bands = [page for page in pages if not page.subfiletype & (_REDUCED | _MASK)]
    if not bands:
        raise Rejection(RejectReason.CORRUPT_IMAGE, "the TIFF has no page")
    promised = (file.imagej_metadata or {}).get("images", 1) if file.is_imagej else 1
    if promised > len(pages):
        raise _unsupported(f"ImageJ says there are {promised} pages, but describes {len(pages)}; save every page")
    return bands


def _require_plain(page: tifffile.TiffPage, kind: str) -> None:
    """Raise Rejection unless a page holds plain numbers in a form that can be decoded exactly."""
    if not page.nbytes or not all(isinstance(side, int) for side in page.chunks):
        raise Rejection(RejectReason.CORRUPT_IMAGE, f"a TIFF page of shape {page.shape} makes no sense")
    if page.dtype is None or page.dtype.kind not in _NUMBER_KINDS or page.bitspersample != 8 * page.dtype.itemsize:
        raise _unsupported(f"values of {page.bitspersample} bits, {page.sampleformat!r}")
    if page.axes not in ("YX", "YXS", "SYX"):
        raise _unsupported(f"axes {page.axes}; a raster has rows, columns and bands")
    if page.photometric == _PALETTE and kind != "ids":
        raise _unsupported("a palette: its numbers are places in a list of colours; ingest it as ids")
    if page.compression != _UNCOMPRESSED and page.compression not in (*_DEFLATE, *_BY_PILLOW):
        raise _unreadable(page)
    if page.predictor not in (_NO_PREDICTOR, _DIFFERENCES) and page.compression not in _BY_PILLOW:
        raise _unreadable(page)
    if _segment_bytes(page) > max(page.nbytes, _ROOMY):
        raise Rejection(RejectReason.CORRUPT_IMAGE, f"strips or tiles of {page.chunks} in a TIFF of {page.shape}")


def _require_same(page: tifffile.TiffPage, first: tifffile.TiffPage) -> None:
    shape, wanted = (page.imagelength, page.imagewidth), (first.imagelength, first.imagewidth)
    if shape != wanted or page.dtype != first.dtype:
        raise _unsupported(f"pages that differ: {shape} of {page.dtype} beside {wanted} of {first.dtype}")


def _decode(data: bytes, pages: list[tifffile.TiffPage], header: RasterHeader) -> Values:
    try:
        if pages[0].compression in _BY_PILLOW:
            return _decode_with_pillow(data, pages, header)
        return np.concatenate([_decode_page(data, page) for page in pages], axis=2)
    except _ERRORS as error:
        raise _damaged(error) from error


def _decode_page(data: bytes, page: tifffile.TiffPage) -> Values:
    """Decode a page to [height, width, samples], after making sure that tifffile will not fill gaps in."""
    segments = list(zip(page.dataoffsets, page.databytecounts, _needed_bytes(page), strict=True))
    for offset, size, needed in segments:
        segment = data[offset : offset + size] if offset > 0 else b""
        if page.compression in _DEFLATE:
            most = _segment_bytes(page)
            found = len(zlib.decompressobj().decompress(segment, most + 1))
            is_whole = needed <= found <= most
        else:
            is_whole = needed <= len(segment)
        if not is_whole:
            raise Rejection(
                RejectReason.CORRUPT_IMAGE, f"a strip or tile at byte {offset} lacks values or has too many"
            )
    values = page.asarray(maxworkers=1)
    return np.moveaxis(values, 0, -1) if page.axes == "SYX" else np.atleast_3d(values)


def _segment_bytes(page: tifffile.TiffPage) -> int:
    """Return how many bytes a whole strip or tile decodes to."""
    return math.prod(page.chunks) * page.bitspersample // 8


def _needed_bytes(page: tifffile.TiffPage) -> Iterator[int]:
    """Yield how many bytes each strip or tile has to decode to, at least."""
    whole = _segment_bytes(page)
    rows = page.chunks[0]
    per_plane = math.prod(page.chunked) // (page.samplesperpixel if page.axes == "SYX" else 1)
    for number in range(math.prod(page.chunked)):
        left = page.imagelength - rows * (number % per_plane)
        yield whole if page.is_tiled else whole // rows * min(rows, left)


def _decode_with_pillow(data: bytes, pages: list[tifffile.TiffPage], header: RasterHeader) -> Values:
    if len(pages) > 1 or pages[0].photometric not in (_BLACK_IS_ZERO, _RGB, _PALETTE) or header.channels not in (1, 3):
        raise _unreadable(pages[0])
    if header.dtype.name not in _PILLOW_DTYPES or (header.channels == 3 and header.dtype != np.uint8):
        raise _unreadable(pages[0])
    with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=("TIFF",)) as picture:
        values = np.atleast_3d(np.array(picture))
    if values.shape != header.shape or values.dtype.newbyteorder("=") != header.dtype.newbyteorder("="):
        raise _unreadable(pages[0])
    return values


def _unreadable(page: tifffile.TiffPage) -> Rejection:
    how = f"compression {page.compression!r}, predictor {page.predictor!r}"
    return Rejection(
        RejectReason.UNSUPPORTED_FORMAT, f"TIFF with {how} is not read; save it without compression or with deflate"
    )


def _unsupported(what: str) -> Rejection:
    return Rejection(RejectReason.UNSUPPORTED_PIXELS, f"a TIFF with {what}")


def _damaged(error: Exception) -> Rejection:
    return Rejection(RejectReason.CORRUPT_IMAGE, f"broken TIFF: {type(error).__name__}: {error}")
