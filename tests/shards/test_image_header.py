import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shards.image_header import OversizedImageError, UnreadableImageError, read_image_header
from tests.ingest.pictures import encoded, exif_of, jpeg, pixels, png


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM"])
def test_every_allowed_format_is_recognised_by_content(kind: str) -> None:
    header = read_image_header(encoded(pixels(0), kind))
    assert (header.format, header.width, header.height, header.frames) == (kind, 48, 40, 1)


def test_a_header_claiming_900_million_pixels_is_refused() -> None:
    data = bytearray(png(0))
    data[16:24] = (30000).to_bytes(4, "big") * 2
    with pytest.raises((OversizedImageError, UnreadableImageError)):
        read_image_header(bytes(data))


def test_a_format_that_is_not_allowed_is_unreadable() -> None:
    with pytest.raises(UnreadableImageError, match="no image of a format that is read"):
        read_image_header(encoded(pixels(0), "ICO"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_read(orientation: int) -> None:
    assert read_image_header(jpeg(0, exif=exif_of(orientation))).orientation == orientation


@pytest.mark.parametrize("wrong", [0, 9, 65535])
def test_an_orientation_that_makes_no_sense_is_upright(wrong: int) -> None:
    assert read_image_header(jpeg(0, exif=exif_of(wrong))).orientation == 1


def test_transparency_is_seen() -> None:
    assert not read_image_header(png(0)).has_alpha
    assert read_image_header(encoded(Image.new("RGBA", (4, 4)), "PNG")).has_alpha
    assert read_image_header(encoded(Image.new("P", (4, 4)), "PNG", transparency=0)).has_alpha


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": "taken by hand"}, {"exif": exif_of(6)}])
def test_the_quick_reading_of_a_plain_jpeg_says_what_the_careful_one_says(
    mode: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels(0)).convert(mode).save(buffer, format="JPEG", **options)
    quick = read_image_header(buffer.getvalue())
    monkeypatch.setattr("shards.image_header._plain_jpeg_header", lambda data: None)
    assert quick == read_image_header(buffer.getvalue())


@given(st.binary(max_size=60))
def test_what_only_starts_like_a_jpeg_is_one_or_unreadable_and_nothing_else(tail: bytes) -> None:
    try:
        found = read_image_header(b"\xff\xd8" + tail).format
    except UnreadableImageError:
        found = "unreadable"
    assert found in ("JPEG", "unreadable")
