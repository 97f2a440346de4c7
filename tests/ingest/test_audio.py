import io
import math
from dataclasses import replace
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.audio import store_audio, store_sound
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import AudioSettings, AudioStore, Filters, IngestSettings, Limits
from ingest.stored import StoredField
from pipelines.transforms.logmel import log_mel
from pipelines.transforms.sound import decode_logmel, decode_sound
from shards.schema import KINDS, RejectReason, is_valid_field_name
from tests.ingest.audio_files import click, muxed, noise, tone, written

PLAIN = IngestSettings()
WRITTEN = [
    *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")),
    *(
        ("WAVEX", "PCM_16"),
        ("RF64", "PCM_16"),
        ("W64", "PCM_16"),
        ("AIFF", "PCM_16"),
        ("AU", "PCM_16"),
        ("CAF", "PCM_16"),
    ),
    *(("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")),
]
MUXED = [("mp4", "aac"), ("ipod", "aac"), ("3gp", "aac"), ("matroska", "aac"), ("webm", "libopus"), ("mov", "alac")]
UNTIMED = [("adts", "aac"), ("mpegts", "aac"), ("flv", "aac"), ("ac3", "ac3"), ("wv", "wavpack"), ("tta", "tta")]


def store(data: bytes, settings: IngestSettings = PLAIN, **piece: float | None) -> list[StoredField]:
    return store_audio(Raw.of(data, name="sound"), "audio", settings, **piece)


def stored(data: bytes, settings: IngestSettings = PLAIN, **piece: float | None) -> np.ndarray:
    field = store(data, settings, **piece)[0]
    assert isinstance(field.data, bytes)
    return decode_sound(field.data).samples


def refused(data: bytes, settings: IngestSettings = PLAIN, **piece: float | None) -> tuple[RejectReason, str]:
    with pytest.raises(Rejection) as caught:
        store(data, settings, **piece)
    return caught.value.reason, caught.value.detail


def reason(data: bytes, settings: IngestSettings = PLAIN, **piece: float | None) -> RejectReason:
    return refused(data, settings, **piece)[0]


def place(samples: np.ndarray) -> int:
    """Return at which sample the click is."""
    template = click(0.02, 16_000, at=0.01)[:, 0]
    return int(np.correlate(samples, template, "valid").argmax()) + 160


def audio(**values: Any) -> IngestSettings:
    return IngestSettings(audio=AudioSettings(**values))


@pytest.mark.parametrize(("kind", "subtype"), WRITTEN)
def test_what_libsndfile_writes_is_stored_where_it_was_and_as_loud(kind: str, subtype: str) -> None:
    rate = 48_000 if subtype == "OPUS" else 44_100
    data = written(click(2.0, rate, at=1.0), rate, kind, subtype)
    found = stored(data)
    assert abs(len(found) - 32_000) <= 1
    assert abs(place(found) - 16_000) <= 1
    assert np.abs(found).max() == pytest.approx(0.8, abs=0.08)


@pytest.mark.parametrize(("kind", "codec"), MUXED)
def test_what_ffmpeg_writes_with_time_stamps_is_stored_where_it_was(kind: str, codec: str) -> None:
    rate = 48_000
    found = stored(muxed(click(2.0, rate, at=1.0), rate, kind, codec))
    assert abs(place(found) - 16_000) <= 1
    assert 32_000 <= len(found) <= 32_000 + 1024


@pytest.mark.parametrize(("kind", "codec"), UNTIMED)
def test_streams_without_a_start_are_stored_within_the_delay_of_their_codec(kind: str, codec: str) -> None:
    found = stored(muxed(click(2.0, 48_000, at=1.0), 48_000, kind, codec))
    assert 0 <= place(found) - 16_000 <= 0.05 * 16_000


@pytest.mark.parametrize("kind", ["amr", "3gp"])
def test_speech_of_old_telephones_is_stored(kind: str) -> None:
    field = store(muxed(tone(1.0, 8000), 8000, kind, "libopencore_amrnb"))[0]
    assert field.facts["source_rate"] == 8000
    assert field.facts["seconds"] == pytest.approx(1.0, abs=0.05)


