from typing import Any

import numpy as np
import pytest

from ingest.orientation import turned
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import Limits
from ingest.video.frame_reader import FrameReader
from ingest.video.header import probe_video
from shards.schema import RejectReason
from tests.ingest.video.footage import Pixels, bars, film, number_of

LOSSLESS = {"qp": "0"}


def first_frame(data: bytes) -> Pixels:
    raw = Raw.of(data, name="clip")
    (frame,) = FrameReader(raw, probe_video(raw, Limits()), Limits()).shown_at([0.0], end=0.0)
    return frame.pixels


def plain(colour: tuple[int, int, int], *, width: int = 64, height: int = 48) -> Pixels:
    return np.tile(np.array(colour, np.uint8), (height, width, 1))


BT601, BT709, BT2020 = 6, 1, 9
LIMITED, FULL = 1, 2


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (40, 120, 200)])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv420p10le", "yuv444p10le"])
@pytest.mark.parametrize(("matrix", "spread"), [(BT601, LIMITED), (BT709, LIMITED), (BT709, FULL), (BT601, FULL)])
def test_colours_come_back_whatever_matrix_range_and_depth_the_file_names(
    colour: tuple[int, int, int], pixel_format: str, matrix: int, spread: int
) -> None:
    colours = {"colorspace": matrix, "color_range": spread}
    data = film([plain(colour)] * 2, pixel_format=pixel_format, colours=colours, options=LOSSLESS)
    pixels = first_frame(data)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - colour).max() <= 4


def test_a_file_without_a_matrix_is_taken_for_bt601_when_small_and_bt709_in_high_definition() -> None:
    green = (30, 200, 60)
    small = film([plain(green)] * 2, colours={"colorspace": 2, "color_range": LIMITED}, options=LOSSLESS)
    assert np.abs(first_frame(small).astype(int) - green).max() <= 4
    large = plain(green, width=1280, height=720)
    as_709 = film([large] * 2, colours={"colorspace": BT709, "color_range": LIMITED}, options=LOSSLESS)
    np.testing.assert_array_equal(first_frame(without_colour_box(as_709)), first_frame(as_709))


def without_colour_box(data: bytes) -> bytes:
    """Take the matrix out of an H.264 film: of the container, and of the stream by its own filter."""
    import io

    import av
    from av.bitstream import BitStreamFilterContext

    buffer = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(buffer, "w", format="matroska") as target:
        stream = source.streams.video[0]
        new = target.add_stream_from_template(stream)
        filtered = BitStreamFilterContext("h264_metadata=matrix_coefficients=2", stream, new)
        for packet in source.demux(stream):
            for changed in filtered.filter(packet if packet.size else None):
                changed.stream = new
                target.mux(changed)
        target.close()
    return buffer.getvalue()


def test_pictures_for_hdr_screens_are_made_brighter_and_more_colourful_for_ordinary_ones() -> None:
    """PQ codes diffuse white at 58 % of its range: shown as it stands, every picture would be grey and dull."""
    dull = np.concatenate([plain((148, 148, 148), height=24), plain((140, 100, 90), height=24)])
    tags = {"colorspace": BT2020, "color_range": LIMITED, "color_primaries": 9, "color_trc": 16}
    made: dict[str, Any] = {"pixel_format": "yuv420p10le", "options": LOSSLESS}
    as_it_stands = first_frame(film([dull] * 2, colours={**tags, "color_trc": 14, "color_primaries": 1}, **made))
    mapped = first_frame(film([dull] * 2, colours=tags, **made))
    assert as_it_stands[4, 4].mean() == pytest.approx(148, abs=4)
    assert mapped[4, 4].mean() > 190
    assert np.ptp(mapped[40, 4].astype(int)) > 1.5 * np.ptp(as_it_stands[40, 4].astype(int))


@pytest.mark.parametrize(("width", "height"), [(63, 48), (64, 47), (33, 31), (1, 1), (2, 7)])
def test_odd_sizes_are_kept(width: int, height: int) -> None:
    picture = bars(170, width=max(width, 18), height=height)[:, :width]
    pixels = first_frame(film([picture] * 2, pixel_format="yuv444p", options=LOSSLESS))
    assert pixels.shape == (height, width, 3)
    assert np.abs(pixels.astype(int) - picture).max() <= 4


TURNS = {1: (0, False), 2: (0, True), 3: (180, False), 5: (-90, True), 6: (-90, False), 7: (90, True), 8: (90, False)}


@pytest.mark.parametrize("orientation", TURNS)
def test_frames_are_turned_and_mirrored_as_the_display_matrix_says(orientation: int) -> None:
    back = {6: 8, 8: 6}.get(orientation, orientation)
    picture = bars(0b10110010, width=96, height=64)
    data = film([turned(picture, back)] * 2, turn=TURNS[orientation], options=LOSSLESS)
    pixels = first_frame(data)
    assert pixels.shape == (64, 96, 3)
    assert number_of(pixels) == 0b10110010
    assert np.abs(pixels.astype(int) - picture).max() <= 4  # the shading tells top from bottom


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_there_and_back_changes_nothing(orientation: int) -> None:
    picture = bars(37)
    back = {6: 8, 8: 6}.get(orientation, orientation)
    np.testing.assert_array_equal(turned(turned(picture, orientation), back), picture)


def test_grey_video_becomes_three_equal_channels() -> None:
    pixels = first_frame(film([bars(90)] * 2, codec="ffv1", container="matroska", pixel_format="gray"))
    np.testing.assert_array_equal(pixels[..., 0], pixels[..., 2])
    assert number_of(pixels) == 90


def test_transparency_is_dropped() -> None:
    pixels = first_frame(film([bars(90)] * 2, codec="ffv1", container="matroska", pixel_format="yuva420p"))
    assert pixels.shape == (48, 64, 3) and number_of(pixels) == 90


def test_a_tilted_frame_is_refused() -> None:
    with pytest.raises(Rejection) as caught:
        first_frame(film(2, turn=(45, False)))
    assert caught.value.reason is RejectReason.UNSUPPORTED_PIXELS
