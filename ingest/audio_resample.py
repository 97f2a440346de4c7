"""From decoded blocks of any rate and channels to 16-bit mono at one rate, block by block, so that length costs no memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ingest.rejection import Rejection
from shards.schema import RejectReason

Block = npt.NDArray[np.float32]
"""Decoded sound, (samples, channels), of full scale 1."""
Pcm = npt.NDArray[np.int16]

LOWEST_RATE, HIGHEST_RATE = 1000, 768_000
MOST_CHANNELS = 64
_ADVICE = "; cut videos by --clip-seconds, sounds by start and end columns, or raise limits.audio_seconds"
CODEC_SLACK = 4608
"""Samples that may be missing of a sound coded in overlapping frames, of which a few are swallowed at the ends."""

_LOUDEST = 8.0
_ZERO_CROSSINGS = 6
_ROLL_OFF = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Sound as it leaves a decoder.

    Args:
        rate: Samples per second.
        channels: How many channels there are.
        blocks: The sound, piece after piece; it can be run through once, and errors of decoding come up while it runs.
        promised: Samples that the header says there are; None where it does not say.
        slack: How many of those may be missing all the same.

    Raises:
        Rejection: No sound has such a rate or so many channels.
    """

    rate: int
    channels: int
    blocks: Iterator[Block]
    promised: int | None = None
    slack: int = 0

    def __post_init__(self) -> None:
        if not (LOWEST_RATE <= self.rate <= HIGHEST_RATE and 1 <= self.channels <= MOST_CHANNELS):
            raise Rejection(
                RejectReason.UNSUPPORTED_FORMAT,
                f"{self.channels} channels of {self.rate} samples a second; up to {MOST_CHANNELS} channels of {LOWEST_RATE} to "
                f"{HIGHEST_RATE} are read",
            )


def at_most(decoded: Decoded, seconds: float) -> Iterator[Block]:
    """Pass the blocks on, unless the header promises more than so many seconds, until more come out all the same.

    Raises:
        Rejection: There is more.
    """
    most = seconds * decoded.rate
    if decoded.promised is not None and decoded.promised > most:
        promised = decoded.promised / decoded.rate
        raise Rejection(
            RejectReason.TOO_LONG, f"the header promises {promised:.1f} s; {seconds:g} s is the most{_ADVICE}"
        )
    samples = 0
    for block in decoded.blocks:
        samples += len(block)
        if samples > most:
            raise Rejection(RejectReason.TOO_LONG, f"more than {seconds:g} s of sound{_ADVICE}")
        yield block


def whole(decoded: Decoded, blocks: Iterable[Block]) -> Iterator[Block]:
    """Pass blocks on, and see at the end whether they are as many samples as the header promised, less the slack.

    Raises:
        Rejection: They are fewer.
    """
    samples = 0
    for block in blocks:
        samples += len(block)
        yield block
    if decoded.promised is not None and samples < decoded.promised - decoded.slack:
        detail = f"cut off: {samples} samples; the header promises {decoded.promised}"
        raise Rejection(RejectReason.CORRUPT_AUDIO, detail)


def to_pcm(decoded: Decoded, rate: int, *, seconds: float) -> Pcm:
    """Return the mean of the channels at `rate` samples a second, rounded to 16 bits; what is beyond full scale is clipped.

    Sound that is mono, of 16 bits and of that rate comes through unchanged.

    Raises:
        Rejection: There is more than `seconds` of it, or less than its header promises. A sample is no finite number, or so
            far beyond full scale that the file must mean another one.
    """
    blocks = whole(decoded, at_most(decoded, seconds))
    pieces = [quantised(block) for block in resampled(_mono(blocks), decoded.rate, rate)]
    return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int16)


def quantised(samples: npt.NDArray[np.float32]) -> Pcm:
    """Round samples of full scale 1 to 16 bits, to the nearest and halves to even, and clip them."""
    steps = samples * np.float32(32768)
    np.rint(steps, out=steps)
    return np.clip(steps, -32768, 32767, out=steps).astype(np.int16)


