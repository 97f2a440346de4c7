import importlib.util
import io
from collections.abc import Mapping, Sequence
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import Limits
from ingest.video import frame_reader
from ingest.video.clips import middles
from ingest.video.colours import upright
from ingest.video.frame_reader import FrameReader, ShownFrame
from ingest.video.header import probe_video
from shards.schema import RejectReason
from tests.ingest.video.footage import Pixels, bars, film, number_of, tone

LIMITS = Limits()


def noisy(number: int) -> Pixels:
    """Return a frame so full of detail that it takes several packets, each with a time stamp of its own."""
    noise = np.random.default_rng(number).integers(-15, 16, (96, 128, 3))
    return np.clip(bars(number, width=128, height=96) + noise, 0, 255).astype(np.uint8)


QUIET = {"x265-params": "log-level=none"}
MADE = {
    "h264": film(60, options={"bf": "0", "g": "20"}),
    "h264 b-frames": film(60, options={"bf": "3", "g": "20", "sc_threshold": "0"}),
    "h264 b-frames as references": film(60, options={"bf": "3", "g": "30", "b-pyramid": "normal", "b_strategy": "0"}),
    "h264 open groups": film(60, options={"bf": "3", "g": "12", "x264-params": "open-gop=1", "sc_threshold": "0"}),
    "h264 one group": film(60, options={"bf": "2", "g": "250", "sc_threshold": "0"}),
    "h264 matroska": film(60, container="matroska", options={"bf": "3", "g": "12"}, sound=tone(2.4)),
    "h264 transport stream": film(60, container="mpegts", options={"bf": "2", "g": "12"}),
    "h264 fragments": film(60, options={"bf": "2", "g": "12"}, muxing={"movflags": "frag_keyframe+empty_moov"}),
    "h264 avi": film(60, container="avi", options={"bf": "2", "g": "12"}),
    "h264 4:4:4 odd": film(60, pixel_format="yuv444p", options={"g": "20"}),
    "h264 interlaced": film(60, options={"g": "20", "x264-params": "interlaced=1:tff=1"}),
    "hevc": film(60, codec="libx265", options={**QUIET, "g": "12"}),
    "mpeg4": film(60, codec="mpeg4", options={"bf": "2", "g": "12"}),
    "mpeg4 avi": film(60, codec="mpeg4", container="avi", options={"bf": "2", "g": "12"}),
    "mpeg2 program stream": film(
        [noisy(number) for number in range(60)],
        codec="mpeg2video",
        container="mpeg",
        options={"bf": "2", "g": "12", "qmin": "1", "qmax": "2"},
    ),
    "vp8": film(60, codec="libvpx", container="webm", options={"auto-alt-ref": "1", "lag-in-frames": "16", "g": "20"}),
    "vp9": film(60, codec="libvpx-vp9", container="webm", options={"lag-in-frames": "16", "g": "20"}),
    "mjpeg": film(60, codec="mjpeg", container="mov", pixel_format="yuvj420p"),
    "ffv1": film(60, codec="ffv1", container="matroska", pixel_format="yuv444p"),
    "10 bits": film(60, pixel_format="yuv420p10le", options={"g": "20"}),
}
"""Films of 60 frames at 25 frames a second."""


def reader_of(data: bytes, limits: Limits = LIMITS) -> FrameReader:
    raw = Raw.of(data, name="clip")
    return FrameReader(raw, probe_video(raw, limits), limits)


def frames_at(data: bytes, times: Sequence[float], *, end: float | None = None) -> list[ShownFrame]:
    return list(reader_of(data).shown_at(times, end=times[-1] if end is None else end))


def numbers_at(data: bytes, times: Sequence[float]) -> list[int]:
    return [number_of(frame.pixels) for frame in frames_at(data, times)]


