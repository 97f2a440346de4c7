import io
from dataclasses import replace

import numpy as np
import pytest
import simplejpeg
import torch
from PIL import Image as Pillow
from torchvision.transforms.v2 import functional

from pipelines.transforms.image import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageDecodeError,
    adjust_colours,
    decode_image,
    normalise,
    render,
)
from pipelines.views import ColourFactors, View

WHOLE = View(top=0, left=0, height=60, width=80, flip=False, size=32)


def picture(height: int = 60, width: int = 80) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [128 + 100 * np.sin(rows / 7 + k) * np.cos(columns / (5 + k)) for k in range(3)]
    return np.stack(waves, axis=-1).astype(np.uint8)


def encoded(pixels: np.ndarray, kind: str, mode: str | None = None, **options: object) -> bytes:
    image = Pillow.fromarray(pixels)
    buffer = io.BytesIO()
    (image if mode is None else image.convert(mode)).save(buffer, kind, **options)
    return buffer.getvalue()


def test_jpeg_pixels_are_those_of_libjpeg() -> None:
    data = simplejpeg.encode_jpeg(picture(), quality=90)
    np.testing.assert_array_equal(decode_image(data), simplejpeg.decode_jpeg(data))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_lossless_pictures_come_back_as_they_were(kind: str) -> None:
    np.testing.assert_array_equal(decode_image(encoded(picture(), kind, lossless=True)), picture())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_grey_becomes_three_equal_channels(kind: str) -> None:
    found = decode_image(encoded(picture()[:, :, 0], kind, lossless=True))
    assert found.shape == (60, 80, 3)
    assert np.array_equal(found[..., 0], found[..., 1])
    assert np.array_equal(found[..., 0], found[..., 2])


def test_a_cmyk_jpeg_becomes_rgb() -> None:
    found = decode_image(encoded(picture(), "JPEG", "CMYK", quality=95))
    assert np.abs(found.astype(int) - picture()).mean() < 6


def test_sixteen_bit_grey_keeps_its_high_byte() -> None:
    grey = picture()[:, :, 0]
    found = decode_image(encoded(grey.astype(np.uint16) * 256 + 99, "PNG"))
    np.testing.assert_array_equal(found, np.repeat(grey[:, :, None], 3, axis=2))


def test_what_is_transparent_shows_white() -> None:
    alpha = np.full((60, 80, 1), 255, dtype=np.uint8)
    alpha[:10] = 0
    found = decode_image(encoded(np.concatenate([picture(), alpha], axis=2), "PNG"))
    assert (found[:10] == 255).all()
    np.testing.assert_array_equal(found[10:], picture()[10:])


def test_a_palette_becomes_rgb() -> None:
    found = decode_image(encoded(picture(), "PNG", "P"))
    assert np.abs(found.astype(int) - picture()).mean() < 40


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_file_is_an_error(kind: str) -> None:
    data = encoded(picture(), kind)
    with pytest.raises(ImageDecodeError, match="cannot be decoded"):
        decode_image(data[: len(data) // 2])


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
def test_bytes_that_are_no_picture_are_an_error(data: bytes) -> None:
    with pytest.raises(ImageDecodeError, match="cannot be decoded"):
        decode_image(data)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_never_opened(kind: str) -> None:
    with pytest.raises(ImageDecodeError, match="cannot be decoded"):
        decode_image(encoded(picture(), kind))


def test_rendering_the_same_view_again_gives_the_same_pixels() -> None:
    view = View(top=3, left=11, height=41, width=37, flip=True, size=32)
    first = render(picture(), view).clone()
    assert torch.equal(first, render(picture(), view))


def test_a_flip_is_exactly_the_mirror() -> None:
    view = View(top=3, left=11, height=41, width=37, flip=False, size=32)
    mirrored = render(picture(), replace(view, flip=True))
    assert torch.equal(mirrored, render(picture(), view).flip(-1))


def test_rendering_a_box_is_rendering_the_picture_cut_to_it() -> None:
    view = View(top=3, left=11, height=41, width=37, flip=False, size=32)
    cut = picture()[3:44, 11:48]
    assert torch.equal(render(picture(), view), render(cut, replace(view, top=0, left=0)))


def test_a_view_of_the_same_size_changes_no_pixel() -> None:
    view = View(top=5, left=7, height=32, width=32, flip=False, size=32)
    assert torch.equal(render(picture(), view), torch.from_numpy(picture()[5:37, 7:39]).permute(2, 0, 1))


def test_resizing_agrees_with_pillow_to_rounding() -> None:
    ours = render(picture(600, 800), replace(WHOLE, height=600, width=800, size=224)).permute(1, 2, 0).numpy()
    theirs = np.asarray(Pillow.fromarray(picture(600, 800)).resize((224, 224), Pillow.Resampling.BICUBIC))
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_a_box_outside_the_picture_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        render(picture(), replace(WHOLE, height=61))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_normalised_values_have_the_mean_and_spread_of_imagenet(dtype: torch.dtype) -> None:
    images = torch.tensor([0, 128, 255]).reshape(1, 1, 1, 3).expand(2, 3, 4, 3).to(dtype)
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    wanted = (images.float() / 255 - mean[:, None, None]) / std[:, None, None]
    found = normalise(images)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)


def test_colours_are_changed_as_torchvision_changes_them_in_a_fixed_order() -> None:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 20, 30), dtype=np.uint8))
    factors = ColourFactors(brightness=1.3, contrast=0.7, saturation=1.4)
    wanted = functional.adjust_brightness(pixels, 1.3)
    wanted = functional.adjust_saturation(functional.adjust_contrast(wanted, 0.7), 1.4)
    assert torch.equal(adjust_colours(pixels, factors), wanted)
    other = functional.adjust_contrast(
        functional.adjust_brightness(functional.adjust_saturation(pixels, 1.4), 1.3), 0.7
    )
    assert not torch.equal(other, wanted)
