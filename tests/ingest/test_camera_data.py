import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from ingest.jpeg_segments import without_exif
from ingest.settings import IngestSettings
from pipelines.transforms.image import decode_image
from tests.ingest.pictures import Pixels, encoded, exif_of, jpeg, pixels, png, store_picture

PLAIN = IngestSettings()


def distance(first: Pixels, second: Pixels) -> float:
    assert first.shape == second.shape
    return float(np.abs(first.astype(int) - second.astype(int)).mean())


def turned(picture: Pixels, orientation: int) -> Pixels:
    """Return the pixels that a camera with this orientation stores, so that `picture` is seen upright."""
    undo = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p, -1),
    }
    return np.ascontiguousarray(undo[orientation](picture))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_as_the_same_upright_picture(kind: str, orientation: int) -> None:
    options: dict[str, Any] = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    data = encoded(turned(pixels(3), orientation), kind, exif=exif_of(orientation), **options)
    stored = store_picture(data, PLAIN)
    assert (stored.width, stored.height) == (48, 40)
    assert distance(decode_image(stored.data), pixels(3)) < (3 if options else 1e-9)
    with Image.open(io.BytesIO(stored.data)) as image:
        assert not image.getexif()
    assert b"SecretCamera" not in stored.data and b"Exif" not in stored.data


def test_a_jpeg_copied_without_its_exif_keeps_every_pixel() -> None:
    with_exif = jpeg(4, exif=exif_of(1), comment=b"kept")
    stored = store_picture(with_exif, PLAIN)
    assert stored.data == jpeg(4, comment=b"kept") != with_exif
    assert np.array_equal(decode_image(stored.data), simplejpeg.decode_jpeg(with_exif))


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0broken", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(30)]
)
@pytest.mark.parametrize("kind, mode", [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("WEBP", "RGB")])
def test_broken_exif_around_a_sound_picture_is_stripped(exif: bytes, kind: str, mode: str) -> None:
    data = encoded(Image.fromarray(pixels(1)).convert(mode), kind, exif=exif)
    stored = store_picture(data, PLAIN)
    assert (stored.width, stored.height) == (48, 40)
    assert b"Exif" not in stored.data


def test_what_cameras_append_to_a_jpeg_is_cut_off() -> None:
    first, second = (Image.fromarray(pixels(number)) for number in (1, 2))
    exif = exif_of(1)
    buffer = io.BytesIO()
    first.save(buffer, "MPO", save_all=True, append_images=[second], exif=exif, quality=95)
    stored = store_picture(buffer.getvalue(), PLAIN)
    assert stored.extension == "jpg"
    assert distance(decode_image(stored.data), pixels(1)) < 3
    assert b"MPF" not in stored.data and b"SecretCamera" not in stored.data
    assert stored.data.endswith(b"\xff\xd9") and stored.data.count(b"\xff\xd9") == 1


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"optimize": True}])
def test_the_end_of_a_jpeg_is_found_behind_all_its_scans(options: dict[str, Any]) -> None:
    data = encoded(
        np.random.default_rng(0).integers(0, 256, (90, 70, 3)).astype(np.uint8), "JPEG", quality=98, **options
    )
    assert without_exif(data) == data == without_exif(data + b"film \xff\xd9 behind")


@pytest.mark.parametrize(
    "data", [b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xe1", b"\xff\xd8\xff\xda\x00\x02\x12\xff", jpeg(1)[:-2]]
)
def test_what_cannot_be_parsed_is_returned_as_it_is(data: bytes) -> None:
    assert without_exif(data) == data


def test_xmp_and_late_exif_are_stripped_without_touching_a_pixel() -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta>SecretCamera</x:xmpmeta>")
    plain = png(1)
    body = b"eXIf" + exif_of(1).tobytes()[6:]
    late = plain[:-12] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + plain[-12:]
    for data in (png(1, pnginfo=info), late):
        stored = store_picture(data, PLAIN)
        assert b"SecretCamera" in data and b"SecretCamera" not in stored.data
        assert np.array_equal(decode_image(stored.data), pixels(1))


def test_turned_pictures_are_made_smaller_by_their_upright_size() -> None:
    data = encoded(turned(pixels(3, width=120, height=60), 6), "JPEG", exif=exif_of(6), quality=95)
    stored = store_picture(data, IngestSettings(image_size=30))
    assert (stored.width, stored.height) == (60, 30)
