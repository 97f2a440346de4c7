"""From stored picture files to model input: decode, render a view, normalise."""

import io
import struct

import numpy as np
import numpy.typing as npt
import simplejpeg
import torch
from einops import rearrange
from jaxtyping import Float, Shaped, UInt8
from PIL import Image as Pillow
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as torchvision

from pipelines.transforms.errors import DecodeError
from pipelines.views import ColourFactors, View

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of red, green and blue in [0, 1]."""

PILLOW_FORMATS = ("JPEG", "PNG", "WEBP")
"""What Pillow may try. Its other decoders are never given untrusted bytes."""

_JPEG_START = b"\xff\xd8\xff"
_PILLOW_ERRORS = (OSError, ValueError, SyntaxError, EOFError, struct.error, Pillow.DecompressionBombError)


class ImageDecodeError(DecodeError):
    """The bytes are not a whole picture of a supported kind."""


def decode_image(data: bytes) -> UInt8[np.ndarray, "height width 3"]:
    """Decode a JPEG, PNG or WebP file to RGB.

    JPEG is decoded in full, strictly: a truncated or damaged file is an error, never a half-grey picture. Grey becomes
    three equal channels, CMYK and palettes become RGB, 16-bit grey keeps its high byte, and what is transparent shows
    white. An EXIF orientation is not applied: stored pictures are upright.

    Raises:
        ImageDecodeError: The bytes are damaged, or not one of these formats.
    """
    if data.startswith(_JPEG_START):
        try:
            pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True)
            return pixels
        except ValueError as error:
            if not _is_rare_jpeg(data):
                raise ImageDecodeError(f"The JPEG file of {len(data)} bytes cannot be decoded: {error}.") from error
    return _decode_with_pillow(data)


def render(pixels: UInt8[np.ndarray, "height width 3"], view: View) -> UInt8[Tensor, "3 {view.size} {view.size}"]:
    """Carry out a view: crop, resize with antialiased bicubic interpolation, change colours, mirror.

    The one function that teachers and streams share, so that a stored target and the pixels it belongs to agree. The
    result may share memory with `pixels` and need not be contiguous.
    """
    bottom, right = view.top + view.height, view.left + view.width
    assert 0 <= view.top < bottom <= pixels.shape[0], (view, pixels.shape)
    assert 0 <= view.left < right <= pixels.shape[1], (view, pixels.shape)
    # A box without gaps in memory is resized a quarter faster, which more than pays for the copy.
    box = torch.from_numpy(np.ascontiguousarray(pixels[view.top : bottom, view.left : right]))
    # This runs for every picture: a plain permute saves a few per cent of decoding and rendering together.
    return _carried_out(box.permute(2, 0, 1), view)


def render_pixels(pixels: UInt8[Tensor, "3 height width"], view: View) -> UInt8[Tensor, "3 {view.size} {view.size}"]:
    """Carry out a view on a decoded picture on any device, as `render` does."""
    return _carried_out(pixels[:, view.top : view.top + view.height, view.left : view.left + view.width], view)


def _carried_out(box: UInt8[Tensor, "3 rows columns"], view: View) -> UInt8[Tensor, "3 {view.size} {view.size}"]:
    # The bare kernel, without the checks around it, is worth a few per cent too.
    resized: Tensor = torchvision.resize_image(
        box, [view.size, view.size], interpolation=InterpolationMode.BICUBIC, antialias=True
    )
    if view.colours is not None:
        resized = adjust_colours(resized, view.colours)
    return resized.flip(-1) if view.flip else resized


def adjust_colours(pixels: UInt8[Tensor, "3 height width"], colours: ColourFactors) -> UInt8[Tensor, "3 height width"]:
    """Change brightness, then contrast around the mean grey of the picture, then saturation, as torchvision does.

    Every step rounds down to whole numbers and stays within 0..255.
    """
    brighter = torchvision.adjust_brightness_image(pixels, colours.brightness)
    contrasted = torchvision.adjust_contrast_image(brighter, colours.contrast)
    adjusted: Tensor = torchvision.adjust_saturation_image(contrasted, colours.saturation)
    return adjusted


def normalise(images: Shaped[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
    """Map values in [0, 255], of any dtype, to float32 with the mean and standard deviation of ImageNet."""
    mean = rearrange(images.new_tensor(IMAGENET_MEAN, dtype=torch.float32), "channel -> channel 1 1")
    std = rearrange(images.new_tensor(IMAGENET_STD, dtype=torch.float32), "channel -> channel 1 1")
    return (images.float() - 255 * mean) / (255 * std)


def _is_rare_jpeg(data: bytes) -> bool:
    """Tell whether a JPEG is of a kind that only Pillow can turn into RGB: CMYK, or with an odd subsampling."""
    try:
        _, _, colours, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except KeyError:  # simplejpeg looks the subsampling up in a table of the usual ones
        return True
    except ValueError:
        return False
    return colours in ("CMYK", "YCCK")


def _decode_with_pillow(data: bytes) -> npt.NDArray[np.uint8]:
    try:
        with Pillow.open(io.BytesIO(data), formats=PILLOW_FORMATS) as picture:
            return _rgb(picture)
    except _PILLOW_ERRORS as error:
        raise ImageDecodeError(f"The file of {len(data)} bytes cannot be decoded: {error}.") from error


def _rgb(picture: Pillow.Image) -> npt.NDArray[np.uint8]:
    if picture.mode.startswith("I;16"):
        high_bytes = (np.asarray(picture) >> 8).astype(np.uint8)
        return np.repeat(high_bytes[:, :, None], 3, axis=2)
    if picture.has_transparency_data:
        above = picture.convert("RGBA")
        picture = Pillow.alpha_composite(Pillow.new("RGBA", above.size, "white"), above)
    elif picture.mode not in ("1", "L", "P", "RGB", "CMYK", "YCbCr"):
        raise ImageDecodeError(
            f"The {picture.format} file has pixels of mode '{picture.mode}', which is not supported."
        )
    return np.array(picture.convert("RGB"))