@given(
    samples=st.integers(400, 5000), seed=st.integers(0, 99), kind=st.sampled_from(["WAV", "FLAC", "AIFF", "W64", "CAF"])
)
@settings(max_examples=25, deadline=None)
def test_mono_of_16_bits_at_the_stored_rate_comes_through_bit_for_bit(samples: int, seed: int, kind: str) -> None:
    pcm = np.random.default_rng(seed).integers(-32768, 32768, samples).astype(np.int16)
    assert np.array_equal(stored(written(pcm, 16_000, kind, "PCM_16")) * 32768, pcm)


def test_features_are_those_of_the_samples_as_stored_bit_for_bit() -> None:
    sound, features = store(written(noise(50_000, channels=2), 44_100, "WAV", "FLOAT"))
    assert isinstance(sound.data, bytes) and isinstance(features.data, bytes)
    again = log_mel(torch.from_numpy(decode_sound(sound.data).samples), PLAIN.audio.spec)
    assert np.array_equal(decode_logmel(features.data), again.half().numpy())


@pytest.mark.parametrize("channels", [1, 2, 6, 8, 64])
def test_channels_are_averaged(channels: int) -> None:
    samples = noise(8000, channels=channels, level=0.2)
    found = stored(written(samples, 16_000, "WAV", "FLOAT"))
    assert np.abs(found - samples.mean(axis=1)).max() <= 0.51 / 32768


def test_eight_channels_out_of_ffmpeg_do_not_crash() -> None:
    found = stored(muxed(tone(0.5, 48_000, channels=8), 48_000, "wv", "wavpack"))
    assert np.abs(found).max() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("store_what", list(AudioStore))
@pytest.mark.parametrize("name", ["audio", "left"])
def test_fields_have_the_names_kinds_and_facts_that_the_schema_knows(store_what: AudioStore, name: str) -> None:
    fields = store_audio(Raw.of(written(tone(1.0, 16_000), 16_000, "WAV"), name="x"), name, audio(store=store_what))
    expected = {"flac": ["audio"], "logmel": ["logmel"], "both": ["audio", "logmel"], "none": []}[store_what.value]
    assert [field.kind for field in fields] == expected
    for field in fields:
        assert field.name == (name if field.kind == "audio" else {"audio": "logmel", "left": "left_logmel"}[name])
        assert field.extension in KINDS[field.kind].extensions
        assert set(field.facts) == set(KINDS[field.kind].facts)
        assert is_valid_field_name(field.name)


def test_facts_describe_the_stored_sound_and_where_it_came_from() -> None:
    sound, features = store(written(tone(1.5, 44_100, channels=2, level=0.5), 44_100, "WAV"))
    facts = sound.facts
    assert (facts["rate"], facts["samples"], facts["seconds"], facts["start"]) == (16_000, 24_000, 1.5, 0.0)
    assert (facts["source_rate"], facts["source_channels"]) == (44_100, 2)
    assert facts["peak_db"] == pytest.approx(20 * math.log10(0.5), abs=0.1)
    assert facts["rms_db"] == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=0.05)
    assert dict(features.facts) == {"frames": 148, "bins": 128}


def test_digital_silence_is_stored_at_the_lowest_level() -> None:
    sound, _ = store(written(np.zeros(16_000, np.int16), 16_000, "WAV"))
    assert sound.facts["peak_db"] == sound.facts["rms_db"] == -120.0


def test_the_same_file_gives_the_same_bytes() -> None:
    data = written(noise(30_000), 44_100, "WAV")
    assert [field.data for field in store(data)] == [field.data for field in store(data)]


@pytest.mark.parametrize(
    ("kind", "subtype", "slack"), [("WAV", "PCM_16", 0), ("FLAC", "PCM_16", 0), ("OGG", "VORBIS", 0), ("MP3", None, 1)]
)
def test_a_piece_is_what_lies_between_its_times(kind: str, subtype: str | None, slack: int) -> None:
    data = written(noise(48_000, seed=3), 16_000, kind, subtype)
    everything = stored(data) * 32768
    piece = stored(data, start_s=0.75, end_s=1.5) * 32768
    assert np.abs(piece - everything[12_000:24_000]).max() <= slack


