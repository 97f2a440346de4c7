"""Pictures: from whatever a file holds to an upright 8-bit picture that every reader shows the same way.

A picture is stored unchanged (apart from stripped EXIF) unless something asks for a change: a size limit, an orientation,
transparency, CMYK, 16 bits, a palette, or a format that training does not read. What was lossless stays lossless (PNG),
what was JPEG or WebP becomes JPEG.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import simplejpeg
import torch
from PIL import Image, ImageCms, ImageOps
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from ingest.jpeg_segments import without_exif
from ingest.orientation import turned
from ingest.perceptual import contrast_of_grey, hash_of_grey, sampled_grey
from ingest.rejection import Rejection
from ingest.settings import Check, Filters, IngestSettings
from ingest.stored import StoredField
from shards.image_header import (
    ALLOWED_FORMATS,
    ImageHeader,
    OversizedImageError,
    UnreadableImageError,
    read_image_header,
)
from shards.schema import RejectReason

Pixels = npt.NDArray[np.uint8]

_STORED_FORMATS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
_NOT_LOOKED_AT: Mapping[str, None] = {"phash": None, "contrast": None}
"""Facts of a picture that was not decoded."""
_PLAIN_MODES = ("RGB", "L")
_LOSSY_FORMATS = ("JPEG", "WEBP")
_REFUSED_MODES = ("F", "I", "LAB", "HSV", "YCbCr")
_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
_DECODE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    KeyError,
    IndexError,
    TypeError,
)
_HARMLESS_COMPLAINTS = ("extraneous bytes before marker", "bad ICC marker", "subsampling level")
"""What is complained of although every pixel is sound: bytes between segments, a broken profile, rare subsampling."""
_KNOWN_BUT_REFUSED = {
    b"8BPS": "PSD",
    b"%!PS": "EPS",
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"\x00\x00\x00\x0cjP": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"SIMPLE": "FITS",
}


def store_image(data: bytes, name: str, settings: IngestSettings) -> StoredField:
    """Turn the bytes of a picture file into the field `name`.

    Raises:
        Rejection: The bytes are no picture of a format that is read, damaged, too large, animated, or hold pixels that
            have no 8-bit meaning; or a filter refuses the picture.
    """
    header = _checked_header(data, settings)
    check_size(header.width, header.height, settings.filters)
    if _can_stay(header, settings):
        kept = without_exif(data) if header.format == "JPEG" else data
        if settings.check is Check.HEADER:
            return _field(name, kept, _STORED_FORMATS[header.format], header.width, header.height, _NOT_LOOKED_AT)
        pixels = _decode_untouched(kept, header)
        if pixels is not None:
            facts = look_facts(pixels, settings.filters)
            return _field(name, kept, _STORED_FORMATS[header.format], header.width, header.height, facts)
    pixels = shrink(_decode(data, header, settings), settings.image_size)
    facts = look_facts(pixels, settings.filters)
    stored, extension = _encode(pixels, header, settings)
    facts |= {"orientation": header.orientation}
    return _field(name, stored, extension, pixels.shape[1], pixels.shape[0], facts)


def _field(
    name: str, data: bytes, extension: str, width: int, height: int, look: Mapping[str, int | float | None]
) -> StoredField:
    facts = {
        "format": {"jpg": "jpeg"}.get(extension, extension),
        "width": width,
        "height": height,
        "orientation": 1,
        **look,
    }
    return StoredField(name=name, kind="image", data=data, extension=extension, facts=facts)


def check_size(width: int, height: int, filters: Filters) -> None:
    """Refuse a picture or a video by its size in pixels.

    Raises:
        Rejection: It is smaller than wanted, or too long and narrow.
    """
    if filters.min_side is not None and min(width, height) < filters.min_side:
        raise Rejection(
            RejectReason.TOO_SMALL, f"{width}x{height}; the shorter side must have {filters.min_side} pixels"
        )
    if filters.max_aspect is not None and max(width, height) > filters.max_aspect * min(width, height):
        raise Rejection(RejectReason.TOO_NARROW, f"{width}x{height}; at most 1 to {filters.max_aspect:g} is wanted")


def look_facts(pixels: Pixels, filters: Filters) -> dict[str, int | float]:
    """Return what a picture looks like, for the index: perceptual hash and contrast.

    Raises:
        Rejection: It is blank.
    """
    grey = sampled_grey(pixels)
    contrast = contrast_of_grey(grey)
    if filters.blank_contrast is not None and contrast < filters.blank_contrast:
        raise Rejection(
            RejectReason.BLANK_PICTURE,
            f"grey levels have a standard deviation of {contrast:.2f}; the least is {filters.blank_contrast:g}",
        )
    return {"phash": hash_of_grey(grey), "contrast": contrast}


def _checked_header(data: bytes, settings: IngestSettings) -> ImageHeader:
    if not data:
        raise Rejection(RejectReason.EMPTY_FILE, "the file has no bytes")
    for magic, name in _KNOWN_BUT_REFUSED.items():
        if data.startswith(magic):
            raise Rejection(
                RejectReason.UNSUPPORTED_FORMAT, f"{name} is not read; formats are {', '.join(ALLOWED_FORMATS)}"
            )
    try:
        header = read_image_header(data)
    except OversizedImageError as error:
        raise Rejection(RejectReason.TOO_MANY_PIXELS, str(error)) from error
    except UnreadableImageError as error:
        starts = f"; the file starts with {data[:8].hex(' ')}"
        reason = RejectReason.CORRUPT_IMAGE if "broken" in str(error) else RejectReason.UNKNOWN_FORMAT
        raise Rejection(reason, f"{error}{starts}") from error
    pixels = header.width * header.height
    if pixels > settings.limits.pixels:
        raise Rejection(
            RejectReason.TOO_MANY_PIXELS, f"{header.width}x{header.height} is over {settings.limits.pixels} pixels"
        )
    if pixels == 0:
        raise Rejection(RejectReason.CORRUPT_IMAGE, f"{header.width}x{header.height} pixels")
    if header.frames > 1:
        raise Rejection(RejectReason.MULTIPLE_FRAMES, f"{header.frames} frames; a still picture has one")
    if header.mode in _REFUSED_MODES:
        raise Rejection(RejectReason.UNSUPPORTED_PIXELS, f"pixels of mode {header.mode} have no 8-bit meaning")
    return header


def _can_stay(header: ImageHeader, settings: IngestSettings) -> bool:
    is_small = settings.image_size is None or min(header.width, header.height) <= settings.image_size
    is_plain = header.mode in _PLAIN_MODES and not header.has_alpha and header.orientation == 1
    is_plain = is_plain and not header.has_sixteen_bits
    must_strip = header.has_camera_data and header.format != "JPEG"  # a JPEG's is cut out without touching the pixels
    return is_small and is_plain and not must_strip and header.format in _STORED_FORMATS


def _decode_untouched(data: bytes, header: ImageHeader) -> Pixels | None:
    """Return the pixels if every decoder takes the file as it is; one that only a lenient decoder takes is encoded again.

    Raises:
        Rejection: The file is damaged.
    """
    if header.format == "JPEG":
        return _decode_jpeg(data, header, image_size=None)
    with _open(data) as image:
        return np.asarray(image)


def _decode(data: bytes, header: ImageHeader, settings: IngestSettings) -> Pixels:
    is_plain_jpeg = header.format == "JPEG" and header.mode in _PLAIN_MODES and not _needs_colour_conversion(header)
    pixels = _decode_jpeg(data, header, image_size=settings.image_size) if is_plain_jpeg else None
    if pixels is not None:
        return turned(pixels, header.orientation)
    with _open(data) as image, warnings.catch_warnings(action="ignore"):
        try:
            return np.array(_eight_bit(_transposed(image), header))
        except _DECODE_ERRORS as error:
            raise Rejection(RejectReason.CORRUPT_IMAGE, f"{type(error).__name__}: {error}") from error


def _transposed(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; one in a broken EXIF block counts as none, as for the header."""
    try:
        return ImageOps.exif_transpose(image)
    except _DECODE_ERRORS:
        return image