@pytest.mark.parametrize("name", MADE)
def test_the_frame_on_the_screen_is_read_with_the_time_at_which_it_appears(name: str) -> None:
    frames = frames_at(MADE[name], [0.0, 0.30, 0.325, 0.999, 1.0, 1.61, 2.35])
    assert [number_of(frame.pixels) for frame in frames] == [0, 7, 8, 24, 25, 40, 58]
    assert [frame.time for frame in frames] == pytest.approx([0, 0.28, 0.32, 0.96, 1.0, 1.6, 2.32], abs=0.0011)


@pytest.mark.parametrize("name", MADE)
def test_thrift_changes_no_pixel(name: str) -> None:
    """What is passed over must not be missed: compared with decoding every packet of the file in turn."""
    with av.open(io.BytesIO(MADE[name])) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        decoded = list(container.decode(stream))
    read = frames_at(MADE[name], [number / 25 + 0.01 for number in range(3, 60, 7)])
    for frame, number in zip(read, range(3, 60, 7), strict=True):
        np.testing.assert_array_equal(frame.pixels, upright(decoded[number]))


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(MADE)), wanted=st.sets(st.integers(0, 59), min_size=1, max_size=6))
def test_any_set_of_frames_can_be_read(name: str, wanted: set[int]) -> None:
    ordered = sorted(wanted)
    assert numbers_at(MADE[name], [number / 25 + 0.02 for number in ordered]) == ordered


@pytest.mark.parametrize("name", MADE)
def test_all_frames_of_a_piece_are_read_from_the_one_on_the_screen_at_its_start(name: str) -> None:
    decoded = list(reader_of(MADE[name]).every(0.81, 1.61))
    assert [frame.time for frame in decoded] == pytest.approx([number / 25 for number in range(20, 41)], abs=0.0011)
    whole = list(reader_of(MADE[name]).every(0, 2.4))
    assert len(whole) == 60


def test_a_frame_that_stays_on_the_screen_is_given_once() -> None:
    slides = film(4, times=[0, 1.0, 1.5, 6.0])
    frames = frames_at(slides, middles(0, 6, 12))
    assert [number_of(frame.pixels) for frame in frames] == [0, 1, 2]
    assert [frame.time for frame in frames] == pytest.approx([0, 1.0, 1.5])


def test_a_piece_between_two_slides_shows_the_first_of_them() -> None:
    slides = film(4, times=[0, 1.0, 1.5, 6.0], options={"g": "1"})
    assert numbers_at(slides, [3.0, 4.0, 5.0]) == [2]


@settings(max_examples=25, deadline=None)
@given(gaps=st.lists(st.integers(8, 400), min_size=2, max_size=12), b_frames=st.integers(0, 3))
def test_a_variable_rate_is_followed_by_time_stamps(gaps: list[int], b_frames: int) -> None:
    appear = [sum(gaps[:number]) / 1000 for number in range(len(gaps))]
    data = film(len(gaps), times=appear, options={"bf": str(b_frames)})
    frames = frames_at(data, [time + 0.004 for time in appear])
    assert [number_of(frame.pixels) for frame in frames] == list(range(len(gaps)))
    assert [frame.time for frame in frames] == pytest.approx(appear, abs=0.0011)


def test_one_frame_is_read_wherever_one_looks() -> None:
    assert numbers_at(film(1), middles(0, 0.04, 16)) == [0]


def test_frames_that_an_edit_list_cuts_away_are_not_shown() -> None:
    data = film(6, times=[-0.2, -0.1, 0, 0.1, 0.2, 0.3], options={"bf": "0"})
    assert numbers_at(data, [0.0, 0.05, 0.15]) == [2, 3]


def test_the_time_counts_from_the_beginning_of_the_file_whatever_its_stamps_begin_with() -> None:
    late = film(20, container="mpegts", muxing={"mpegts_copyts": "1", "output_ts_offset": "90"})
    assert reader_of(late).header.origin > 80
    frames = frames_at(late, [0.0, 0.41])
    assert [number_of(frame.pixels) for frame in frames] == [0, 10]
    assert [frame.time for frame in frames] == pytest.approx([0, 0.4])


