import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageCms

from ingest.rejection import Rejection
from ingest.settings import Check, IngestSettings, Limits
from pipelines.transforms.image import decode_image
from shards.schema import RejectReason
from tests.ingest.pictures import Pixels, encoded, jpeg, pixels, png, store_picture

PLAIN = IngestSettings()


def reason_of(data: bytes, **changed: Any) -> str:
    with pytest.raises(Rejection) as caught:
        store_picture(data, IngestSettings(**changed))
    assert caught.value.detail
    return str(caught.value.reason.value)


def shown(data: bytes, **changed: Any) -> Pixels:
    """Return the pixels that are stored of a file."""
    return decode_image(store_picture(data, IngestSettings(**changed)).data)


def distance(first: Pixels, second: Pixels) -> float:
    assert first.shape == second.shape
    return float(np.abs(first.astype(int) - second.astype(int)).mean())


def psnr(first: Pixels, second: Pixels) -> float:
    assert first.shape == second.shape
    error = np.mean((first.astype(float) - second.astype(float)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def huge_png(width: int, height: int) -> bytes:
    """Return a small PNG whose header claims width x height pixels."""
    data = bytearray(png(0))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


# What is stored as it is


@pytest.mark.parametrize(
    "data", [jpeg(1), png(1), encoded(pixels(1), "WEBP"), encoded(Image.fromarray(pixels(1)[..., 0]), "JPEG")]
)
def test_a_plain_picture_is_stored_bit_by_bit(data: bytes) -> None:
    stored = store_picture(data, PLAIN)
    assert stored.data == data
    assert (stored.width, stored.height) == (48, 40)


def test_a_misnamed_picture_is_stored_as_what_it_is() -> None:
    stored = store_picture(png(1), PLAIN)
    assert (stored.extension, stored.facts["format"]) == ("png", "png")


# What is refused


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "empty_file"),
        (jpeg(1)[:-200], "corrupt_image"),
        (jpeg(1)[:200], "corrupt_image"),
        (png(1)[:-200], "corrupt_image"),
        (png(1)[:20], "corrupt_image"),
        (encoded(pixels(1), "WEBP")[:-100], "corrupt_image"),
        (encoded(pixels(1), "TIFF")[:-3000], "corrupt_image"),
        (encoded(pixels(1), "GIF")[:-200], "corrupt_image"),
        (b"this is a text file, not a picture", "unknown_format"),
        (b"<html><body>404 Not Found</body></html>", "unknown_format"),
        (b"8BPS\x00\x01" + bytes(50), "unsupported_format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(50), "unsupported_format"),
        (b"%PDF-1.7", "unsupported_format"),
        (b"\x00\x00\x00\x0cjP  " + bytes(50), "unsupported_format"),
        (huge_png(0, 40), "corrupt_image"),
        (encoded(Image.new("F", (4, 4)), "TIFF"), "unsupported_pixels"),
        (encoded(Image.new("I", (4, 4)), "TIFF"), "unsupported_pixels"),
    ],
    ids=range(17),
)
def test_what_is_no_sound_picture_is_refused_with_the_exact_reason(data: bytes, reason: str) -> None:
    assert reason_of(data) == reason


@pytest.mark.parametrize("place", range(110, 1800, 97))
def test_a_flipped_bit_in_the_pixels_of_a_png_is_found(place: int) -> None:
    data = bytearray(png(1))
    data[place] ^= 8
    assert reason_of(bytes(data)) == "corrupt_image"


def test_a_file_of_too_many_bytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    from ingest.items import Part
    from ingest.raw_bytes import RawBytes

    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    part = Part(field="image", kind="image", uri="a.jpg", size=10_000, modified_ns=0)
    with pytest.raises(Rejection) as caught:
        RawBytes(tmp_path, [], Limits(image_bytes=9_999)).read(part)
    assert caught.value.reason is RejectReason.TOO_MANY_BYTES


