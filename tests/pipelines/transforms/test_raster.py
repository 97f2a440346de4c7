import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image as Pillow

from pipelines.transforms.image import render
from pipelines.transforms.raster import (
    RasterDecodeError,
    UnsupportedRasterError,
    decode_raster,
    read_raster_header,
    render_raster,
)
from pipelines.views import View

NUMBERS = np.arange(30 * 40, dtype=np.uint16).reshape(30, 40) * 54


@st.composite
def looks(draw: st.DrawFn) -> tuple[dict[str, Any], int, int]:
    """The numbers of a view of a picture, and the height and width of the picture."""
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    numbers = {
        "top": top,
        "left": left,
        "height": draw(st.integers(1, height - top)),
        "width": draw(st.integers(1, width - left)),
        "flip": draw(st.booleans()),
        "size": draw(st.integers(1, 70)),
    }
    return numbers, height, width


def png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(values).save(buffer, format="PNG")
    return buffer.getvalue()


def npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def away_from_the_edges(view: View) -> np.ndarray:
    """Where antialiasing has all the pixels that it weighs: a mask [size, size]."""
    inside = []
    for length in (view.height, view.width):
        scale = length / view.size
        centres = (np.arange(view.size) + 0.5) * scale
        reach = 2 * max(1.0, scale) + 1
        inside.append((centres > reach) & (centres < length - reach))
    return inside[0][:, None] & inside[1]


@given(looks())
def test_a_raster_stays_within_half_a_pixel_of_its_picture(look: tuple[dict[str, Any], int, int]) -> None:
    numbers, height, width = look
    view = View(**numbers)
    rows, columns = np.mgrid[0:height, 0:width]
    places = np.stack([rows, columns], axis=-1).astype(np.int64)
    ramps = (4 * np.concatenate([places, places[..., :1]], axis=-1)).astype(np.uint8)
    seen = render(ramps, view).numpy()[:2] / 4
    taken = render_raster(places, view, height=height, width=width).numpy()
    apart = np.abs(seen - taken)[:, away_from_the_edges(view)]
    assert apart.max(initial=0) <= 0.5 + 0.125 + 1e-6  # half a pixel, and what 8 bits round


@given(looks(), st.integers(2, 4))
def test_more_pixels_of_the_same_scene_give_the_same_view(look: tuple[dict[str, Any], int, int], factor: int) -> None:
    numbers, height, width = look
    view = View(**numbers)
    ids = np.arange(height * width).reshape(height, width, 1)
    fine = ids.repeat(factor, axis=0).repeat(factor, axis=1)
    of_ids = render_raster(ids, view, height=height, width=width)
    assert torch.equal(render_raster(fine, view, height=height, width=width), of_ids)


@given(looks(), st.integers(1, 90), st.integers(1, 90))
def test_a_view_holds_no_value_that_the_raster_does_not(
    look: tuple[dict[str, Any], int, int], rows: int, columns: int
) -> None:
    numbers, height, width = look
    view = View(**numbers)
    values = np.arange(rows * columns * 2, dtype=np.uint16).reshape(rows, columns, 2)
    found = render_raster(values, view, height=height, width=width)
    assert found.shape == (2, view.size, view.size)
    assert found.dtype == torch.uint16
    assert (found[1].int() == found[0].int() + 1).all()
    assert (found[0].int() % 2 == 0).all()


def test_a_view_of_the_same_size_takes_every_value_once() -> None:
    view = View(top=5, left=7, height=20, width=20, flip=False, size=20)
    found = render_raster(NUMBERS[..., None], view, height=30, width=40)
    np.testing.assert_array_equal(found[0].numpy(), NUMBERS[5:25, 7:27])


def test_a_flip_is_exactly_the_mirror() -> None:
    view = View(top=3, left=2, height=21, width=37, flip=False, size=16)
    mirrored = render_raster(NUMBERS[..., None], replace(view, flip=True), height=30, width=40)
    plain = render_raster(NUMBERS[..., None], view, height=30, width=40)
    np.testing.assert_array_equal(mirrored.numpy(), plain.numpy()[..., ::-1])


def test_what_was_not_seen_stays_unseen() -> None:
    metres = np.linspace(0, 9, 1200, dtype=np.float32).reshape(30, 40, 1).copy()
    metres[::3] = np.nan
    found = render_raster(metres, View(top=0, left=0, height=30, width=40, flip=False, size=64), height=30, width=40)
    assert 0.3 < found.isnan().float().mean() < 0.37
    assert set(found[~found.isnan()].tolist()) <= set(metres[~np.isnan(metres)].tolist())


def test_a_box_outside_the_picture_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        render_raster(
            NUMBERS[..., None], View(top=0, left=0, height=31, width=40, flip=False, size=8), height=30, width=40
        )


@given(
    arrays(
        st.sampled_from(["u1", "i1", "<u2", ">u2", "<i4", "<u8", "<f2", ">f4", "<f8"]),
        array_shapes(min_dims=2, max_dims=3, max_side=7),
    ),
    st.booleans(),
)
def test_an_array_decodes_to_itself(values: np.ndarray, is_fortran: bool) -> None:
    found = decode_raster(npy(np.asfortranarray(values) if is_fortran else values))
    assert found.dtype == values.dtype.newbyteorder("=")
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, np.atleast_3d(values))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_png_decodes_to_the_values_it_was_made_of(dtype: type) -> None:
    values = NUMBERS.astype(dtype)
    found = decode_raster(png(values))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found[..., 0], values)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_every_channel_of_a_png_counts(channels: int) -> None:
    values = np.random.default_rng(channels).integers(0, 256, (30, 40, channels), dtype=np.uint8)
    np.testing.assert_array_equal(decode_raster(png(values)), values)


def test_the_header_says_what_will_be_decoded() -> None:
    for data in (png(NUMBERS), npy(NUMBERS), npy(np.zeros((3, 4, 5), dtype=">f8")), npy(np.ones((3, 4), dtype=bool))):
        header, values = read_raster_header(data), decode_raster(data)
        assert (header.shape, header.dtype, header.num_bytes) == (values.shape, values.dtype, values.nbytes)


@pytest.mark.parametrize("data", [png(NUMBERS), npy(NUMBERS)], ids=["png", "npy"])
def test_a_file_cut_off_anywhere_is_an_error(data: bytes) -> None:
    for end in (0, 4, 20, 60, len(data) // 2, len(data) - 40):
        with pytest.raises(RasterDecodeError):
            decode_raster(data[:end])


def test_more_values_than_promised_are_an_error() -> None:
    with pytest.raises(RasterDecodeError, match="has 2401 bytes of values; its header promises 2400"):
        decode_raster(npy(NUMBERS) + b"x")


@pytest.mark.parametrize("data", [b"", b"II*\x00", b"\xff\xd8\xff", b"\x93NUMPY", b"\x89PNG\r\n\x1a\n"])
def test_bytes_that_are_no_stored_raster_are_an_error(data: bytes) -> None:
    with pytest.raises(RasterDecodeError):
        decode_raster(data)


def test_pickled_objects_are_never_read() -> None:
    with pytest.raises(UnsupportedRasterError, match="real numbers"):
        decode_raster(npy(np.array([[print, 1]], dtype=object)))