def resampled(blocks: Iterable[npt.NDArray[np.float32]], rate: int, wanted: int) -> Iterator[npt.NDArray[np.float32]]:
    """Convert mono blocks from `rate` to `wanted` samples a second; ceil(n * wanted / rate) samples come out of n.

    The filter is the default one of `torchaudio.functional.resample` (sinc under a Hann window, 6 zero crossings, roll-off
    0.99), and the result is what that gives in float64, to rounding. The table keeps only what is not zero: that is
    faster, and rates that share no factor (44101 and 16000 Hz) cost megabytes, not gigabytes.
    """
    if rate == wanted:
        yield from blocks
        return
    table = _filter_table(rate, wanted)
    before, after = table.before, table.after
    pending = torch.zeros(table.width)
    taken = given = 0
    for block in blocks:
        taken += len(block)
        pending = torch.cat([pending, torch.from_numpy(block)])
        steps = (len(pending) - table.span) // before + 1
        if steps > 0:
            yield table.apply(pending, steps).numpy()
            pending, given = pending[steps * before :], given + steps * after
    rest = math.ceil(taken * after / before) - given
    steps = math.ceil(rest / after)
    if steps > 0:
        missing = table.span + (steps - 1) * before - len(pending)
        yield table.apply(torch.nn.functional.pad(pending, (0, max(0, missing))), steps).numpy()[:rest]


def _mono(blocks: Iterable[Block]) -> Iterator[npt.NDArray[np.float32]]:
    for block in blocks:
        channels = block.shape[1]
        mono = block[:, 0] if channels == 1 else block @ np.full(channels, 1 / channels, dtype=np.float32)
        lowest, highest = mono.min(initial=0), mono.max(initial=0)
        if not (np.isfinite(lowest) and np.isfinite(highest)):
            raise Rejection(RejectReason.CORRUPT_AUDIO, "samples that are no finite numbers (NaN or infinite)")
        if max(highest, -lowest) > _LOUDEST:
            raise Rejection(
                RejectReason.UNSUPPORTED_FORMAT,
                f"samples of {max(highest, -lowest):g}; floating-point sound has a full scale of 1",
            )
        yield np.ascontiguousarray(mono)


@dataclass(frozen=True, slots=True, kw_only=True)
class _FilterTable:
    """Weights by which `before` input samples become `after` output samples, as a banded matrix.

    Args:
        before: Input samples of one step.
        after: Output samples of one step, the phases.
        width: Input samples that are seen before and after a step.
        groups: For neighbouring phases: which, the first input sample they use, and their weights (inputs, phases).
    """

    before: int
    after: int
    width: int
    groups: tuple[tuple[slice, int, Tensor], ...]

    @property
    def span(self) -> int:
        """Input samples that one step sees."""
        return self.before + 2 * self.width

    def apply(self, samples: Tensor, steps: int) -> Tensor:
        """Return the output of the first `steps` steps; a product per group skips the zeros of the matrix."""
        out = torch.empty(steps, self.after)
        for phases, first, weights in self.groups:
            inputs = samples.as_strided((steps, len(weights)), (self.before, 1), samples.storage_offset() + first)
            out[:, phases] = inputs @ weights
        return out.view(-1)


@lru_cache(maxsize=8)
def _filter_table(rate: int, wanted: int) -> _FilterTable:
    """Return the weights from `rate` to `wanted`, in groups of phases that share most of the inputs they use."""
    factor = math.gcd(rate, wanted)
    reach = _ZERO_CROSSINGS / _ROLL_OFF * rate / min(rate, wanted)  # input samples on either side of an output sample
    repeats = math.ceil(8 * reach * factor / rate)  # more than one step at once, lest the inputs of groups overlap
    before, after = rate // factor * repeats, wanted // factor * repeats
    width, size = math.ceil(reach), math.ceil(4 * reach * wanted / rate)
    groups = []
    for first in range(0, after, size):
        phases = np.arange(first, min(first + size, after))
        start = math.floor(phases[0] * before / after - reach) + width
        end = math.floor(phases[-1] * before / after + reach) + width + 1
        weights = _weights(np.arange(start, end) - width, phases * before / after, reach)
        groups.append((slice(first, first + len(phases)), start, torch.from_numpy(weights)))
    return _FilterTable(before=before, after=after, width=width, groups=tuple(groups))


def _weights(inputs: npt.NDArray[np.int64], outputs: npt.NDArray[np.float64], reach: float) -> npt.NDArray[np.float32]:
    """Return the windowed sinc (inputs, outputs) for samples at these times, counted in input samples."""
    distance = np.clip((inputs[:, None] - outputs) * (_ZERO_CROSSINGS / reach), -_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = np.cos(distance * (math.pi / 2 / _ZERO_CROSSINGS)) ** 2
    weights: npt.NDArray[np.float32] = (np.sinc(distance) * window * (_ZERO_CROSSINGS / reach)).astype(np.float32)
    return weights
