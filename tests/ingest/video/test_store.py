import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import AudioSettings, AudioStore, Filters, IngestSettings, Limits, VideoSettings, VideoStore
from ingest.stored import StoredField
from ingest.video.store import store_video
from pipelines.transforms.frames import decode_frames, read_clip
from shards.schema import KINDS, RejectReason
from tests.ingest.video.footage import bars, film, number_of, tone

FRAMES = IngestSettings(video=VideoSettings(frames=8))
MP4 = IngestSettings(video=VideoSettings(frames=8, store=VideoStore.MP4))
BOTH = pytest.mark.parametrize("settings", [FRAMES, MP4], ids=["frames", "mp4"])


def stored(
    data: bytes,
    settings: IngestSettings = FRAMES,
    *,
    name: str = "video",
    start_s: float | None = None,
    end_s: float | None = None,
) -> dict[str, StoredField]:
    fields = store_video(Raw.of(data, name="clip.mp4"), name, settings, start_s=start_s, end_s=end_s)
    assert len({field.name for field in fields}) == len(fields)
    for field in fields:
        assert set(field.facts) == set(KINDS[field.kind].facts)
        assert field.extension in KINDS[field.kind].extensions
    return {field.name: field for field in fields}


def refusal(data: bytes, settings: IngestSettings = FRAMES, **piece: float) -> Rejection:
    with pytest.raises(Rejection) as caught:
        stored(data, settings, **piece)  # type: ignore[arg-type]
    assert caught.value.detail
    return caught.value


def pictures(field: StoredField) -> list[int]:
    """Return the numbers of the frames that a field holds."""
    if field.kind == "frames":
        return [number_of(picture) for picture in decode_frames(tuple(field.data))]  # type: ignore[arg-type]
    assert isinstance(field.data, bytes)
    return [number_of(picture) for picture in read_clip(field.data, range(field.facts["count"]))]


def sound_of(field: StoredField) -> tuple[np.ndarray, int]:
    assert isinstance(field.data, bytes)
    return soundfile.read(io.BytesIO(field.data))


def onset(samples: np.ndarray, rate: int) -> float:
    """Return when a sound begins, in seconds."""
    return float(np.flatnonzero(np.abs(samples) > 0.1)[0] / rate)


def test_frames_from_the_middle_of_equal_parts_are_stored_with_their_times() -> None:
    video = stored(film(80))["video"]
    assert (video.kind, video.extension) == ("frames", "jpg")
    assert pictures(video) == [5, 15, 25, 35, 45, 55, 65, 75]
    facts = dict(video.facts)
    assert facts["times"] == pytest.approx([0.2, 0.6, 1.0, 1.4, 1.8, 2.2, 2.6, 3.0])
    assert (facts["width"], facts["height"], facts["count"]) == (64, 48, 8)
    assert (facts["start"], facts["seconds"], facts["fps"]) == pytest.approx((0, 3.2, 25))
    assert facts["contrast"] > 20 and 0 < facts["phash"] < 2**64
    assert facts["starts"] == facts["sizes"] == []
    assert all(type(value) in (int, float, list) for value in facts.values())


def test_an_mp4_clip_holds_all_frames_and_their_times() -> None:
    video = stored(film(30), MP4)["video"]
    assert (video.kind, video.extension) == ("clip", "mp4")
    assert pictures(video) == list(range(30))
    assert video.facts["times"] == pytest.approx([number / 25 for number in range(30)])
    assert (video.facts["count"], video.facts["seconds"]) == (30, pytest.approx(1.2))


@BOTH
def test_a_piece_is_cut_to_the_frame_and_its_times_count_from_its_start(settings: IngestSettings) -> None:
    data = film(100, options={"g": "25", "bf": "2"}, sound=tone(4))
    video = stored(data, settings, start_s=1.1, end_s=2.7)["video"]
    count = 8 if settings is FRAMES else 41
    numbers = pictures(video)
    assert len(numbers) == video.facts["count"] == count
    assert numbers[0] >= 27 and numbers[-1] <= 67
    expected = [max(0.0, number / 25 - 1.1) for number in numbers]
    assert video.facts["times"] == pytest.approx(expected, abs=1e-6)
    assert (video.facts["start"], video.facts["seconds"]) == pytest.approx((1.1, 1.6))


@BOTH
@pytest.mark.parametrize("codec", ["libx264", "libvpx-vp9", "mjpeg"])
def test_equal_input_gives_equal_bytes(settings: IngestSettings, codec: str) -> None:
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    data = film(12, codec=codec, container="matroska", pixel_format=pixel_format, sound=tone(0.5))
    first, second = (stored(data, settings, start_s=0.1) for _ in range(2))
    assert first == second


@BOTH
def test_one_frame_is_stored_once(settings: IngestSettings) -> None:
    video = stored(film([bars(77)]), settings)["video"]
    assert pictures(video) == [77]
    assert video.facts["times"] == [0.0] and video.facts["count"] == 1


