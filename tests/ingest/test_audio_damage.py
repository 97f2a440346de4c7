"""Sound files that are cut off, flipped or lie: stored or refused, and never anything else."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.audio import store_audio
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import IngestSettings
from pipelines.transforms.sound import decode_sound
from shards.schema import RejectReason
from tests.ingest.audio_files import muxed, noise, tone, written

PLAIN = IngestSettings()
HOSTILE = Path(__file__).parents[2].parent / "shared" / "data" / "hostile"
CHILD = """
import json, sys
from pathlib import Path
from tests.ingest.test_audio_damage import outcome
for path in sys.argv[1:]:
    print(json.dumps([Path(path).name, outcome(Path(path).read_bytes())]), flush=True)
"""
EXPECTED = {
    "106-invalid-streaminfo.flac": "corrupt_audio",
    "bad-xing.mp3": "corrupt_audio",
    "emptyfile.mp3": "empty_file",
    "float_wav_with_nan_inf.wav": "corrupt_audio",
    "one_sample.wav": "too_short",
    "too-short.mp3": "corrupt_audio",
    "wav_header_promises_more.wav": "corrupt_audio",
}
_NOISE = noise(6000, channels=2)
PROMISING = {
    **{kind: written(_NOISE, 16_000, kind, "PCM_16") for kind in ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF")},
    "FLAC": written(_NOISE, 16_000, "FLAC"),
    "Ogg": written(noise(50_000), 16_000, "OGG", "VORBIS"),
    "Opus": written(noise(50_000), 16_000, "OGG", "OPUS"),
    "MP3": written(noise(100_000), 16_000, "MP3"),
    "M4A": muxed(noise(50_000), 16_000, "mp4", "aac"),
    "ALAC": muxed(noise(50_000), 16_000, "mov", "alac"),
    "Matroska": muxed(noise(50_000), 48_000, "matroska", "libopus"),
}
STREAMS = {
    "AAC": muxed(noise(50_000), 16_000, "adts", "aac"),
    "AMR": muxed(noise(20_000), 8000, "amr", "libopencore_amrnb"),
}


def outcome(data: bytes) -> str:
    try:
        fields = store_audio(Raw.of(data, name="sound"), "audio", PLAIN)
    except Rejection as rejection:
        assert rejection.detail
        return rejection.reason.value
    assert isinstance(fields[0].data, bytes)
    assert len(decode_sound(fields[0].data).samples) == fields[0].facts["samples"]
    return "stored"


@pytest.mark.parametrize("kind", PROMISING)
@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
def test_a_file_that_is_shorter_than_it_promises_is_corrupt(kind: str, share: float) -> None:
    data = PROMISING[kind]
    assert outcome(data) == "stored"
    assert outcome(data[: int(len(data) * share)]) == "corrupt_audio"


def test_a_wav_of_unknown_length_is_stored_as_long_as_it_is() -> None:
    data = bytearray(PROMISING["WAV"])
    place = data.index(b"data") + 4
    for size in (b"\xff\xff\xff\xff", b"\0\0\0\0"):
        data[place : place + 4] = size
        assert outcome(bytes(data)) in ("stored", "too_short")
    data[place : place + 4] = (len(data)).to_bytes(4, "little")
    assert outcome(bytes(data)) == "stored"


def test_an_mp3_without_a_count_is_stored_as_long_as_it_is() -> None:
    data = PROMISING["MP3"]
    second = data.index(data[:2], 4)
    assert outcome(data[second:]) == "stored"


@pytest.mark.parametrize("place", [0.3, 0.5, 0.7])
def test_a_flipped_bit_in_flac_is_corrupt(place: float) -> None:
    data = bytearray(PROMISING["FLAC"])
    data[int(len(data) * place)] ^= 0x10
    assert outcome(bytes(data)) == "corrupt_audio"


_SEEDS = [*PROMISING.values(), *STREAMS.values()]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_file_is_stored_or_refused_and_never_anything_else(data: st.DataObject) -> None:
    file = bytearray(data.draw(st.sampled_from(_SEEDS)))
    for _ in range(data.draw(st.integers(1, 6))):
        file[data.draw(st.one_of(st.integers(0, 200), st.integers(0, len(file) - 1)))] = data.draw(st.integers(0, 255))
    file = file[: data.draw(st.integers(0, len(file)))] if data.draw(st.booleans()) else file
    assert outcome(bytes(file))


@settings(max_examples=50, deadline=None)
@given(start=st.sampled_from([data[:16] for data in _SEEDS]), rest=st.binary(max_size=400))
def test_a_start_with_anything_behind_it_is_refused(start: bytes, rest: bytes) -> None:
    assert outcome(start + rest) in {reason.value for reason in RejectReason}


def test_sound_that_changes_its_rate_midway_is_refused_or_stored_at_one_rate() -> None:
    first, second = (written(tone(1.0, rate), rate, "MP3") for rate in (44_100, 22_050))
    assert outcome(first + second) in ("stored", "unsupported_format", "corrupt_audio")
    streams = [muxed(tone(1.0, rate), rate, "adts", "aac") for rate in (44_100, 22_050)]
    assert outcome(streams[0] + streams[1]) == "unsupported_format"


@pytest.mark.timeout(60)
@pytest.mark.skipif(not HOSTILE.is_dir(), reason=f"the collection of odd files {HOSTILE} is not there")
def test_odd_files_of_others_neither_crash_nor_hang() -> None:
    paths = [*sorted((HOSTILE / "audio").iterdir()), HOSTILE / "video" / "ax_sample_dts_hd_ma.mp4"]
    command = [sys.executable, "-c", CHILD, *(str(path) for path in paths)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=50, check=False, cwd=Path(__file__).parents[2]
    )
    found = dict(json.loads(line) for line in done.stdout.splitlines())
    assert done.returncode == 0, (found, done.stderr)
    assert found == {path.name: EXPECTED.get(path.name, "stored") for path in paths}


def test_noise_is_what_it_was_before_damage() -> None:
    stored = store_audio(Raw.of(PROMISING["WAV"], name="x"), "audio", PLAIN)[0]
    assert isinstance(stored.data, bytes)
    assert np.abs(decode_sound(stored.data).samples - _NOISE.mean(axis=1)).max() < 2 / 32768
