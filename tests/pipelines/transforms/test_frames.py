import io

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.transforms.frames import VideoDecodeError, decode_frames, read_clip
from pipelines.transforms.image import ImageDecodeError, decode_image
from tests.ingest.pictures import jpeg
from tests.ingest.video.footage import bars, film, number_of, tone

CLIP = film(60, options={"bf": "3", "g": "25"}, sound=tone(2.4))


def test_decoded_frames_are_the_pictures_one_after_the_other() -> None:
    members = [jpeg(seed) for seed in range(5)]
    frames = decode_frames(members)
    assert frames.shape == (5, 40, 48, 3) and frames.dtype == np.uint8
    for frame, member in zip(frames, members, strict=True):
        np.testing.assert_array_equal(frame, decode_image(member))


def test_a_damaged_frame_is_an_error() -> None:
    with pytest.raises(ImageDecodeError):
        decode_frames([jpeg(1), jpeg(2)[:-100]])


def test_no_frames_and_frames_of_different_sizes_are_errors() -> None:
    with pytest.raises(VideoDecodeError, match="without frames"):
        decode_frames([])
    with pytest.raises(VideoDecodeError, match="Frame 1 has shape"):
        decode_frames([jpeg(1), jpeg(2, width=50)])


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, 59), min_size=1, max_size=8))
def test_frames_of_a_clip_are_found_by_their_number(indices: set[int]) -> None:
    frames = read_clip(CLIP, sorted(indices))
    assert [number_of(frame) for frame in frames] == sorted(indices)


def test_reading_some_frames_gives_the_same_pixels_as_decoding_all() -> None:
    with av.open(io.BytesIO(CLIP)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        decoded = [frame.to_ndarray(format="rgb24", threads=1) for frame in container.decode(stream)]
    read = read_clip(CLIP, range(0, 60, 7))
    np.testing.assert_array_equal(read, np.stack(decoded[::7]))


@pytest.mark.parametrize("indices", [[], [3, 1], [2, 2], [-1], [0, 60], [999]])
def test_frames_that_a_clip_does_not_have_are_an_error(indices: list[int]) -> None:
    with pytest.raises(VideoDecodeError):
        read_clip(CLIP, indices)


@pytest.mark.parametrize(
    "data", [b"", b"no clip", CLIP[:-500], CLIP[: len(CLIP) // 2], film([bars(1)] * 2, codec="mpeg4")]
)
def test_what_is_no_whole_clip_is_an_error(data: bytes) -> None:
    with pytest.raises(VideoDecodeError):
        read_clip(data, [0, 1])


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, len(CLIP) - 1), value=st.integers(0, 255))
def test_a_flipped_byte_is_an_error_or_harmless(place: int, value: int) -> None:
    damaged = bytearray(CLIP)
    damaged[place] = value
    try:
        frames = read_clip(bytes(damaged), [0, 30, 59])
    except VideoDecodeError:
        return
    assert frames.shape[0] == 3
