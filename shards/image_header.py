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


class UnreadableImageError(ValueError):
    """The bytes are no image of an allowed format, or their header is broken."""


class OversizedImageError(UnreadableImageError):
    """The header claims more pixels than any sane picture has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """Facts of an image file before decoding: format, size in pixels, mode, EXIF orientation 1-8, number of frames."""

    format: str
    width: int
    height: int
    mode: str
    orientation: int
    frames: int
    has_exif: bool
    has_alpha: bool
    icc_profile: bytes | None


def read_image_header(data: bytes) -> ImageHeader:
    """Read the header of an encoded image; no pixel is decoded, so a decompression bomb costs nothing.

    Raises:
        OversizedImageError: More than about 179 million pixels (Pillow's own limit).
        UnreadableImageError: Not an image of an allowed format, or a broken header.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=ALLOWED_FORMATS) as image:
            return ImageHeader(
                format=str(image.format),
                width=image.width,
                height=image.height,
                mode=image.mode,
                orientation=_orientation(image),
                frames=getattr(image, "n_frames", 1),
                has_exif="exif" in image.info or (image.format == "TIFF"),
                has_alpha=image.has_transparency_data,
                icc_profile=image.info.get("icc_profile"),
            )
    except UnidentifiedImageError:
        raise UnreadableImageError("no image of a format that is read (JPEG, PNG, WebP, TIFF, BMP, GIF, PPM)") from None
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, KeyError, TypeError, IndexError) as error:
        raise UnreadableImageError(f"broken header: {type(error).__name__}: {error}") from error
    except Image.DecompressionBombError as error:
        raise OversizedImageError(str(error)) from error


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
