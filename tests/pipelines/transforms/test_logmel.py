import json
import math

import pytest
import torch
import torchaudio.compliance.kaldi as kaldi
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipelines.transforms.logmel import fit_length, log_mel, normalise
from pipelines.transforms.logmel_spec import LOG_FLOOR, LogMelSpec
from shards.errors import SettingsError

TOLERANCE = 2e-4


def reference(waveform: Tensor, spec: LogMelSpec) -> Tensor:
    return kaldi.fbank(
        (waveform - waveform.mean())[None],
        htk_compat=True,
        sample_frequency=spec.rate,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=spec.bins,
        dither=0.0,
        frame_length=spec.window_ms,
        frame_shift=spec.hop_ms,
    )


def sound(kind: str, samples: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    time = torch.arange(samples, dtype=torch.float32)
    noise = torch.randn(samples, generator=random)
    pitch = 0.01 + 3 * torch.rand(1, generator=random)
    return {
        "noise": 0.2 * noise,
        "loud tone": torch.sin(pitch * time).clamp(-1, 32767 / 32768),
        "tone of 16 bits": (torch.sin(pitch * time) * 32767).round() / 32768,
        "silence with an offset": torch.full((samples,), 0.25),
        "click": torch.zeros(samples).index_fill(0, torch.tensor([samples // 2]), 1.0),
        "speech-like": 0.3 * torch.sin(pitch * time) * (time / 4000).sin().relu() + 1e-4 * noise,
    }[kind]


KINDS = ["noise", "loud tone", "tone of 16 bits", "silence with an offset", "click", "speech-like"]


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    rate=st.sampled_from([8000, 11025, 16000, 22050, 32000, 44100, 48000]),
    seconds=st.floats(0.026, 1.5),
    bins=st.sampled_from([23, 40, 64, 80, 128]),
    seed=st.integers(0, 1000),
)
def test_features_agree_with_those_of_kaldi(kind: str, rate: int, seconds: float, bins: int, seed: int) -> None:
    spec = LogMelSpec(rate=rate, bins=bins)
    waveform = sound(kind, int(rate * seconds), seed)
    found, expected = log_mel(waveform, spec), reference(waveform, spec)
    assert found.shape == expected.shape == (spec.frames(len(waveform)), bins)
    assert (found - expected).abs().max() <= TOLERANCE


@pytest.mark.parametrize("samples", [400, 559, 560, 160_000, 400 + 511 * 160, 400 + 512 * 160, 500_000])
def test_features_of_any_length_agree_with_those_of_kaldi(samples: int) -> None:
    waveform = sound("speech-like", samples, 7)
    assert (log_mel(waveform, LogMelSpec()) - reference(waveform, LogMelSpec())).abs().max() <= TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_other_windows_and_hops_agree_with_those_of_kaldi(kind: str) -> None:
    spec = LogMelSpec(rate=16000, bins=64, window_ms=32.0, hop_ms=7.5)
    waveform = sound(kind, 9000, 3)
    assert (log_mel(waveform, spec) - reference(waveform, spec)).abs().max() <= TOLERANCE


def test_sound_shorter_than_a_window_has_no_frames() -> None:
    assert log_mel(torch.zeros(399), LogMelSpec()).shape == (0, 128)
    assert log_mel(torch.zeros(0), LogMelSpec()).shape == (0, 128)
    assert log_mel(torch.zeros(400), LogMelSpec()).shape == (1, 128)


def test_silence_lies_at_the_floor() -> None:
    assert torch.equal(log_mel(torch.zeros(1600), LogMelSpec()), torch.full((8, 128), LOG_FLOOR))


def test_features_leave_the_waveform_as_it_was() -> None:
    waveform = sound("noise", 2000, 1)
    before = waveform.clone()
    log_mel(waveform, LogMelSpec())
    assert torch.equal(waveform, before)


def test_features_are_the_same_on_every_call() -> None:
    waveform = sound("noise", 50_000, 2)
    assert torch.equal(log_mel(waveform, LogMelSpec()), log_mel(waveform.clone(), LogMelSpec()))


def test_parameters_are_plain_values_that_name_every_choice() -> None:
    told = json.loads(json.dumps(LogMelSpec(rate=22_050).to_json()))
    assert told["rate"] == 22_050 and told["bins"] == 128 and told["fourier_samples"] == 1024
    assert told["log_floor"] == pytest.approx(math.log(2**-23))


@pytest.mark.parametrize(
    "wrong",
    [{"bins": 3}, {"window_ms": 0.05}, {"hop_ms": 0.01}, {"rate": 0}, {"low_hz": 8000.0}, {"low_hz": -1.0}],
)
def test_parameters_without_a_meaning_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="Log-mel features"):
        LogMelSpec(**wrong)


@given(frames=st.integers(0, 20), length=st.integers(1, 20))
def test_fitted_features_keep_what_fits_and_are_filled_up(frames: int, length: int) -> None:
    features = torch.arange(frames * 4, dtype=torch.float32).view(frames, 4)
    fitted = fit_length(features, length, fill=-3.5)
    kept = min(frames, length)
    assert fitted.shape == (length, 4)
    assert torch.equal(fitted[:kept], features[:kept])
    assert (fitted[kept:] == -3.5).all()


def test_normalised_features_have_the_mean_at_0_and_the_deviation_at_1() -> None:
    assert torch.equal(normalise(torch.tensor([[-4.0, 0.0]]), mean=-4.0, deviation=2.0), torch.tensor([[0.0, 2.0]]))