@pytest.mark.parametrize(
    "width, height, limit", [(30_000, 30_000, 100_000_000), (12_000, 9_000, 100_000_000), (48, 40, 1919)]
)
def test_a_bomb_is_refused_from_its_header_before_any_decoder_is_called(
    monkeypatch: pytest.MonkeyPatch, width: int, height: int, limit: int
) -> None:
    data = huge_png(width, height)

    def decoder(*_: object, **__: object) -> None:
        raise AssertionError("a pixel was decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoder)
    monkeypatch.setattr("PIL.Image.Image.load", decoder)
    monkeypatch.setattr("simplejpeg.decode_jpeg", decoder)
    assert reason_of(data, limits=Limits(pixels=limit)) == "too_many_pixels"


def test_a_bomb_of_compressed_text_is_refused() -> None:
    text = zlib.compress(bytes(80_000_000))
    chunk = b"zTXtComment\x00\x00" + text
    data = png(1)
    bomb = data[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    assert reason_of(bomb) == "corrupt_image"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_animated_pictures_are_refused(kind: str) -> None:
    frames = [Image.fromarray(pixels(number)) for number in range(3)]
    assert reason_of(encoded(frames[0], kind, save_all=True, append_images=frames[1:])) == "multiple_frames"


def test_a_gif_of_one_frame_is_a_picture() -> None:
    stored = store_picture(encoded(pixels(1), "GIF"), PLAIN)
    assert stored.extension == "png"


# Colours


def test_cmyk_without_a_profile_becomes_rgb() -> None:
    stored = store_picture(encoded(Image.fromarray(pixels(1)).convert("CMYK"), "JPEG", quality=95), PLAIN)
    assert stored.extension == "jpg"
    assert distance(decode_image(stored.data), pixels(1)) < 4


def test_cmyk_with_a_broken_profile_becomes_rgb_as_without_one() -> None:
    cmyk = Image.fromarray(pixels(1)).convert("CMYK")
    assert np.array_equal(shown(encoded(cmyk, "JPEG", icc_profile=b"broken" * 40)), shown(encoded(cmyk, "JPEG")))


def test_colours_of_a_profile_become_srgb_when_a_picture_is_encoded_again() -> None:
    grey = np.full((40, 48, 3), 120, np.uint8)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tagged = encoded(grey, "TIFF", icc_profile=lab.replace(b"sRGB", b"wide"))
    assert distance(shown(tagged), grey) <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_shows_white(mode: str) -> None:
    rgba = np.dstack([pixels(1), np.full((40, 48), 255, np.uint8)])
    rgba[:20, :, 3] = 0
    picture = Image.fromarray(rgba)
    if mode == "P":
        picture = Image.fromarray(np.repeat(np.arange(48, dtype=np.uint8)[None], 40, axis=0))
        picture.putpalette([channel for value in range(48) for channel in (value * 5, 10, 20)])
        seen = shown(encoded(picture, "PNG", transparency=7))
        assert (seen[:, 7] == 255).all() and (seen[:, 8] == (40, 10, 20)).all()
        return
    seen = shown(encoded(picture.convert(mode), "PNG"))
    assert (seen[:20] == 255).all()
    expected = pixels(1) if mode == "RGBA" else np.asarray(Image.fromarray(pixels(1)).convert("L").convert("RGB"))
    assert np.array_equal(seen[20:], expected[20:])


def test_half_transparent_pixels_are_mixed_with_white() -> None:
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[..., 3] = 128
    assert np.all(np.abs(shown(encoded(Image.fromarray(rgba), "PNG")).astype(int) - 127) <= 1)


def test_a_palette_becomes_colours() -> None:
    picture = Image.fromarray(pixels(1)).quantize(64)
    assert np.array_equal(shown(encoded(picture, "PNG")), np.asarray(picture.convert("RGB")))


def test_one_bit_pictures_become_black_and_white() -> None:
    bits = pixels(1)[..., 0] > 120
    for kind in ("PNG", "TIFF"):
        seen = shown(encoded(Image.fromarray(bits), kind))
        assert np.array_equal(seen[..., 1], np.where(bits, 255, 0))


# Sixteen bits


def sixteen_bit_grey() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65536, (40, 48)).astype(np.uint16)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_to_eight(kind: str) -> None:
    values = sixteen_bit_grey()
    stored = store_picture(encoded(Image.fromarray(values), kind), PLAIN)
    assert stored.extension == "png"
    assert np.array_equal(decode_image(stored.data)[..., 0], np.round(values / 257).astype(np.uint8))


def sixteen_bit_colour_png(values: np.ndarray) -> bytes:
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def sixteen_bit_colour_tiff(values: np.ndarray) -> bytes:
    height, width, _ = values.shape
    body = values.astype("<u2").tobytes()
    bits_at = 8 + len(body)
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, bits_at), (259, 3, 1, 1), (262, 3, 1, 2)]
    entries += [(273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(body)), (284, 3, 1, 1)]
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", bits_at + 6) + body + struct.pack("<HHH", 16, 16, 16) + table