def test_fewer_frames_than_asked_for_are_each_stored_once() -> None:
    video = stored(film(5))["video"]
    assert pictures(video) == [0, 1, 2, 3, 4]


@BOTH
def test_a_variable_rate_keeps_its_times(settings: IngestSettings) -> None:
    appear = [0, 0.1, 0.15, 0.9, 1.0, 1.7]
    video = stored(film(6, times=appear, container="matroska"), settings, start_s=0.0, end_s=1.8)["video"]
    assert video.facts["times"] == pytest.approx([appear[number] for number in pictures(video)], abs=0.0011)


@BOTH
@pytest.mark.parametrize("image_size", [32, 24])
def test_frames_are_made_smaller_like_pictures(settings: IngestSettings, image_size: int) -> None:
    video = stored(film(20), replace(settings, image_size=image_size))["video"]
    width, height = round(64 * image_size / 48), image_size
    if settings is MP4:
        width -= width % 2
    assert (video.facts["width"], video.facts["height"]) == (width, height)
    assert pictures(video)[0] in (0, 1)


@BOTH
def test_a_turned_video_is_stored_upright(settings: IngestSettings) -> None:
    data = film([np.rot90(bars(number)).copy() for number in range(20)], turn=(-90, False))
    video = stored(data, settings)["video"]
    assert (video.facts["width"], video.facts["height"]) == (64, 48)
    numbers = pictures(video)
    assert numbers == sorted(numbers) and numbers[-1] >= 18


@BOTH
@pytest.mark.parametrize(
    "made",
    [
        {"codec": "mpeg4", "container": "avi", "options": {"bf": "2"}},
        {"codec": "libvpx-vp9", "container": "webm"},
        {"codec": "libvpx", "container": "webm"},
        {"codec": "mjpeg", "container": "mov", "pixel_format": "yuvj420p"},
        {"codec": "libx264", "container": "mpegts"},
        {"codec": "libx264", "pixel_format": "yuv420p10le"},
        {"codec": "mpeg4", "container": "3gp"},
    ],
)
def test_every_usual_container_and_codec_is_stored(settings: IngestSettings, made: Mapping[str, Any]) -> None:
    video = stored(film(24, **made), settings)["video"]
    numbers = pictures(video)
    wanted = [1, 4, 7, 10, 13, 16, 19, 22] if settings is FRAMES else list(range(24))
    assert numbers == wanted
    assert video.facts["times"] == pytest.approx([number / 25 for number in wanted], abs=0.0011)


@BOTH
def test_the_sound_of_a_video_becomes_flac_and_log_mel(settings: IngestSettings) -> None:
    fields = stored(film(50, sound=tone(2, channels=2)), settings)
    assert [(field.name, field.kind) for field in fields.values()][1:] == [("audio", "audio"), ("logmel", "logmel")]
    samples, rate = sound_of(fields["audio"])
    assert rate == 16_000 and len(samples) / rate == pytest.approx(2, abs=0.06)
    assert fields["audio"].facts["start"] == 0 and fields["audio"].facts["source_channels"] == 2


def test_another_video_names_its_sound_after_itself() -> None:
    fields = stored(film(30, sound=tone(1.2)), name="left")
    assert list(fields) == ["left", "left_audio", "left_logmel"]


@BOTH
@pytest.mark.parametrize("sound_codec", ["aac", "alac"])
def test_sound_that_is_not_wanted_is_neither_a_field_nor_in_the_clip(
    settings: IngestSettings, sound_codec: str
) -> None:
    mute = replace(settings, audio=AudioSettings(store=AudioStore.NONE))
    fields = stored(film(50, sound=tone(2), sound_codec=sound_codec), mute)
    assert list(fields) == ["video"]
    if settings is MP4:
        assert isinstance(fields["video"].data, bytes)
        with av.open(io.BytesIO(fields["video"].data)) as clip:
            assert not clip.streams.audio


def test_no_sound_is_no_field_and_no_error() -> None:
    assert list(stored(film(10))) == ["video"]


@BOTH
@pytest.mark.parametrize(
    "container",
    [
        "mp4",
        "matroska",
    ],
)
def test_sound_that_starts_late_stays_where_it_belongs(settings: IngestSettings, container: str) -> None:
    late = film(100, container=container, sound=tone(2), sound_start=1.5)
    samples, rate = sound_of(stored(late, settings)["audio"])
    assert onset(samples, rate) == pytest.approx(1.5, abs=0.06)
    samples, rate = sound_of(stored(late, settings, start_s=1.0, end_s=3.0)["audio"])
    assert onset(samples, rate) == pytest.approx(0.5, abs=0.06)
    assert len(samples) / rate == pytest.approx(2.0, abs=0.01)


