from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ingest.rejection import Rejection
from ingest.settings import IngestSettings
from pipelines.transforms.image import decode_image
from shards.schema import RejectReason
from tests.ingest.hostile import hostile_files
from tests.ingest.pictures import encoded, exif_of, pixels, store_picture

PLAIN = IngestSettings()

_SEEDS = [
    *(encoded(pixels(1, width=24, height=20), kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM")),
    encoded(pixels(1, width=24, height=20), "JPEG", exif=exif_of(6)),
    encoded(Image.fromarray(pixels(1)).quantize(), "PNG", transparency=3),
]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_is_stored_or_refused_and_never_anything_else(data: st.DataObject) -> None:
    file = bytearray(data.draw(st.sampled_from(_SEEDS)))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    file = file[: data.draw(st.integers(0, len(file)))] if data.draw(st.booleans()) else file
    try:
        stored = store_picture(bytes(file), IngestSettings(image_size=16))
    except Rejection:
        return
    assert decode_image(stored.data).shape == (stored.height, stored.width, 3)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("path", hostile_files("image"))
@pytest.mark.parametrize("image_size", [None, 64])
def test_odd_files_of_others_are_stored_readable_or_refused(path: Path, image_size: int | None) -> None:
    try:
        stored = store_picture(path.read_bytes(), IngestSettings(image_size=image_size))
    except Rejection as rejection:
        assert rejection.reason in RejectReason and rejection.detail
        return
    assert decode_image(stored.data).shape == (stored.height, stored.width, 3)
    if image_size is not None:
        assert min(stored.width, stored.height) <= image_size