@pytest.mark.parametrize("encode", [sixteen_bit_colour_png, sixteen_bit_colour_tiff])
def test_sixteen_bit_colour_is_stored_with_eight(encode: Any) -> None:
    values = np.random.default_rng(1).integers(0, 65536, (40, 48, 3)).astype(np.uint16)
    stored = store_picture(encode(values), PLAIN)
    assert stored.extension == "png" and stored.data[24] == 8
    difference = decode_image(stored.data).astype(int) - np.round(values / 257).astype(int)
    assert np.abs(difference).max() <= 1


# Size


@pytest.mark.parametrize(
    "width, height, size", [(100, 60, (53, 32)), (60, 100, (32, 53)), (64, 64, (32, 32)), (333, 33, (323, 32))]
)
def test_the_shorter_side_becomes_the_wanted_size(width: int, height: int, size: tuple[int, int]) -> None:
    stored = store_picture(png(1, width=width, height=height), IngestSettings(image_size=32))
    assert (stored.width, stored.height) == size == decode_image(stored.data).shape[1::-1]


@pytest.mark.parametrize("width, height", [(32, 100), (100, 32), (31, 20), (1, 1), (1, 500)])
def test_a_picture_is_never_made_larger(width: int, height: int) -> None:
    data = png(1, width=width, height=height)
    assert store_picture(data, IngestSettings(image_size=32)).data == data


@pytest.mark.parametrize("width, height", [(400, 400), (480, 320), (300, 600)])
def test_resizing_agrees_with_pillow(width: int, height: int) -> None:
    source = pixels(5, width=width, height=height)
    stored = store_picture(encoded(source, "PNG"), IngestSettings(image_size=96))
    expected = Image.fromarray(source).resize((stored.width, stored.height), Image.Resampling.BICUBIC)
    assert psnr(decode_image(stored.data), np.asarray(expected)) >= 40


def test_a_large_jpeg_decoded_at_a_fraction_agrees_with_pillow_at_full_size(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    decode = simplejpeg.decode_jpeg

    def spy(data: bytes, **options: Any) -> Pixels:
        asked.append(options.get("min_width", 0))
        pixels: Pixels = decode(data, **options)
        return pixels

    monkeypatch.setattr("simplejpeg.decode_jpeg", spy)
    grey = Image.fromarray(pixels(6, width=900, height=700)).convert("L")
    source = encoded(grey, "JPEG", quality=98)
    stored = store_picture(source, IngestSettings(image_size=80, jpeg_quality=100))
    assert asked[0] == 225
    with Image.open(io.BytesIO(source)) as image:
        expected = image.resize((stored.width, stored.height), Image.Resampling.BICUBIC).convert("RGB")
    assert psnr(decode_image(stored.data), np.asarray(expected)) >= 40


def test_what_was_lossless_stays_lossless_and_what_was_lossy_becomes_jpeg() -> None:
    for kind, extension in (("PNG", "png"), ("TIFF", "png"), ("BMP", "png"), ("JPEG", "jpg"), ("WEBP", "jpg")):
        assert store_picture(encoded(pixels(1, width=90), kind), IngestSettings(image_size=32)).extension == extension


def test_only_the_header_is_checked_if_only_that_is_asked() -> None:
    cut = jpeg(1)[:-200]
    assert store_picture(cut, IngestSettings(check=Check.HEADER)).data == cut
