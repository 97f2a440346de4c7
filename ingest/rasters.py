"""Rasters (depth, segments, bands of a satellite): from whatever a file holds to a file with exactly the same values.

Nothing is scaled, resized, turned or mixed: 16 bits stay 16, a palette of ids gives the ids, NaN stays NaN. One channel of
8 or 16 unsigned bits is stored as PNG, everything else as an NPY file [height, width, channels], little-endian, row by row.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from ingest.netpbm import NETPBM_STARTS, open_netpbm
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import IngestSettings, Limits
from ingest.stored import StoredField
from ingest.tiff import TIFF_STARTS, open_tiff
from pipelines.transforms.raster import (
    NPY_START,
    PALETTE,
    PNG_START,
    RasterDecodeError,
    RasterHeader,
    UnsupportedRasterError,
    decode_raster,
    read_raster_header,
)
from shards.image_header import UnreadableImageError, read_image_header
from shards.schema import RejectReason

Values = npt.NDArray[np.generic]
Opened = tuple[RasterHeader, Callable[[], Values]]
"""What a file says about itself, and what decodes it."""

_JPEG_START = b"\xff\xd8\xff"
_KNOWN_BUT_REFUSED = {
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"BM": "BMP",
    b"v/1\x01": "OpenEXR",
    b"\x89HDF": "HDF5",
    b"CDF": "NetCDF",
    b"PK\x03\x04": "zip",
    b"\x00\x00\x00\x0cjP": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"P1": "PBM",
    b"P2": "PGM in text",
    b"P3": "PPM in text",
    b"P4": "PBM",
    b"P7": "PAM",
}
_FORMATS = "PNG, TIFF, NPY, PGM, PPM, PFM, and JPEG for what is not ids"
_PNG_COMPRESSION = 6
_DEPTH_BYTE, _COLOURS_BYTE = 24, 25
_GREY = 0
_PLAIN_CHUNKS = frozenset({b"IHDR", b"IDAT", b"IEND", b"pHYs", b"gAMA", b"sRGB", b"cHRM", b"sBIT"})
"""Chunks of a PNG that tell nothing about who made it, when and where."""


def store_raster(raw: Raw, name: str, kind: str, settings: IngestSettings) -> list[StoredField]:
    """Turn a raster file into what is stored; the format is told by the first bytes, not by the name.

    Read are PNG of any depth and colours, TIFF (see `ingest.tiff`), NPY, PGM, PPM and PFM (see `ingest.netpbm`), and JPEG
    unless the numbers are ids. An NPY array is [height, width] or [height, width, channels]; one whose first axis is
    shorter than both others has its channels in front and is refused, because read as it stands it would be wrong.

    Args:
        raw: The file.
        name: Name of the field.
        kind: `raster` for measured numbers, `ids` for numbers that are names.
        settings: `limits.raster_bytes` bounds the file and the decoded values, `limits.pixels` rows times columns.

    Raises:
        Rejection: Damaged, too large, not of these formats, or not of real numbers.
    """
    if raw.size > settings.limits.raster_bytes:
        raise Rejection(RejectReason.TOO_MANY_BYTES, f"{raw.size} bytes is over {settings.limits.raster_bytes}")
    data = raw.read()
    try:
        header, decode = _open(data, kind)
        _require_within(header, settings.limits)
        if kind == "ids" and header.dtype.kind == "f":
            raise Rejection(RejectReason.UNSUPPORTED_PIXELS, f"values of {header.dtype.name}; ids are whole numbers")
        values = decode()
    except UnsupportedRasterError as error:
        raise Rejection(RejectReason.UNSUPPORTED_PIXELS, str(error)) from error
    except RasterDecodeError as error:
        is_array = data.startswith(NPY_START)
        raise Rejection(RejectReason.CORRUPT_ARRAY if is_array else RejectReason.CORRUPT_IMAGE, str(error)) from error
    if kind == "ids":
        _require_countable(values)
    return [_stored(values.astype(values.dtype.newbyteorder("="), copy=False), data, name, kind)]


def _open(data: bytes, kind: str) -> Opened:
    """Read the header of a file of any format."""
    if data.startswith(PNG_START):
        return _open_png(data, kind)
    if data.startswith(TIFF_STARTS):
        return open_tiff(data, kind)
    if data.startswith(NPY_START):
        return _open_npy(data)
    if data.startswith(NETPBM_STARTS):
        return open_netpbm(data)
    if data.startswith(_JPEG_START):
        return _open_jpeg(data, kind)
    raise _not_read(data)


def _not_read(data: bytes) -> Rejection:
    if not data:
        return Rejection(RejectReason.EMPTY_FILE, "the file has no bytes")
    for start, name in _KNOWN_BUT_REFUSED.items():
        if data.startswith(start):
            return Rejection(RejectReason.UNSUPPORTED_FORMAT, f"{name} is not read as a raster; formats are {_FORMATS}")
    return Rejection(
        RejectReason.UNKNOWN_FORMAT,
        f"no raster of a format that is read ({_FORMATS}); it starts with {data[:8].hex(' ')}",
    )


def _require_within(header: RasterHeader, limits: Limits) -> None:
    size = f"{header.width}x{header.height}x{header.channels} of {header.dtype.name}"
    if header.width * header.height > limits.pixels:
        raise Rejection(RejectReason.TOO_MANY_PIXELS, f"{size} is over {limits.pixels} pixels")
    if header.num_bytes > limits.raster_bytes:
        raise Rejection(RejectReason.TOO_MANY_BYTES, f"{size} decodes to over {limits.raster_bytes} bytes")


def _require_countable(values: Values) -> None:
    """Raise Rejection unless all ids fit into the 64-bit integers that training counts in."""
    if values.dtype == np.uint64 and values.max() > np.iinfo(np.int64).max:
        raise Rejection(RejectReason.UNSUPPORTED_PIXELS, f"an id of {values.max()}; the largest one is 2^63 - 1")


def _open_png(data: bytes, kind: str) -> Opened:
    header = read_raster_header(data)
    if data[_COLOURS_BYTE] == PALETTE and kind != "ids":
        raise Rejection(
            RejectReason.UNSUPPORTED_PIXELS,
            "a PNG with a palette: its numbers are places in a list of colours; ingest it as ids",
        )
    if b"acTL" in _chunk_names(data):
        raise Rejection(RejectReason.MULTIPLE_FRAMES, "an animated PNG; a raster is one picture")
    return header, lambda: decode_raster(data)


def _chunk_names(data: bytes) -> set[bytes]:
    """Return the kinds of chunks of a PNG, each checked against its checksum, which decoders do not look at.

    Raises:
        Rejection: Cut off, or a flipped bit.
    """
    names: set[bytes] = set()
    place, view = len(PNG_START), memoryview(data)
    while b"IEND" not in names:
        end = place + 8 + int.from_bytes(view[place : place + 4], "big")
        if end + 4 > len(data) or zlib.crc32(view[place + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise Rejection(RejectReason.CORRUPT_IMAGE, f"the PNG is cut off or damaged in the chunk at byte {place}")
        names.add(bytes(view[place + 4 : place + 8]))
        place = end + 4
    return names


def _open_npy(data: bytes) -> Opened:
    header = read_raster_header(data)
    if header.height < min(header.width, header.channels):
        raise Rejection(
            RejectReason.UNSUPPORTED_PIXELS,
            f"an array of shape {header.shape} would be a raster of {header.height} rows and {header.channels} channels; "
            "store its channels in the last axis",
        )
    return header, lambda: decode_raster(data)


def _open_jpeg(data: bytes, kind: str) -> Opened:
    if kind == "ids":
        raise Rejection(
            RejectReason.UNSUPPORTED_FORMAT, "JPEG changes values, and ids must not change; store them as PNG"
        )
    try:
        found = read_image_header(data)
    except UnreadableImageError as error:
        raise Rejection(RejectReason.CORRUPT_IMAGE, str(error)) from error
    if found.mode not in ("L", "RGB") or found.orientation != 1:
        raise Rejection(
            RejectReason.UNSUPPORTED_PIXELS,
            f"a JPEG of mode {found.mode} and orientation {found.orientation} as a raster",
        )
    grey = found.mode == "L"
    header = RasterHeader(height=found.height, width=found.width, channels=1 if grey else 3, dtype=np.dtype(np.uint8))
    return header, lambda: _decode_jpeg(data, "GRAY" if grey else "RGB")


def _decode_jpeg(data: bytes, colours: str) -> Values:
    try:
        pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace=colours, strict=True)
    except ValueError as error:
        raise Rejection(RejectReason.CORRUPT_IMAGE, str(error)) from error
    return pixels


def _stored(values: Values, data: bytes, name: str, kind: str) -> StoredField:
    height, width, channels = values.shape
    fits_png = channels == 1 and values.dtype in (np.uint8, np.uint16)
    return StoredField(
        name=name,
        kind=kind,
        data=_png(values, data) if fits_png else _npy(values),
        extension="png" if fits_png else "npy",
        facts={"width": width, "height": height, "channels": channels, "dtype": values.dtype.name},
    )


def _png(values: Values, data: bytes) -> bytes:
    """Return the values as a PNG file: the file itself, where it is one that holds nothing else."""
    if data.startswith(PNG_START) and data[_COLOURS_BYTE] == _GREY and data[_DEPTH_BYTE] >= 8:
        end = data.rindex(b"IEND") + 8
        if _chunk_names(data) <= _PLAIN_CHUNKS and end == len(data):
            return data
    buffer = io.BytesIO()
    Image.fromarray(values[..., 0]).save(buffer, format="PNG", compress_level=_PNG_COMPRESSION)
    return buffer.getvalue()


def _npy(values: Values) -> bytes:
    buffer = io.BytesIO()
    array = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()
