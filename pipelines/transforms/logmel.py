"""Log-mel features of sound: how loud each band of the mel scale is, window by window.

The definition is that of Kaldi's `compute-fbank-feats`, as `torchaudio.compliance.kaldi.fbank` computes it and as audio
masked autoencoders use it: the mean of the waveform is taken away, windows without padding at the ends, the mean of each
window taken away, pre-emphasis, a symmetric Hann window, the power spectrum, triangular bands that are equally wide on the
mel scale, the natural logarithm. No dither, no energy column.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.transforms.logmel_spec import POWER_FLOOR, LogMelSpec

_BAND_GROUP = 16
_WINDOWS_AT_ONCE = 512


def log_mel(waveform: Float[Tensor, " samples"], spec: LogMelSpec) -> Float[Tensor, "frames bins"]:
    """Return the log-mel features of a waveform, float32, from `LOG_FLOOR` up.

    `waveform` is mono, float32, of full scale 1. There are `spec.frames(samples)` frames; the rest at the end that fills no
    window is not seen. Agrees with `torchaudio.compliance.kaldi.fbank` of the waveform less its mean (`htk_compat=True`,
    `window_type="hanning"`, `dither=0`): all steps up to the spectrum round alike, which keeps even the weakest bands
    of a loud tone together.
    """
    assert waveform.dtype == torch.float32, waveform.dtype
    frames = spec.frames(len(waveform))
    features = waveform.new_empty(frames, spec.bins)
    if frames:
        windows = (waveform - waveform.mean()).unfold(0, spec.window_samples, spec.hop_samples)
        for first in range(0, frames, _WINDOWS_AT_ONCE):
            some = slice(first, first + _WINDOWS_AT_ONCE)
            _mel_power(_power_spectrum(windows[some], spec), _mel_bands(spec), features[some])
    return features.clamp_(min=POWER_FLOOR).log_()


def fit_length(features: Float[Tensor, "frames bins"], length: int, *, fill: float) -> Float[Tensor, "{length} bins"]:
    """Cut features off after `length` frames, or append frames of the value `fill` to reach it.

    Before `normalise`, a `fill` of `LOG_FLOOR` continues with silence. Published models pad with 0 there, which is louder
    than most sound.
    """
    missing = length - len(features)
    return features[:length] if missing <= 0 else torch.nn.functional.pad(features, (0, 0, 0, missing), value=fill)


def normalise(features: Float[Tensor, "*shape"], *, mean: float, deviation: float) -> Float[Tensor, "*shape"]:
    """Return (features - mean) / deviation, both taken over a whole dataset."""
    return (features - mean) / deviation


def _power_spectrum(windows: Float[Tensor, "frames window"], spec: LogMelSpec) -> Float[Tensor, "frames frequencies"]:
    centred = windows - windows.mean(dim=1, keepdim=True)
    previous = centred * spec.preemphasis
    padded = windows.new_zeros(len(windows), spec.fourier_samples)
    shaped = padded[:, : spec.window_samples]
    torch.sub(centred[:, 1:], previous[:, :-1], out=shaped[:, 1:])
    torch.sub(centred[:, 0], previous[:, 0], out=shaped[:, 0])
    shaped *= _hann_window(spec.window_samples)
    spectrum = torch.fft.rfft(padded)
    power: Tensor = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
    return power


def _mel_power(
    power: Float[Tensor, "frames frequencies"],
    groups: Sequence[tuple[slice, slice, Tensor]],
    out: Float[Tensor, "frames bins"],
) -> None:
    for bands, frequencies, weights in groups:
        out[:, bands] = power[:, frequencies] @ weights


@lru_cache(maxsize=16)
def _hann_window(samples: int) -> Tensor:
    return torch.hann_window(samples, periodic=False)


@lru_cache(maxsize=16)
def _mel_bands(spec: LogMelSpec) -> tuple[tuple[slice, slice, Tensor], ...]:
    """Return the weights of the bands in groups of neighbours: which bands, which bins of the spectrum they need, weights.

    A band needs few bins. Products with only those that a group of bands needs cost a fraction of one with all bins.
    """
    weights = _mel_weights(spec)
    groups = []
    for first in range(0, spec.bins, _BAND_GROUP):
        bands = slice(first, min(first + _BAND_GROUP, spec.bins))
        used = weights[:, bands].sum(dim=1).nonzero().flatten().tolist() or [0]
        frequencies = slice(used[0], used[-1] + 1)
        groups.append((bands, frequencies, weights[frequencies, bands].contiguous()))
    return tuple(groups)


def _mel_weights(spec: LogMelSpec) -> Float[Tensor, "frequencies bins"]:
    """Return how much each bin of the spectrum counts in each band; the bin at half the rate counts in none."""
    lowest, highest = _mel(spec.low_hz), _mel(spec.rate / 2)
    step = (highest - lowest) / (spec.bins + 1)
    left = lowest + torch.arange(spec.bins) * step
    centre = lowest + (torch.arange(spec.bins) + 1.0) * step
    right = lowest + (torch.arange(spec.bins) + 2.0) * step
    bin_hz = spec.rate / spec.fourier_samples
    mel = 1127.0 * (1.0 + bin_hz * torch.arange(spec.fourier_samples // 2, dtype=torch.float32) / 700.0).log()
    rising = (mel[:, None] - left) / (centre - left)
    falling = (right - mel[:, None]) / (right - centre)
    return torch.minimum(rising, falling).clamp(min=0)


def _mel(hertz: float) -> float:
    return 1127.0 * math.log(1.0 + hertz / 700.0)
