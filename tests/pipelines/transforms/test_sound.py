import contextlib
import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.transforms.sound import SoundDecodeError, decode_logmel, decode_sound


def pcm(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-32768, 32768, samples).astype(np.int16)


def flac(samples: np.ndarray, rate: int = 16_000, **options: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, **({"format": "FLAC", "subtype": "PCM_16"} | options))
    return buffer.getvalue()


def npy(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=version)
    return buffer.getvalue()


FEATURES = np.random.default_rng(0).normal(-4, 4, (7, 128)).astype(np.float16)
FLAC = flac(pcm(5000))
LONG = flac(pcm(30_000, 1))


@given(samples=st.integers(1, 3000), rate=st.sampled_from([8000, 16000, 44100]), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_samples_come_back_as_the_stored_integers_over_32768(samples: int, rate: int, seed: int) -> None:
    sound = decode_sound(flac(pcm(samples, seed), rate))
    assert sound.rate == rate
    assert sound.samples.dtype == np.float32
    assert np.array_equal(sound.samples * 32768, pcm(samples, seed))


@given(st.integers(0, 30_000), st.integers(0, 30_000))
@settings(max_examples=100, deadline=None)
def test_a_part_of_a_sound_is_that_part_of_the_whole(one: int, other: int) -> None:
    first, last = sorted((one, other))
    part = decode_sound(LONG, first=first, last=last)
    assert part.num_samples == 30_000
    assert np.array_equal(part.samples * 32768, pcm(30_000, 1)[first:last])


@pytest.mark.parametrize("part", [{"first": 10, "last": 5001}, {"first": -1}, {"first": 9, "last": 8}])
def test_a_part_that_is_not_there_is_an_error(part: dict[str, int]) -> None:
    with pytest.raises(SoundDecodeError, match="were asked for; the FLAC file has 5000"):
        decode_sound(FLAC, **part)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_part_of_damaged_sound_has_its_length_or_is_an_error(data: st.DataObject) -> None:
    file = bytearray(LONG)
    file[data.draw(st.integers(0, len(file) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        sound = decode_sound(bytes(file), first=10_000, last=20_000)
    except SoundDecodeError:
        return
    assert len(sound.samples) == 10_000
    assert np.isfinite(sound.samples).all()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_sound_is_whole_or_an_error(data: st.DataObject) -> None:
    file = bytearray(FLAC)
    file[data.draw(st.integers(0, len(file) - 1))] ^= data.draw(st.integers(1, 255))
    file = file[: data.draw(st.integers(0, len(file)))] if data.draw(st.booleans()) else file
    try:
        sound = decode_sound(bytes(file))
    except SoundDecodeError:
        return
    assert np.isfinite(sound.samples).all()


@pytest.mark.parametrize("length", [len(FLAC) - 1, len(FLAC) // 2, 60, 4, 0])
def test_sound_that_is_cut_off_is_an_error(length: int) -> None:
    with pytest.raises(SoundDecodeError):
        decode_sound(FLAC[:length])


def test_sound_of_another_kind_is_an_error_that_says_so() -> None:
    with pytest.raises(SoundDecodeError, match="no FLAC file; they start with 52 49 46 46"):
        decode_sound(flac(pcm(100), format="WAV"))
    with pytest.raises(SoundDecodeError, match="2 channels"):
        decode_sound(flac(pcm(100).reshape(50, 2)))
    with pytest.raises(SoundDecodeError, match="PCM_24"):
        decode_sound(flac(pcm(100), subtype="PCM_24"))


def test_features_come_back_as_they_were_and_can_be_written_to() -> None:
    features = decode_logmel(npy(FEATURES))
    assert np.array_equal(features, FEATURES)
    features[0] = 0


def test_features_without_frames_come_back() -> None:
    assert decode_logmel(npy(FEATURES[:0])).shape == (0, 128)


OTHER_FORMS = {
    "float32": npy(FEATURES.astype(np.float32)),
    "big-endian": npy(FEATURES.astype(">f2")),
    "one dimension": npy(FEATURES[0]),
    "fortran": npy(np.asfortranarray(FEATURES)),
    "version 2": npy(FEATURES, version=(2, 0)),
    "short": npy(FEATURES)[:-1],
    "long": npy(FEATURES) + b"\0",
    "no header": npy(FEATURES)[:40],
    "bomb": npy(FEATURES).replace(b"(7, 128)", b"(777777777, 128)"),
    "negative": npy(FEATURES).replace(b"(7, 128)", b"(-7, -128)"),
    "objects": npy(FEATURES).replace(b"'<f2'", b"'|O8'"),
    "pickle": b"\x80\x04K\x01.",
    "empty": b"",
}


@pytest.mark.parametrize("data", OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_features_in_any_other_form_are_an_error(data: bytes) -> None:
    with pytest.raises(SoundDecodeError, match="log-mel"):
        decode_logmel(data)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 127), st.integers(0, 255))
def test_a_damaged_header_of_features_is_read_or_an_error(place: int, value: int) -> None:
    data = bytearray(npy(FEATURES))
    data[place] = value
    with contextlib.suppress(SoundDecodeError):
        assert decode_logmel(bytes(data)).ndim == 2
