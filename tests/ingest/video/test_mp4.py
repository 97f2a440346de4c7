import io

import av
import numpy as np
import pytest

from ingest.raw import Raw
from ingest.settings import Limits
from ingest.video.frame_reader import ShownFrame
from ingest.video.header import probe_video
from ingest.video.mp4 import Sound, copied, encoded, is_copied
from pipelines.transforms.frames import read_clip
from tests.ingest.video.footage import bars, film, number_of, tone

PLACE = "+52.5200+013.4050/"


def copy_of(data: bytes) -> bytes | None:
    raw = Raw.of(data, name="clip")
    header = probe_video(raw, Limits())
    sound = Sound(samples=tone(1), rate=22_050) if header.has_sound else None
    return copied(raw, sound) if is_copied(header, sound, None) else None


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_h264_is_copied_packet_by_packet(container: str) -> None:
    data = film(40, container=container, options={"bf": "3", "g": "12"}, sound=tone(1.6))
    copy = copy_of(data)
    assert copy is not None
    with av.open(io.BytesIO(data)) as before, av.open(io.BytesIO(copy)) as after:
        frames, same = (
            [(frame.time, frame.to_ndarray()) for frame in file.decode(video=0)] for file in (before, after)
        )
    assert len(frames) == len(same) == 40
    for (time, picture), (new_time, copied_picture) in zip(frames, same, strict=True):
        assert new_time - same[0][0] == pytest.approx(time - frames[0][0], abs=0.0011)
        np.testing.assert_array_equal(picture, copied_picture)


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_copied_sound_stays_in_step(container: str) -> None:
    beep = np.concatenate([np.zeros((1, 22_050), np.float32), tone(1)], axis=1)
    data = film(50, container=container, sound=beep)
    copy = copy_of(data)
    assert copy is not None
    assert beginning(copy) == pytest.approx(beginning(data), abs=0.002)


def beginning(data: bytes) -> float:
    """Return when the sound is first heard, after the first picture."""
    with av.open(io.BytesIO(data)) as file:
        pictures = next(file.decode(video=0)).time
    with av.open(io.BytesIO(data)) as file:
        for frame in file.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.2)
            if len(loud):
                return float(frame.time + loud[0] / frame.sample_rate - pictures)
    raise AssertionError("nothing is heard")


def test_where_and_with_what_it_was_filmed_is_not_copied() -> None:
    data = film(10, metadata={"location": PLACE, "comment": "at home", "title": "Secret"}, sound=tone(0.4))
    assert b"loci" in data or PLACE.encode() in data
    copy = copy_of(data)
    assert copy is not None
    assert b"loci" not in copy and PLACE.encode() not in copy and b"Secret" not in copy and b"at home" not in copy
    with av.open(io.BytesIO(copy)) as file:
        assert not {"location", "comment", "title", "creation_time", "encoder"} & set(file.metadata)


@pytest.mark.parametrize(
    "data",
    [
        film(10, codec="mpeg4"),
        film(10, pixel_format="yuv420p10le"),
        film(10, pixel_format="yuv444p"),
        film(10, turn=(90, False)),
        film(10, container="avi"),
        film(10, container="matroska"),
        film(10, sound=tone(0.4), sound_codec="alac"),
        film(6, times=[-0.2, -0.1, 0, 0.1, 0.2, 0.3], options={"bf": "0"}),
    ],
    ids=["mpeg-4", "10 bits", "4:4:4", "turned", "without times", "rounded times", "alac", "edit list"],
)
def test_what_not_every_reader_shows_the_same_way_is_not_copied(data: bytes) -> None:
    assert copy_of(data) is None


def test_a_larger_video_than_wanted_is_not_copied() -> None:
    header = probe_video(Raw.of(film(3), name="clip"), Limits())
    assert is_copied(header, None, 48) and not is_copied(header, None, 47)


def frames(times: list[float], *, width: int = 64, height: int = 48) -> list[ShownFrame]:
    return [ShownFrame(time=time, pixels=bars(number, width=width, height=height)) for number, time in enumerate(times)]


def test_encoded_frames_appear_at_their_own_times() -> None:
    times = [2.0, 2.04, 2.5, 2.533, 3.7]
    data = encoded(frames(times), None, start=2.0, fps=3)
    with av.open(io.BytesIO(data)) as file:
        assert [frame.time for frame in file.decode(video=0)] == pytest.approx([time - 2 for time in times], abs=1e-4)
    assert [number_of(picture) for picture in read_clip(data, range(5))] == [0, 1, 2, 3, 4]


def test_encoding_twice_gives_the_same_bytes() -> None:
    sound = Sound(samples=tone(0.5, channels=2), rate=22_050)
    first, second = (encoded(frames([0, 0.1, 0.2]), sound, start=0, fps=10) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("width", "height", "shape"), [(65, 49, (48, 64)), (64, 49, (48, 64)), (1, 1, (2, 2))])
def test_sides_are_made_even(width: int, height: int, shape: tuple[int, int]) -> None:
    data = encoded([ShownFrame(time=0, pixels=np.full((height, width, 3), 200, np.uint8))], None, start=0, fps=25)
    (picture,) = read_clip(data, [0])
    assert picture.shape[:2] == shape
    assert np.abs(picture.astype(int) - 200).max() <= 3


def test_encoding_keeps_colours() -> None:
    colours = np.zeros((64, 96, 3), np.uint8)
    colours[:, :32], colours[:, 32:64], colours[:, 64:] = (200, 30, 40), (20, 180, 60), (30, 40, 220)
    (picture,) = read_clip(encoded([ShownFrame(time=0, pixels=colours)], None, start=0, fps=25), [0])
    for column in (16, 48, 80):
        assert np.abs(picture[32, column].astype(int) - colours[32, column]).max() <= 6


@pytest.mark.parametrize(("channels", "rate"), [(1, 8000), (2, 44_100), (6, 48_000), (1, 7000), (1, 192_000)])
def test_sound_of_any_rate_and_channels_is_encoded_at_full_length(channels: int, rate: int) -> None:
    sound = Sound(samples=tone(1.0, rate=rate, channels=channels), rate=rate)
    data = encoded(frames([0, 0.5]), sound, start=0, fps=2)
    with av.open(io.BytesIO(data)) as file:
        stream = file.streams.audio[0]
        decoded = list(file.decode(stream))
    assert stream.channels == (2 if channels == 2 else 1)
    assert sum(frame.samples for frame in decoded) / stream.rate == pytest.approx(1.0, abs=0.15)
    assert max(np.abs(frame.to_ndarray()).max() for frame in decoded) == pytest.approx(0.5, abs=0.1)