def _decode_jpeg(data: bytes, header: ImageHeader, *, image_size: int | None) -> Pixels | None:
    """Decode a grey or colour JPEG strictly, or return None if only a lenient decoder takes it and no pixel is at risk.

    Far larger pictures are decoded at 1/2, 1/4 or 1/8 of their size, in the transform domain, if at least twice the wanted
    size is left; the exact resize that follows then decides the pixels.

    Raises:
        Rejection: libjpeg warns of damage: cut off, a broken scan.
    """
    divisor = _decode_divisor(min(header.width, header.height), image_size)
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(
            data,
            colorspace="GRAY" if header.mode == "L" else "RGB",
            min_height=-(-header.height // divisor) if divisor > 1 else 0,
            min_width=-(-header.width // divisor) if divisor > 1 else 0,
            min_factor=1,
        )
    except ValueError as error:
        if any(complaint in str(error) for complaint in _HARMLESS_COMPLAINTS):
            return None
        raise Rejection(RejectReason.CORRUPT_IMAGE, str(error)) from error
    return pixels


def _decode_divisor(shorter_side: int, image_size: int | None) -> int:
    if image_size is None:
        return 1
    return next((divisor for divisor in (8, 4, 2) if shorter_side // divisor >= 2 * image_size), 1)


def _open(data: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings(action="ignore"):
            image = Image.open(io.BytesIO(data), formats=ALLOWED_FORMATS)
            if image.format == "PNG":
                image.verify()  # decoding does not look at the checksums: one flipped bit in ten would go unnoticed
                image = Image.open(io.BytesIO(data), formats=ALLOWED_FORMATS)
            image.load()
    except _DECODE_ERRORS as error:
        raise Rejection(RejectReason.CORRUPT_IMAGE, f"{type(error).__name__}: {error}") from error
    return image


def _eight_bit(image: Image.Image, header: ImageHeader) -> Image.Image:
    """Return the picture as RGB or grey with 8 bits a channel: transparency over white, 16 bits scaled, sRGB colours."""
    if image.mode in _SIXTEEN_BIT_MODES:
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode == "1":
        return image.convert("L")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    if _needs_colour_conversion(header):
        return _to_srgb(image, header)
    return image if image.mode in _PLAIN_MODES else image.convert("RGB")


def _needs_colour_conversion(header: ImageHeader) -> bool:
    return header.icc_profile is not None and header.mode in ("RGB", "CMYK") and b"sRGB" not in header.icc_profile


def _to_srgb(image: Image.Image, header: ImageHeader) -> Image.Image:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(header.icc_profile or b""))
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        # A broken profile says nothing about the colours; without one, the standard conversion is what viewers show.
        return image.convert("RGB")
    return converted if converted is not None else image.convert("RGB")


def shrink(pixels: Pixels, image_size: int | None) -> Pixels:
    """Make the shorter side `image_size` pixels with an antialiased bicubic filter, if it is longer."""
    height, width = pixels.shape[:2]
    if image_size is None or min(height, width) <= image_size:
        return pixels
    scale = image_size / min(height, width)
    size = [max(image_size, round(height * scale)), max(image_size, round(width * scale))]
    planes = torch.from_numpy(np.atleast_3d(pixels)).permute(2, 0, 1)
    small = resize(planes, size, interpolation=InterpolationMode.BICUBIC, antialias=True)
    return np.ascontiguousarray(small.permute(1, 2, 0).numpy())


def _encode(pixels: Pixels, header: ImageHeader, settings: IngestSettings) -> tuple[bytes, str]:
    """Return the encoded picture and its extension: lossless stays lossless."""
    if header.format in _LOSSY_FORMATS:
        return encode_jpeg(pixels, settings.jpeg_quality), "jpg"
    pixels = np.atleast_3d(pixels)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue(), "png"


def encode_jpeg(pixels: Pixels, quality: int) -> bytes:
    """Encode uint8 pixels [height, width] or [height, width, 1 or 3] as a JPEG with halved colour resolution."""
    pixels = np.atleast_3d(pixels)
    is_grey = pixels.shape[2] == 1
    data: bytes = simplejpeg.encode_jpeg(
        pixels,
        quality=quality,
        colorspace="GRAY" if is_grey else "RGB",
        colorsubsampling="Gray" if is_grey else "420",
    )
    return data
