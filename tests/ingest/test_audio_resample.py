import resource
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchaudio.functional import resample

from ingest.audio_resample import Block, Decoded, at_most, quantised, resampled, to_pcm, whole
from ingest.rejection import Rejection
from shards.schema import RejectReason
from tests.ingest.audio_files import noise, tone

RATES = [4000, 8000, 11_025, 12_000, 15_984, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000]


def converted(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    return np.concatenate([np.empty(0, np.float32), *resampled([samples], rate, wanted)])


@given(
    rate=st.sampled_from(RATES), wanted=st.sampled_from(RATES), samples=st.integers(1, 5000), seed=st.integers(0, 99)
)
@settings(max_examples=150, deadline=None)
def test_resampled_sound_is_that_of_the_library_in_float64(rate: int, wanted: int, samples: int, seed: int) -> None:
    sound = noise(samples, seed=seed)[:, 0]
    expected = resample(torch.from_numpy(sound).double(), rate, wanted).numpy()
    found = converted(sound, rate, wanted)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 2e-6


@given(
    rate=st.sampled_from([8000, 44_100, 48_000]),
    cuts=st.lists(st.integers(0, 3000), max_size=6),
    samples=st.integers(0, 3000),
)
@settings(max_examples=60, deadline=None)
def test_how_sound_is_cut_into_blocks_changes_nothing(rate: int, cuts: list[int], samples: int) -> None:
    sound = noise(samples)[:, 0]
    pieces = np.split(sound, sorted(min(cut, samples) for cut in cuts))
    found = np.concatenate([np.empty(0, np.float32), *resampled(pieces, rate, 16_000)])
    assert found.shape == (-(-samples * 16_000 // rate),)
    assert np.abs(found - converted(sound, rate, 16_000)).max(initial=0) < 1e-6


def test_rates_that_share_no_factor_keep_the_pitch_and_cost_no_gigabytes() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = converted(tone(2.0, 44_101)[:, 0], 44_101, 16_000)
    assert np.abs(found[500:31_500] - tone(2.0, 16_000)[500:31_500, 0]).max() < 1e-4
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kilobytes


def test_what_would_alias_is_filtered_out() -> None:
    assert np.abs(converted(tone(1.0, 48_000, hertz=12_000)[:, 0], 48_000, 16_000)[200:-200]).max() < 0.01


@given(st.integers(-32768, 32767))
def test_samples_of_16_bits_are_rounded_to_themselves(value: int) -> None:
    assert quantised(np.array([value / 32768], dtype=np.float32))[0] == value


def test_samples_are_rounded_to_the_nearest_and_clipped() -> None:
    steps = np.array([0.4, 0.6, -0.6, 40_000, -40_000], dtype=np.float32)
    assert quantised(steps / 32768).tolist() == [0, 1, -1, 32767, -32768]


def test_length_costs_no_memory() -> None:
    block = np.zeros((1 << 20, 2), dtype=np.float32)
    blocks = (block for _ in range(100))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pcm = to_pcm(Decoded(rate=48_000, channels=2, blocks=blocks), 16_000, seconds=3600)
    assert len(pcm) == -(-100 * (1 << 20) // 3)
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000
    )  # kilobytes; at once, it would be over a million


def endless() -> Iterator[Block]:
    while True:
        yield np.zeros((1000, 1), dtype=np.float32)


def test_sound_without_an_end_is_too_long() -> None:
    with pytest.raises(Rejection) as caught:
        list(at_most(Decoded(rate=1000, channels=1, blocks=endless()), 5.0))
    assert caught.value.reason is RejectReason.TOO_LONG


def test_a_promise_over_the_limit_is_refused_before_anything_is_decoded() -> None:
    decoded = Decoded(rate=1000, channels=1, blocks=endless(), promised=5001)
    with pytest.raises(Rejection, match=r"too_long: the header promises 5.0 s; 5 s is the most"):
        next(at_most(decoded, 5.0))


@pytest.mark.parametrize(("samples", "is_whole"), [(900, True), (899, False), (2000, True)])
def test_sound_is_whole_if_no_more_is_missing_than_the_slack(samples: int, is_whole: bool) -> None:
    blocks = [np.zeros((samples, 1), dtype=np.float32)]
    decoded = Decoded(rate=1000, channels=1, blocks=iter(blocks), promised=1000, slack=100)
    try:
        list(whole(decoded, decoded.blocks))
    except Rejection as rejection:
        assert rejection.reason is RejectReason.CORRUPT_AUDIO and not is_whole
    else:
        assert is_whole


@pytest.mark.parametrize(("rate", "channels"), [(0, 1), (999, 1), (768_001, 1), (16_000, 0), (16_000, 65)])
def test_rates_and_channels_that_no_sound_has_are_refused(rate: int, channels: int) -> None:
    with pytest.raises(Rejection, match="unsupported_format"):
        Decoded(rate=rate, channels=channels, blocks=iter(()))
