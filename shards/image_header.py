"""What an image file says about itself in its first bytes, read without decoding a pixel."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

ALLOWED_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""Formats that are opened at all. Everything else (EPS, PSD, FITS, ...) is refused by name, unparsed."""

_ORIENTATION_TAG = 0x0112
_MAGIC_BYTES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF", b"II*\x00", b"MM\x00*")
_PNG_BIT_DEPTH = 24
_JPEG_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive
_JPEG_PLAIN_SEGMENTS = frozenset({0xC4, 0xDB, 0xDD, 0xE0, 0xFE})  # tables, restart interval, JFIF, comment
_MODES = {1: "L", 3: "RGB"}
_PNG_CAMERA_DATA = (b"eXIf", b"XML:com.adobe.xmp", b"Raw profile type")


class UnreadableImageError(ValueError):
    """The bytes are no image of an allowed format, or their header is broken."""


class OversizedImageError(UnreadableImageError):
    """The header claims more pixels than any sane picture has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """Facts of an image file before decoding: format, size in pixels, mode, EXIF orientation 1-8, number of frames.

    A camera's multi-picture file (a JPEG with previews or depth maps behind the photograph) is the JPEG of its photograph.
    """

    format: str
    width: int
    height: int
    mode: str
    orientation: int
    frames: int
    has_camera_data: bool
    has_alpha: bool
    has_sixteen_bits: bool
    icc_profile: bytes | None


def read_image_header(data: bytes) -> ImageHeader:
    """Read the header of an encoded image; no pixel is decoded, so a decompression bomb costs nothing.

    Raises:
        OversizedImageError: More than about 179 million pixels (Pillow's own limit).
        UnreadableImageError: Not an image of an allowed format, or a broken header.
    """
    plain = _plain_jpeg_header(data)
    if plain is not None:
        return plain
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=ALLOWED_FORMATS) as image:
            is_multi_picture = image.format == "MPO"
            return ImageHeader(
                format="JPEG" if is_multi_picture else str(image.format),
                width=image.width,
                height=image.height,
                mode=image.mode,
                orientation=_orientation(image),
                frames=1 if is_multi_picture else getattr(image, "n_frames", 1),
                has_camera_data=_has_camera_data(image, data),
                has_alpha=image.has_transparency_data,
                has_sixteen_bits=image.format == "PNG" and data[_PNG_BIT_DEPTH] == 16,
                icc_profile=image.info.get("icc_profile"),
            )
    except UnidentifiedImageError:
        if data.startswith(_MAGIC_BYTES):
            raise UnreadableImageError("broken header: it starts like a picture and then makes no sense") from None
        raise UnreadableImageError("no image of a format that is read (JPEG, PNG, WebP, TIFF, BMP, GIF, PPM)") from None
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, KeyError, TypeError, IndexError) as error:
        raise UnreadableImageError(f"broken header: {type(error).__name__}: {error}") from error
    except Image.DecompressionBombError as error:
        raise OversizedImageError(str(error)) from error


def _plain_jpeg_header(data: bytes) -> ImageHeader | None:
    """Read the header of a JPEG that has nothing but a picture in it, ten times faster than a decoder library.

    Returns None for everything else (EXIF, profiles, several pictures, CMYK, more than 8 bits, damage), to be read with care.
    """
    if not data.startswith(b"\xff\xd8"):
        return None
    place = 2
    while place + 10 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker in _JPEG_FRAMES:
            precision, height, width, channels = struct.unpack_from(">BHHB", data, place + 4)
            is_plain = precision == 8 and channels in _MODES and width and height
            return _plain_jpeg(width, height, _MODES[channels]) if is_plain else None
        if marker not in _JPEG_PLAIN_SEGMENTS:
            return None
        place += 2 + length
    return None


def _plain_jpeg(width: int, height: int, mode: str) -> ImageHeader:
    return ImageHeader(
        format="JPEG",
        width=width,
        height=height,
        mode=mode,
        orientation=1,
        frames=1,
        has_camera_data=False,
        has_alpha=False,
        has_sixteen_bits=False,
        icc_profile=None,
    )


def _has_camera_data(image: Image.Image, data: bytes) -> bool:
    """Tell whether a file may hold EXIF or XMP: where, when and with which camera a picture was taken."""
    if image.format == "PNG":
        return any(mark in data for mark in _PNG_CAMERA_DATA)  # these chunks may stand behind the pixels, unread so far
    return image.format == "TIFF" or "exif" in image.info or "xmp" in image.info


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) where there is none or it makes no sense."""
    if "exif" not in image.info and image.format != "TIFF":
        return 1
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except (OSError, ValueError, SyntaxError, struct.error, TypeError, KeyError):
        # Cameras and editors write broken EXIF blocks around sound pictures; the picture is what is ingested.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
