"""What log-mel features are, as data: importing it costs nothing, so that everyone who names them can check them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from shards.errors import SettingsError

POWER_FLOOR = 2.0**-23
LOG_FLOOR = math.log(POWER_FLOOR)
"""The lowest value of a feature, -15.94: silence, and bands between two bins of the spectrum."""


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