def test_sound_that_ends_early_is_shorter_than_the_pictures() -> None:
    fields = stored(film(100, sound=tone(1.5)))
    assert fields["audio"].facts["seconds"] == pytest.approx(1.5, abs=0.06)
    assert fields["video"].facts["seconds"] == pytest.approx(4)


def test_a_piece_behind_the_end_of_the_sound_has_none() -> None:
    assert list(stored(film(100, sound=tone(1)), start_s=2.0, end_s=4.0)) == ["video"]


def test_an_mp4_clip_carries_its_sound_in_step_with_the_pictures() -> None:
    """A beep that starts with frame 50 is still there in the piece, and in the clip that was encoded again."""
    beep = np.concatenate([np.zeros((1, 44_100), np.float32), tone(2)], axis=1)
    video = stored(film(100, sound=beep), MP4, start_s=1.0, end_s=4.0)["video"]
    assert isinstance(video.data, bytes)
    with av.open(io.BytesIO(video.data)) as clip:
        frames = list(clip.decode(audio=0))
        rate = frames[0].sample_rate
        heard = next(
            frame.time + int(np.argmax(np.abs(frame.to_ndarray()[0]) > 0.2)) / rate
            for frame in frames
            if np.abs(frame.to_ndarray()[0]).max() > 0.2
        )
    assert heard == pytest.approx(1.0, abs=0.03)


def test_damaged_sound_is_an_error_though_the_pictures_are_fine() -> None:
    data = bytearray(film(50, container="matroska", sound=tone(2), sound_codec="flac", sound_rate=16_000))
    with av.open(io.BytesIO(bytes(data))) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(audio=0) if packet.size]
    position, size = places[len(places) // 2]
    data[position + size // 2 : position + size // 2 + 40] = bytes(40)
    assert refusal(bytes(data)).reason is RejectReason.CORRUPT_AUDIO


@BOTH
@pytest.mark.parametrize(("start_s", "end_s"), [(5.0, 6.0), (4.0, 8.0), (-1.0, 2.0), (2.0, 2.0), (3.0, 1.0)])
def test_a_piece_that_is_not_in_the_video_is_refused(settings: IngestSettings, start_s: float, end_s: float) -> None:
    assert refusal(film(100), settings, start_s=start_s, end_s=end_s).reason is RejectReason.TOO_SHORT


@BOTH
@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        (Filters(min_side=49), RejectReason.TOO_SMALL),
        (Filters(max_aspect=1.3), RejectReason.TOO_NARROW),
        (Filters(min_seconds=4.1), RejectReason.TOO_SHORT),
        (Filters(max_seconds=3.9), RejectReason.TOO_LONG),
        (Filters(blank_contrast=120), RejectReason.BLANK_PICTURE),
    ],
)
def test_filters_refuse(settings: IngestSettings, filters: Filters, reason: RejectReason) -> None:
    assert refusal(film(100), replace(settings, filters=filters)).reason is reason
    stored(film(100), replace(settings, filters=Filters(min_side=48, max_aspect=1.34, min_seconds=4, max_seconds=4)))


@BOTH
def test_a_video_is_blank_only_if_all_its_frames_are(settings: IngestSettings) -> None:
    blank = np.full((48, 64, 3), 80, np.uint8)
    strict = replace(settings, filters=Filters(blank_contrast=2))
    assert refusal(film([blank] * 40), strict).reason is RejectReason.BLANK_PICTURE
    stored(film([*[blank] * 35, *[bars(9)] * 5]), strict)


def test_more_frames_than_allowed_are_refused() -> None:
    assert refusal(film(50), replace(FRAMES, limits=Limits(video_frames=49))).reason is RejectReason.TOO_LONG


def test_pictures_that_change_their_size_are_refused() -> None:
    data = film(10, codec="mjpeg", container="mov", pixel_format="yuvj420p")
    other = film([bars(1, width=80, height=48)] * 10, codec="mjpeg", container="mov", pixel_format="yuvj420p")
    joined = io.BytesIO()
    with av.open(joined, "w", format="mov") as target:
        stream = None
        for shift, source_data in enumerate((data, other)):
            with av.open(io.BytesIO(source_data)) as source:
                stream = stream or target.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + 5120 * shift, packet.dts + 5120 * shift
                        packet.stream = stream
                        target.mux(packet)
        target.close()
    assert refusal(joined.getvalue()).reason is RejectReason.UNSUPPORTED_PIXELS


@pytest.mark.parametrize("codec, container", [("pcm_f32be", "mov"), ("wavpack", "matroska"), ("tta", "matroska")])
def test_sound_of_every_codec_that_is_read_alone_is_read_beside_pictures(codec: str, container: str) -> None:
    fields = stored(film(50, container=container, sound=tone(2.0, rate=48_000), sound_rate=48_000, sound_codec=codec))
    assert fields["audio"].facts["seconds"] == pytest.approx(2.0, abs=0.05)
