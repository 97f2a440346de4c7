"""Waveforms and log-mel features, and how they keep step with frames."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.modalities import Clip, LogMel, Waveform
from pipelines.rendering.clip import ClipRenderer
from pipelines.rendering.logmel import LogMelRenderer
from pipelines.rendering.spans import span_of
from pipelines.rendering.waveform import WaveformRenderer
from pipelines.transforms.errors import DecodeError
from pipelines.transforms.logmel_spec import LOG_FLOOR
from pipelines.views import CenterCrop, FreshViews, RandomClip, RandomSpan, View, WholeSpan
from shards.errors import SettingsError
from tests.pipelines.many_kinds import FRAMES_PER_SECOND, Stored, audio, frames
from tests.pipelines.rendering.looking import extent_of, rendered

RATE = 16_000
HOP = 0.01
SOUND = WaveformRenderer(modality=Waveform(samples=8_000, patch=1_000))
FEATURES = LogMelRenderer(modality=LogMel(frames=64, bins=16, patch=16), hop_seconds=HOP)
SECONDS = 8.0


def spoken_clock(seconds: float = SECONDS) -> Stored:
    """Sound whose value is its time, by the time it lasts."""
    return audio(np.arange(round(seconds * RATE)) / (RATE * SECONDS))


def written_clock(seconds: float = SECONDS) -> Stored:
    """Features whose values are the number of their frame."""
    numbers = np.arange(round(seconds / HOP))
    features = np.repeat(numbers[:, None], 16, axis=1).astype("<f2")
    file = io.BytesIO()
    np.save(file, features)
    return Stored(data=file.getvalue(), extension="logmel.npy", facts={"frames": len(numbers), "bins": 16})


def heard(value: float) -> float:
    """Return the time that a sample tells, to 1/4000 s; one that was stored in 16 bits is off by up to 1/8192 s."""
    return value * SECONDS


@pytest.mark.parametrize("stride", [1, 3])
def test_sound_and_features_are_those_of_the_frames_shown(stride: int) -> None:
    number_of_frames = round(SECONDS * FRAMES_PER_SECOND)
    video = frames([np.full((16, 16, 3), 7 * number, np.uint8) for number in range(number_of_frames)])
    video = replace(video, facts={**video.facts, "seconds": SECONDS})
    pictures = ClipRenderer(modality=Clip(size=8, patch=8, frames=4, tubelet=2))
    source = FreshViews(policy=CenterCrop(size=8), time=RandomClip(count=4, stride=stride))
    extent = extent_of(pictures, video)
    starts = set()
    for key in map(str, range(30)):
        view = source.choose(key, epoch=0, seed=1, extent=extent)[1]
        first, *_, last = rendered(pictures, video, view)[0].float().mean(dim=(0, 2, 3)).div(7).round().tolist()
        wave, _ = rendered(SOUND, spoken_clock(), view, extent=extent)
        columns, real = rendered(FEATURES, written_clock(), view, extent=extent)
        assert abs(heard(wave[0].item()) - first / FRAMES_PER_SECOND) < 1e-3
        assert abs(columns[0, 0].item() * HOP - first / FRAMES_PER_SECOND) <= HOP / 2 + 1e-9
        assert view.start + view.seconds == pytest.approx((last + 1) / FRAMES_PER_SECOND)
        assert real == min(4, -(-round(view.seconds / HOP) // 16))
        starts.add(first)
    assert len(starts) > 8


def test_sound_alone_is_cut_at_a_random_time_and_lasts_as_long_as_the_span() -> None:
    source = FreshViews(policy=None, time=RandomSpan(seconds=0.25))
    starts = []
    for key in map(str, range(50)):
        view = source.choose(key, epoch=0, seed=1, extent=extent_of(SOUND, spoken_clock()))[1]
        wave, real = rendered(SOUND, spoken_clock(), view)
        starts.append(heard(wave[0].item()))
        assert abs(starts[-1] - view.start) < 1e-3
        assert abs(heard(wave[3999].item()) - view.start - 0.25) < 1e-3
        assert (wave[4000:] == 0).all()
        assert real == 4
    assert min(starts) < 1
    assert max(starts) > SECONDS - 1.5


def test_features_alone_are_cut_where_their_view_says() -> None:
    view = View(start=1.234, seconds=0.2)
    columns, real = rendered(FEATURES, written_clock(), view)
    assert columns[:20, 0].tolist() == list(range(123, 143))
    assert (columns[20:] == LOG_FLOOR).all()
    assert real == 2  # 20 frames touch two rows of patches of one band


def test_a_short_sound_ends_in_silence_and_says_how_much_is_real() -> None:
    wave, real = rendered(SOUND, spoken_clock(0.26), View())
    assert abs(heard(wave[4159].item()) - 0.26) < 1e-3
    assert (wave[4160:] == 0).all()
    assert real == 5
    columns, real = rendered(FEATURES, written_clock(0.26), View())
    assert columns[:26, 3].tolist() == list(range(26))
    assert (columns[26:] == LOG_FLOOR).all()
    assert real == 2


def test_a_long_sound_is_cut_to_the_room_there_is() -> None:
    wave, real = rendered(SOUND, spoken_clock(), View())
    assert abs(heard(wave[-1].item()) - 0.5) < 1e-3
    assert real == 8
    columns, real = rendered(FEATURES, written_clock(), View())
    assert columns[:, 0].tolist() == list(range(64))
    assert real == 4


def test_a_late_sound_begins_after_silence() -> None:
    assert extent_of(SOUND, spoken_clock(), start=0.75).seconds == SECONDS + 0.75
    wave, real = rendered(SOUND, spoken_clock(), View(start=0.5), start=0.75)
    assert (wave[:4000] == 0).all()
    assert abs(heard(wave[4100].item()) - 100 / RATE) < 1e-3
    assert real == 8
    wave, _ = rendered(SOUND, spoken_clock(), View(start=1.0), start=0.75)
    assert abs(heard(wave[0].item()) - 0.25) < 1e-3


def test_a_sound_that_begins_before_the_clip_is_cut_at_its_beginning() -> None:
    wave, _ = rendered(SOUND, spoken_clock(), View(), start=-0.5)
    assert abs(heard(wave[0].item()) - 0.5) < 1e-3


@pytest.mark.parametrize("view", [View(start=9.0), View(start=0.0, seconds=0.5)], ids=["after", "before"])
def test_where_there_is_no_sound_nothing_is_real(view: View) -> None:
    wave, real = rendered(SOUND, spoken_clock(), view, start=0.0 if view.start else 0.75)
    assert (wave == 0).all()
    assert real == 0
    if view.start:
        columns, real = rendered(FEATURES, written_clock(), view)
        assert (columns == LOG_FLOOR).all()
        assert real == 0


def test_rows_without_sound_are_silent() -> None:
    assert (SOUND.empty(2) == 0).all()
    assert (FEATURES.empty(2) == LOG_FLOOR).all()


@given(
    start=st.floats(0, 20),
    seconds=st.floats(0, 20),
    begins=st.floats(-5, 5),
    length=st.integers(0, 1000),
    most=st.integers(1, 500),
    per_second=st.sampled_from([1.0, 99.9, 100.0]),
)
def test_a_span_lies_in_what_is_stored_and_in_the_room_there_is(
    start: float, seconds: float, begins: float, length: int, most: int, per_second: float
) -> None:
    view = View(start=start, seconds=seconds)
    first, last, place = span_of(view, per_second=per_second, begins=begins, length=length, most=most)
    assert 0 <= first <= last <= length
    assert 0 <= place <= place + last - first <= most
    if last > first:
        shown_at = start + place / per_second
        assert abs(begins + first / per_second - shown_at) <= 0.5 / per_second + 1e-6


def test_features_of_an_unknown_hop_can_only_be_seen_as_a_whole() -> None:
    unknown = LogMelRenderer(modality=FEATURES.modality, hop_seconds=None)
    extent = extent_of(unknown, written_clock())
    whole = FreshViews(policy=None, time=WholeSpan()).choose("a", epoch=0, seed=1, extent=extent)[1]
    assert rendered(unknown, written_clock(), whole)[0][:, 0].tolist() == list(range(64))
    part = FreshViews(policy=None, time=RandomSpan(seconds=1.0)).choose("a", epoch=0, seed=1, extent=extent)[1]
    with pytest.raises(SettingsError, match="does not record how far frames of 'logmel' are apart"):
        rendered(unknown, written_clock(), part)


def test_sound_of_another_length_or_rate_than_recorded_is_refused() -> None:
    with pytest.raises(DecodeError, match=r"has 128000 samples at 16000 Hz, but 128000 at 22050 were recorded"):
        rendered(SOUND, spoken_clock(), View(), rate=22_050)
    with pytest.raises(DecodeError, match=r"but 99 at 16000 were recorded"):
        rendered(SOUND, spoken_clock(), View(), samples=99)
    with pytest.raises(DecodeError, match=r"It has \(800, 16\) frames and bins, but \(801, 16\) were recorded"):
        rendered(FEATURES, written_clock(), View(), frames=801)


def test_damaged_sound_is_a_decode_error() -> None:
    for renderer, stored in ((SOUND, spoken_clock()), (FEATURES, written_clock())):
        assert isinstance(stored.data, bytes)
        with pytest.raises(DecodeError):
            rendered(renderer, replace(stored, data=stored.data[:-300]), View(start=SECONDS - 0.5))


def test_features_of_another_number_of_bins_are_refused() -> None:
    wide = LogMelRenderer(modality=LogMel(frames=64, bins=32, patch=16), hop_seconds=HOP)
    with pytest.raises(SettingsError, match="'logmel' takes features of 32 bins, but the field 'logmel' has 16"):
        rendered(wide, written_clock(), View())


def test_a_row_of_sound_is_float32_from_the_stored_integers() -> None:
    stored = audio(np.sin(np.arange(8_000) / 7) * 0.9)
    wave, _ = rendered(SOUND, stored, View())
    assert torch.equal((wave * 32768).round() / 32768, wave)


def test_a_moment_of_no_length_shows_no_sound_and_one_without_a_length_all_of_it() -> None:
    features = written_clock()
    _, nothing = rendered(FEATURES, features, View(start=0.5, seconds=0.0))
    _, everything = rendered(FEATURES, features, View())
    assert (nothing, everything) == (0, FEATURES.modality.num_tokens)