@pytest.mark.parametrize(("kind", "codec"), [("mp4", "aac"), ("mov", "alac")])
def test_a_piece_out_of_ffmpeg_is_what_lies_between_its_times(kind: str, codec: str) -> None:
    data = muxed(noise(6 * 16_000, seed=3), 16_000, kind, codec)
    everything = stored(data) * 32768
    for start, end in ((0.0, 0.5), (0.75, 1.5), (4.3, 5.9)):
        piece = stored(data, start_s=start, end_s=end) * 32768
        assert np.abs(piece - everything[round(start * 16_000) : round(end * 16_000)]).max() <= 1


def test_a_piece_may_reach_beyond_the_end_and_is_shorter_then() -> None:
    for data in (written(tone(2.0, 16_000), 16_000, "WAV"), muxed(tone(2.0, 48_000), 48_000, "mov", "alac")):
        assert len(stored(data, start_s=1.5, end_s=60.0)) == 8000
        assert reason(data, start_s=5.0, end_s=6.0) is RejectReason.TOO_SHORT


@pytest.mark.parametrize(
    ("start", "end"), [(1.0, 1.0), (1.0, 0.5), (-1.0, 1.0), (math.nan, 1.0), (0.0, math.nan), (math.inf, None)]
)
def test_a_piece_that_ends_before_it_begins_is_refused(start: float, end: float | None) -> None:
    assert reason(written(tone(2.0, 16_000), 16_000, "WAV"), start_s=start, end_s=end) is RejectReason.TOO_SHORT


def test_limits_are_read_off_the_header() -> None:
    bomb = bytearray(written(np.zeros(1000, np.int16), 16_000, "FLAC"))
    bomb[21:26] = bytes([bomb[21] | 0x0F]) + b"\xff\xff\xff\xff"
    refusal, detail = refused(bytes(bomb))
    assert refusal is RejectReason.TOO_LONG
    assert detail.startswith("the header promises 4294967.3 s; 3600 s is the most; cut videos by --clip-seconds")
    long = written(tone(3.0, 8000), 8000, "WAV")
    assert reason(long, IngestSettings(limits=Limits(audio_seconds=2.5))) is RejectReason.TOO_LONG
    assert reason(long, IngestSettings(limits=Limits(audio_bytes=1000))) is RejectReason.TOO_MANY_BYTES
    assert len(stored(long, IngestSettings(limits=Limits(audio_seconds=2.5)), start_s=1.0, end_s=2.0)) == 16_000


@pytest.mark.parametrize("kind", ["adts", "matroska", "mp4"])
def test_limits_hold_where_ffmpeg_decodes(kind: str) -> None:
    data = muxed(tone(3.0, 48_000), 48_000, kind, "aac")
    assert reason(data, IngestSettings(limits=Limits(audio_seconds=2.5))) is RejectReason.TOO_LONG


def test_filters_refuse_what_is_short_long_or_silent() -> None:
    data = written(tone(2.0, 16_000, level=0.01), 16_000, "WAV")
    for filters, expected in (
        (Filters(min_seconds=2.1), RejectReason.TOO_SHORT),
        (Filters(max_seconds=1.9), RejectReason.TOO_LONG),
        (Filters(silence_db=-39.0), RejectReason.SILENT_AUDIO),
    ):
        assert reason(data, IngestSettings(filters=filters)) is expected
    assert store(data, IngestSettings(filters=Filters(min_seconds=2.0, max_seconds=2.0, silence_db=-41.0)))


def test_sound_shorter_than_a_window_is_refused_unless_only_samples_are_stored() -> None:
    data = written(noise(399), 16_000, "WAV")
    assert reason(data) is RejectReason.TOO_SHORT
    assert len(stored(data, audio(store=AudioStore.FLAC))) == 399
    assert reason(written(noise(0), 16_000, "WAV"), audio(store=AudioStore.FLAC)) is RejectReason.TOO_SHORT


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_samples_that_are_no_sound_are_refused(bad: float, subtype: str) -> None:
    samples = noise(5000, channels=2).astype(np.float64)
    samples[4321, 1] = bad
    expected = RejectReason.UNSUPPORTED_FORMAT if bad == 1e30 else RejectReason.CORRUPT_AUDIO
    assert reason(written(samples, 16_000, "WAV", subtype)) is expected


