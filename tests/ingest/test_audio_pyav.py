import io
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.container import InputContainer

from ingest.audio_pyav import decode_with_pyav, open_with_pyav
from ingest.containers import sniff
from ingest.rejection import Rejection
from ingest.settings import Limits
from shards.schema import RejectReason
from tests.ingest.audio_files import click, muxed, noise, tone
from tests.ingest.video.footage import film

RATE = 48_000
KINDS = [("mp4", "aac"), ("mov", "alac"), ("matroska", "aac"), ("webm", "libopus")]
ROUNDING = {"mp4": 0.0, "mov": 0.0, "matroska": 1e-3, "webm": 1e-3}


def loudest(samples: np.ndarray, rate: int) -> float:
    return int(np.abs(samples[0]).argmax()) / rate


def decode(data: bytes, **piece: float) -> np.ndarray:
    samples, rate = decode_with_pyav(io.BytesIO(data), **piece)
    assert rate == RATE and samples.dtype == np.float32
    return samples


@pytest.mark.parametrize(("kind", "codec"), KINDS)
@pytest.mark.parametrize("start", [0.0, 0.5, 2.25, 4.9])
def test_a_piece_begins_at_its_moment(kind: str, codec: str, start: float) -> None:
    data = muxed(click(6.0, RATE, at=5.0), RATE, kind, codec)
    piece = decode(data, start_s=start, end_s=5.5)
    assert piece.shape == (1, round((5.5 - start) * RATE))
    assert loudest(piece, RATE) == pytest.approx(5.0 - start, abs=ROUNDING[kind] + 1.5 / RATE)


@pytest.mark.parametrize(("kind", "codec"), KINDS)
def test_a_hole_in_the_time_stamps_is_filled_with_silence(kind: str, codec: str) -> None:
    data = muxed(click(6.0, RATE, at=5.0) + tone(6.0, RATE, level=0.1), RATE, kind, codec, hole=(2.0, 4.0))
    samples = decode(data, start_s=0.0)
    assert loudest(samples, RATE) == pytest.approx(5.0, abs=2e-3)
    assert np.abs(samples[0, round(2.2 * RATE) : round(3.8 * RATE)]).max() == 0
    assert np.abs(samples[0, : round(1.8 * RATE)]).max() > 0.05


@pytest.mark.parametrize(("kind", "codec"), [("mp4", "aac"), ("mov", "alac"), ("matroska", "aac")])
def test_sound_that_begins_after_the_pictures_keeps_its_place_beside_them(kind: str, codec: str) -> None:
    data = muxed(click(3.0, RATE, at=1.0), RATE, kind, codec, late=0.5, pictures=30)
    assert loudest(decode(data, start_s=0.0), RATE) == pytest.approx(1.5, abs=2e-3)
    assert loudest(decode(data, start_s=0.25, end_s=3.0), RATE) == pytest.approx(1.25, abs=2e-3)
    assert loudest(decode(data, start_s=1.4, end_s=1.6), RATE) == pytest.approx(0.1, abs=2e-3)
    assert 0.998 < loudest(decode(data), RATE) < 1.03  # from the first sample, which may belong to the codec's delay
    assert not decode(data, start_s=0.0, end_s=0.25).any()


@pytest.mark.parametrize(("kind", "codec"), KINDS)
def test_a_piece_beyond_the_end_has_no_samples(kind: str, codec: str) -> None:
    data = muxed(tone(2.0, RATE, channels=2), RATE, kind, codec)
    assert decode(data, start_s=30.0, end_s=31.0).shape == (2, 0)
    assert decode(data, start_s=1.5, end_s=60.0).shape[1] == pytest.approx(0.5 * RATE, abs=2048)


def test_channels_stay_apart_and_in_order() -> None:
    samples = np.concatenate([noise(RATE, level=0.2), tone(1.0, RATE)], axis=1)
    found = decode(muxed(samples, RATE, "mov", "alac"))
    assert np.abs(found - samples.T).max() < 1 / 32768


def test_more_sound_than_the_limit_is_refused() -> None:
    data = muxed(tone(2.0, RATE), RATE, "mp4", "aac")
    with pytest.raises(Rejection, match="too_long"):
        decode_with_pyav(io.BytesIO(data), limits=Limits(audio_seconds=1.5))


def test_the_file_stays_open() -> None:
    file = io.BytesIO(muxed(tone(1.0, RATE), RATE, "mp4", "aac"))
    decode_with_pyav(file)
    assert not file.closed


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[InputContainer]:
    """Return a list that fills with what PyAV opens to read."""
    found: list[InputContainer] = []
    to_open = av.open

    def spy(*arguments: Any, **options: Any) -> InputContainer:
        found.append(to_open(*arguments, **options))
        return found[-1]

    monkeypatch.setattr("ingest.audio_pyav.av.open", spy)
    return found


def assert_closed(opened: list[InputContainer]) -> None:
    (container,) = opened
    with pytest.raises(AssertionError, match="not open"):
        container.seek(0)


SOUND = muxed(tone(2.0, RATE), RATE, "mov", "alac")
DAMAGED = SOUND[: len(SOUND) // 4] + bytes(len(SOUND) // 4) + SOUND[len(SOUND) // 2 :]
PICTURES = film(3)


def test_what_is_opened_is_closed_when_all_sound_is_read(opened: list[InputContainer]) -> None:
    decode_with_pyav(io.BytesIO(SOUND))
    assert_closed(opened)


def test_what_is_opened_is_closed_when_its_sound_is_left_unread(opened: list[InputContainer]) -> None:
    container = sniff(SOUND)
    assert container is not None
    with open_with_pyav(io.BytesIO(SOUND), container, start_s=None, end_s=None) as decoded:
        next(decoded.blocks)
    assert_closed(opened)


@pytest.mark.parametrize("data", [PICTURES, SOUND, DAMAGED], ids=["no sound", "too long", "damaged"])
def test_what_is_opened_is_closed_when_it_is_refused(opened: list[InputContainer], data: bytes) -> None:
    with pytest.raises(Rejection):
        decode_with_pyav(io.BytesIO(data), limits=Limits(audio_seconds=1.5))
    assert_closed(opened)


def test_scripts_that_name_other_files_are_never_followed(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "secret.wav"), "wb") as secret:
        secret.setparams((1, 2, 16_000, 0, "NONE", ""))
        secret.writeframes(b"\x01\x02" * 16_000)
    for script in (
        f"ffconcat version 1.0\nfile '{tmp_path}/secret.wav'\n",
        f"#EXTM3U\n#EXTINF:1,\n{tmp_path}/secret.wav\n",
    ):
        with pytest.raises(Rejection) as caught:
            decode_with_pyav(io.BytesIO(script.encode()))
        assert caught.value.reason is RejectReason.UNKNOWN_FORMAT
