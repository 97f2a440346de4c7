from dataclasses import replace

import av
import pytest

from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import Limits
from ingest.video.header import VideoHeader, probe_video
from shards.schema import RejectReason
from tests.ingest.pictures import jpeg
from tests.ingest.video.footage import bars, film, tone

LIMITS = Limits()


def probed(data: bytes, *, name: str = "clip.mp4", limits: Limits = LIMITS) -> VideoHeader:
    return probe_video(Raw.of(data, name=name), limits)


def refusal(data: bytes, *, limits: Limits = LIMITS) -> Rejection:
    with pytest.raises(Rejection) as caught:
        probed(data, limits=limits)
    assert caught.value.detail
    return caught.value


@pytest.mark.parametrize(
    ("codec", "container", "pixel_format", "name"),
    [
        ("libx264", "mp4", "yuv420p", "h264"),
        ("libx264", "matroska", "yuv444p", "h264"),
        ("libx264", "mpegts", "yuv420p", "h264"),
        ("libx265", "mp4", "yuv420p", "hevc"),
        ("mpeg4", "avi", "yuv420p", "mpeg4"),
        ("mpeg4", "3gp", "yuv420p", "mpeg4"),
        ("mpeg2video", "mpeg", "yuv420p", "mpeg2video"),
        ("mjpeg", "mov", "yuvj420p", "mjpeg"),
        ("libvpx", "webm", "yuv420p", "vp8"),
        ("libvpx-vp9", "webm", "yuv420p", "vp9"),
        ("ffv1", "matroska", "yuv444p", "ffv1"),
    ],
)
def test_codec_size_rate_and_length_are_known_in_every_container(
    codec: str, container: str, pixel_format: str, name: str
) -> None:
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    header = probed(film(30, codec=codec, container=container, pixel_format=pixel_format, options=quiet))
    assert (header.codec, header.width, header.height, header.orientation) == (name, 64, 48, 1)
    assert header.seconds == pytest.approx(1.2, abs=0.005)
    assert header.fps == pytest.approx(25)
    assert (header.pixel_format, header.bits, header.has_sound) == (pixel_format, 8, False)


def test_sound_is_seen_and_named() -> None:
    header = probed(film(10, sound=tone(0.4)))
    assert header.has_sound and header.sound_codec == "aac"


def test_ten_bits_are_seen() -> None:
    header = probed(film(3, pixel_format="yuv420p10le"))
    assert (header.bits, header.pixel_format) == (10, "yuv420p10le")


@pytest.mark.parametrize(
    ("turn", "orientation", "size"),
    [
        ((0, False), 1, (64, 48)),
        ((0, True), 2, (64, 48)),
        ((180, False), 3, (64, 48)),
        ((-90, False), 6, (48, 64)),
        ((90, False), 8, (48, 64)),
        ((90, True), 7, (48, 64)),
        ((-90, True), 5, (48, 64)),
    ],
)
def test_width_and_height_are_those_of_the_turned_video(
    turn: tuple[float, bool], orientation: int, size: tuple[int, int]
) -> None:
    header = probed(film(3, turn=turn))
    assert header.orientation == orientation
    assert (header.width, header.height) == size


def test_a_video_that_is_shown_tilted_is_refused() -> None:
    assert refusal(film(3, turn=(30, False))).reason is RejectReason.UNSUPPORTED_PIXELS


def test_a_container_that_does_not_know_its_length_is_read_to_its_end() -> None:
    data = film(30, codec="libvpx", container="webm", muxing={"live": "1"})
    with av.open(Raw.of(data, name="").open()) as container:
        assert container.duration is None and container.streams.video[0].duration is None
    assert probed(data).seconds == pytest.approx(1.2, abs=0.005)


def test_one_frame_is_a_video() -> None:
    header = probed(film(1))
    assert header.seconds == pytest.approx(0.04) and header.frames == 1