def test_a_piece_deep_in_a_file_does_not_need_what_stands_before() -> None:
    data = bytearray(film(250, options={"g": "25", "sc_threshold": "0"}))
    start = data.index(b"mdat") + 4
    data[start + 1400 : start + 2600] = bytes(1200)  # some of the first seconds; the header and the first frame stay
    with pytest.raises(Rejection):
        frames_at(bytes(data), middles(0, 10, 8))
    assert numbers_at(bytes(data), [8.02, 8.5, 9.9]) == [200, 212, 247]


def test_a_container_that_calls_every_frame_a_keyframe_is_not_believed() -> None:
    data = film(60, codec="mpeg4", options={"g": "20", "bf": "2"})
    where = data.index(b"stss")
    unmarked = data[:where] + b"free" + data[where + 4 :]
    with av.open(io.BytesIO(unmarked)) as container:
        assert all(packet.is_keyframe for packet in container.demux(container.streams.video[0]) if packet.size)
    assert numbers_at(unmarked, [0.5, 1.02, 2.1]) == [12, 25, 52]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize(
    "made",
    [
        {"container": "matroska", "sound": tone(6)},
        {"container": "webm", "codec": "libvpx"},
        {"container": "avi", "codec": "mpeg4", "frames": [noisy(number) for number in range(150)]},
        {"metadata": {"title": "faststart"}},
        {"muxing": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "10"}},
    ],
)
def test_a_file_that_is_cut_off_is_refused(made: Mapping[str, Any], share: float) -> None:
    data = film(**{"frames": 150, **made})
    if "faststart" in str(made):
        data = with_index_first(data)
    cut = data[: int(len(data) * share)]
    try:
        reader = reader_of(cut)
    except Rejection as rejection:
        assert rejection.reason is RejectReason.CORRUPT_VIDEO
        return
    if "frag" in str(made):  # such a file says nothing about its length: what is there is a whole, shorter video
        assert reader.header.seconds < 6 * share + 0.5
        return
    with pytest.raises(Rejection) as caught:
        list(reader.shown_at(middles(0, 6, 16), end=6))
    assert caught.value.reason is RejectReason.CORRUPT_VIDEO


def with_index_first(data: bytes) -> bytes:
    """Move the index of an mp4 before its samples, as for the web."""
    moov, mdat = data.index(b"moov") - 4, data.index(b"mdat") - 4
    assert mdat < moov
    index = bytearray(data[moov:])
    place = index.index(b"stco") + 12
    for entry in range(int.from_bytes(index[place - 4 : place], "big")):
        at = slice(place + 4 * entry, place + 4 * entry + 4)
        index[at] = (int.from_bytes(index[at], "big") + len(index)).to_bytes(4, "big")
    return data[:mdat] + bytes(index) + data[mdat:moov]


def test_too_many_frames_are_refused_before_any_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = reader_of(film(50), Limits(video_frames=40))
    monkeypatch.setattr(frame_reader, "_decoded_packets", lambda *_: pytest.fail("a packet was decoded"))
    with pytest.raises(Rejection) as caught:
        list(reader.shown_at([0.5], end=2))
    assert caught.value.reason is RejectReason.TOO_LONG


@pytest.mark.skipif(importlib.util.find_spec("decord") is None, reason="decord is not installed")
@pytest.mark.parametrize("name", ["h264", "h264 b-frames", "h264 one group", "h264 matroska", "mpeg4", "vp9"])
def test_decord_gives_the_same_frames(name: str) -> None:
    import decord

    read = decord.VideoReader(io.BytesIO(MADE[name]), num_threads=1)
    theirs = read.get_batch([3, 20, 41]).asnumpy()
    ours = frames_at(MADE[name], [0.13, 0.81, 1.65])
    assert np.abs(np.stack([frame.pixels for frame in ours]).astype(int) - theirs.astype(int)).max() <= 2
