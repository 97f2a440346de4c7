"""Log-mel features of sound: how loud each band of the mel scale is, window by window.

The definition is that of Kaldi's `compute-fbank-feats`, as `torchaudio.compliance.kaldi.fbank` computes it and as audio
masked autoencoders use it: the mean of the waveform is taken away, windows without padding at the ends, the mean of each
window taken away, pre-emphasis, a symmetric Hann window, the power spectrum, triangular bands that are equally wide on the
mel scale, the natural logarithm. No dither, no energy column.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from shards.errors import SettingsError

POWER_FLOOR = 2.0**-23
LOG_FLOOR = math.log(POWER_FLOOR)
"""The lowest value of a feature, -15.94: silence, and bands between two bins of the spectrum."""

_BAND_GROUP = 16
_WINDOWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMelSpec:
    """Everything that decides the numbers of log-mel features.

    Args:
        rate: Samples of the waveform per second.
        bins: Bands of the mel scale.
        window_ms: Length of a window, rounded down to samples.
        hop_ms: From the start of one window to the next, rounded down to samples.
        low_hz: Lower edge of the lowest band; the upper edge of the highest is half the rate.
        preemphasis: How much of the previous sample is taken away from each.

    Raises:
        SettingsError: A window has fewer than 2 samples, a hop none, there are fewer than 4 bands, or no frequencies.
    """

    rate: int = 16_000
    bins: int = 128
    window_ms: float = 25.0
    hop_ms: float = 10.0
    low_hz: float = 20.0
    preemphasis: float = 0.97

    def __post_init__(self) -> None:
        if self.bins < 4 or self.window_samples < 2 or self.hop_samples < 1 or not 0 <= self.low_hz < self.rate / 2:
            raise SettingsError(
                f"Log-mel features of {self.bins} bands from {self.low_hz} Hz, windows of {self.window_ms} ms every "
                f"{self.hop_ms} ms at {self.rate} Hz: choose 4 bands or more, windows of at least 2 samples, hops of at "
                "least 1, and a lowest frequency below half the rate."
            )

    @property
    def window_samples(self) -> int:
        """Samples of a window."""
        return int(self.rate * self.window_ms * 0.001)

    @property
    def hop_samples(self) -> int:
        """Samples from the start of one window to the next."""
        return int(self.rate * self.hop_ms * 0.001)

    @property
    def fourier_samples(self) -> int:
        """Length to which a window is padded with zeros before its Fourier transform: the next power of two."""
        return 1 << (self.window_samples - 1).bit_length()

    def frames(self, samples: int) -> int:
        """Return how many windows fit into a waveform; 0 if it is shorter than one."""
        return max(0, (samples - self.window_samples) // self.hop_samples + 1)

    def to_json(self) -> dict[str, Any]:
        """Return the parameters, those that are fixed included, as plain values."""
        fixed = {
            "definition": "kaldi fbank",
            "window": "hann, symmetric",
            "fourier_samples": self.fourier_samples,
            "spectrum": "power",
            "mel": "1127 ln(1 + f / 700)",
            "log": "natural",
            "log_floor": LOG_FLOOR,
            "removed_means": ["waveform", "window"],
        }
        return asdict(self) | fixed


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