def test_the_limit_on_pixels_holds_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = film(2)
    monkeypatch.setattr("ingest.video.header._first_frame", lambda *_: pytest.fail("a frame was decoded"))
    assert refusal(data, limits=replace(LIMITS, pixels=64 * 48 - 1)).reason is RejectReason.TOO_MANY_PIXELS


@pytest.mark.parametrize("claim", [b"99999999:00:00.000", b"0169:00:00.0000000"])
def test_a_video_that_claims_more_than_a_week_is_refused_from_its_header(
    monkeypatch: pytest.MonkeyPatch, claim: bytes
) -> None:
    data = film(30, container="matroska")
    told = b"00:00:01.200000000"
    assert told in data
    monkeypatch.setattr("ingest.video.header._first_frame", lambda *_: pytest.fail("a frame was decoded"))
    rejection = refusal(data.replace(told, claim))
    assert rejection.reason is RejectReason.TOO_LONG and "604800 s" in rejection.detail


def test_a_video_may_last_as_long_as_the_limit() -> None:
    assert probed(film(30), limits=replace(LIMITS, video_seconds=1.2)).seconds == pytest.approx(1.2)
    assert refusal(film(31), limits=replace(LIMITS, video_seconds=1.2)).reason is RejectReason.TOO_LONG


def test_the_limit_on_bytes_holds_before_the_file_is_opened() -> None:
    def opener() -> None:
        pytest.fail("the file was opened")

    with pytest.raises(Rejection) as caught:
        probe_video(Raw(name="a.mp4", size=1001, opener=opener), replace(LIMITS, video_bytes=1000))  # type: ignore[arg-type]
    assert caught.value.reason is RejectReason.TOO_MANY_BYTES


def sound_with_cover() -> bytes:
    buffer = Raw.of(film(3, codec="mjpeg", pixel_format="yuvj420p", sound=tone(1)), name="").open()
    with av.open(buffer, "r") as source:
        target_buffer = Raw.of(b"", name="").open()
        with av.open(target_buffer, "w", format="mp4") as target:
            streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
            cover = streams[source.streams.video[0].index]
            cover.disposition = av.stream.Disposition.attached_pic
            for packet in source.demux():
                is_second_picture = packet.stream.type == "video" and (packet.pts or 0) > 0
                if packet.dts is not None and not is_second_picture:
                    packet.stream = streams[packet.stream_index]
                    target.mux(packet)
        return target_buffer.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_cover_art_is_no_video() -> None:
    rejection = refusal(sound_with_cover())
    assert rejection.reason is RejectReason.UNSUPPORTED_FORMAT and "no moving pictures" in rejection.detail


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", RejectReason.EMPTY_FILE),
        (b"not a video at all, but long enough to be looked at in earnest" * 9, RejectReason.UNKNOWN_FORMAT),
        (jpeg(1), RejectReason.UNKNOWN_FORMAT),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n", RejectReason.UNKNOWN_FORMAT),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", RejectReason.UNKNOWN_FORMAT),
        (b"\x80\x04\x95" + b"cos\nsystem\n" * 30, RejectReason.UNKNOWN_FORMAT),
        (b"\x00\x00\x00\x18ftypmp42" + bytes(400), RejectReason.CORRUPT_VIDEO),
        (film(5)[:1000], RejectReason.CORRUPT_VIDEO),
        (b"\x1a\x45\xdf\xa3" + bytes(300), RejectReason.CORRUPT_VIDEO),
    ],
)
def test_what_is_no_video_is_told_from_a_damaged_one(data: bytes, reason: RejectReason) -> None:
    assert refusal(data).reason is reason


def test_a_codec_that_is_not_on_the_list_is_refused_by_name() -> None:
    rejection = refusal(film([bars(1)] * 3, codec="cinepak", container="mov", pixel_format="rgb24"))
    assert rejection.reason is RejectReason.UNSUPPORTED_FORMAT and "cinepak" in rejection.detail