def test_floating_point_samples_in_another_scale_are_refused_and_slight_overshoots_clipped() -> None:
    assert reason(written(20_000 * tone(1.0, 16_000), 16_000, "WAV", "FLOAT")) is RejectReason.UNSUPPORTED_FORMAT
    found = stored(written(4.4 * tone(1.0, 16_000), 16_000, "WAV", "FLOAT"))
    assert found.max() == 32767 / 32768 and found.min() == -1.0


@pytest.mark.parametrize("rate", [1, 999, 800_000])
def test_rates_that_no_sound_has_are_refused(rate: int) -> None:
    assert reason(written(noise(9000), rate, "WAV", "PCM_16")) is RejectReason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("rate", [1000, 8000, 11_025, 22_255, 44_101, 96_000, 192_000])
def test_any_other_rate_is_stored(rate: int) -> None:
    found = stored(written(tone(1.0, rate, hertz=100.0), rate, "WAV"))
    assert abs(len(found) - 16_000) <= 1
    expected = tone(1.0, 16_000, hertz=100.0)[:16_000, 0]
    assert np.abs(found[1000:15_000] - expected[1000:15_000]).max() < 0.01


def test_an_mp3_behind_tags_and_a_cover_is_stored() -> None:
    mp3 = written(tone(1.0, 44_100), 44_100, "MP3")
    for size in (300, 300_000):
        tag = b"ID3\x03\x00\x00" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)
        assert len(stored(tag + mp3)) == pytest.approx(16_000, abs=1)
    assert len(stored(mp3 + b"TAG" + bytes(125))) == pytest.approx(16_000, abs=1)


def test_a_name_proves_nothing() -> None:
    data = written(tone(1.0, 44_100), 44_100, "MP3")
    assert len(store_audio(Raw.of(data, name="a.wav"), "audio", PLAIN)) == 2


def test_what_is_no_sound_file_is_unknown_and_says_how_it_starts() -> None:
    assert reason(b"") is RejectReason.EMPTY_FILE
    for data in (
        b"#EXTM3U\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        b"MThd" + bytes(99),
        bytes(99),
    ):
        found, detail = refused(data)
        assert found is RejectReason.UNKNOWN_FORMAT and data[:4].hex(" ") in detail


def test_a_file_without_sound_says_what_it_has() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10, width=32, height=32, pix_fmt="yuv420p")
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 80 * number, np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert refused(buffer.getvalue()) == (RejectReason.NO_SOUND, "the file has no sound; what it has is: video")


def test_sound_of_a_clip_is_stored_like_that_of_a_file() -> None:
    samples = noise(44_100, channels=2)
    of_file = store(written(samples, 44_100, "WAV", "FLOAT"))
    of_clip = store_sound(np.ascontiguousarray(samples.T), 44_100, start=0.25, name="audio", settings=PLAIN)
    assert [field.data for field in of_clip] == [field.data for field in of_file]
    assert of_clip[0].facts == {**of_file[0].facts, "start": 0.25}


@pytest.mark.parametrize("shape", [(0, 100), (1, 0), (2, 0)])
def test_a_clip_without_sound_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(Rejection):
        store_sound(np.zeros(shape, np.float32), 48_000, start=0.0, name="audio", settings=PLAIN)


def test_parameters_of_the_features_follow_the_settings() -> None:
    choice = replace(PLAIN.audio, rate=22_050, mel_bins=80, window_ms=32.0, hop_ms=8.0)
    _, features = store(written(tone(1.0, 22_050), 22_050, "WAV"), IngestSettings(audio=choice))
    assert dict(features.facts) == {"frames": choice.spec.frames(22_050), "bins": 80}


def test_flac_that_does_not_say_how_long_it_is_is_stored_whole() -> None:
    data = bytearray(written(tone(1.0, 16_000), 16_000, "FLAC"))
    data[21:26] = bytes([data[21] & 0xF0]) + bytes(4)
    assert soundfile.SoundFile(io.BytesIO(bytes(data))).frames > 1 << 60
    assert len(stored(bytes(data))) == 16_000
