"""When a view looks: policies that choose frames of a clip, and the span of sound that belongs to them.

The span runs from when the first chosen frame is shown until the last one has been shown, so sound and features that are cut
by it belong to the pictures. A sample without frames has no such span; its whole sound is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.randomness import generator_for
from pipelines.views.view import Extent, Moment, TimePolicy
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class RandomClip:
    """`count` frames, each `stride` stored frames after the one before, from a random first one.

    The window of `count * stride` frames lies anywhere in the clip with equal probability. In a clip that is shorter it
    starts at the first frame, and the last frame is shown again for every one that is missing (Tong et al.,
    arXiv:2203.12602, official code).

    Raises:
        SettingsError: There is no frame, or no step.
    """

    count: int
    stride: int = 1

    def __post_init__(self) -> None:
        _require_frames(self.count, self.stride)

    @property
    def num_frames(self) -> int:
        """See TimePolicy."""
        return self.count

    def moment(self, key: str, k: int, *, extent: Extent, seed: int) -> Moment:
        """Return the moment of view `k`; see TimePolicy."""
        draw = generator_for(seed=seed, epoch=k, key=key, purpose="moment").random()
        spare = max(0, len(extent.times) - self.count * self.stride)
        return _moment_of(_window(int(draw * (spare + 1)), self.count, self.stride, extent), extent)


@dataclass(frozen=True, kw_only=True)
class CentreClip:
    """The window of `RandomClip` in the middle of the clip, whatever `k` and `seed`.

    Raises:
        SettingsError: There is no frame, or no step.
    """

    count: int
    stride: int = 1

    def __post_init__(self) -> None:
        _require_frames(self.count, self.stride)

    @property
    def num_frames(self) -> int:
        """See TimePolicy."""
        return self.count

    def moment(self, key: str, k: int, *, extent: Extent, seed: int) -> Moment:
        """Return the moment of view `k`; see TimePolicy."""
        spare = max(0, len(extent.times) - self.count * self.stride)
        return _moment_of(_window(spare // 2, self.count, self.stride, extent), extent)


@dataclass(frozen=True, kw_only=True)
class UniformFrames:
    """The middle frame of each of `count` equal parts of the clip, whatever `k` and `seed`.

    A clip of fewer frames shows some of them several times.

    Raises:
        SettingsError: There is no frame.
    """

    count: int

    def __post_init__(self) -> None:
        _require_frames(self.count, 1)

    @property
    def num_frames(self) -> int:
        """See TimePolicy."""
        return self.count

    def moment(self, key: str, k: int, *, extent: Extent, seed: int) -> Moment:
        """Return the moment of view `k`; see TimePolicy."""
        return _moment_of(_in_parts([0.5] * self.count, extent), extent)


@dataclass(frozen=True, kw_only=True)
class RandomFrames:
    """A random frame of each of `count` equal parts of the clip (Wang et al., arXiv:1608.00859, section 3.1).

    A clip of fewer frames shows some of them several times.

    Raises:
        SettingsError: There is no frame.
    """

    count: int

    def __post_init__(self) -> None:
        _require_frames(self.count, 1)

    @property
    def num_frames(self) -> int:
        """See TimePolicy."""
        return self.count

    def moment(self, key: str, k: int, *, extent: Extent, seed: int) -> Moment:
        """Return the moment of view `k`; see TimePolicy."""
        draws = generator_for(seed=seed, epoch=k, key=key, purpose="moment").random(self.count).tolist()
        return _moment_of(_in_parts(draws, extent), extent)


@dataclass(frozen=True, kw_only=True)
class RandomSpan:
    """`seconds` of sound from anywhere in it, without frames; all of a sound that is not longer.

    Of a sound whose length is not known the first `seconds` are taken.

    Raises:
        SettingsError: The span is empty.
    """

    seconds: float

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise SettingsError(f"Spans of {self.seconds} seconds were asked for; give more than 0.")

    @property
    def num_frames(self) -> int:
        """See TimePolicy."""
        return 0

    def moment(self, key: str, k: int, *, extent: Extent, seed: int) -> Moment:
        """Return the moment of view `k`; see TimePolicy."""
        draw = generator_for(seed=seed, epoch=k, key=key, purpose="moment").random()
        length = min(self.seconds, extent.seconds or self.seconds)
        return Moment(frames=(), start=draw * max(0.0, extent.seconds - length), seconds=length)


@dataclass(frozen=True, kw_only=True)
class WholeSpan:
    """All sound of a sample, beside the frames that `frames` chooses; without it, no frames.

    Audio-visual models show one random frame of a clip with all of its sound: `WholeSpan(frames=RandomFrames(count=1))`
    (Gong et al., arXiv:2210.07839, section 3.1).
    """

    frames: TimePolicy | None = None

    @property
    def num_frames(self) -> int:
        """See TimePolicy."""
        return 0 if self.frames is None else self.frames.num_frames

    def moment(self, key: str, k: int, *, extent: Extent, seed: int) -> Moment:
        """Return the moment of view `k`; see TimePolicy."""
        whole = _moment_of((), extent)
        if self.frames is None:
            return whole
        return replace(whole, frames=self.frames.moment(key, k, extent=extent, seed=seed).frames)


def _window(first: int, count: int, stride: int, extent: Extent) -> tuple[int, ...]:
    """Return `count` frames from `first` on, the last frame of the clip in place of those behind it."""
    frames = len(extent.times)
    return tuple(min(first + stride * place, frames - 1) for place in range(count)) if frames else ()


def _in_parts(places: Sequence[float], extent: Extent) -> tuple[int, ...]:
    """Return one frame of each of as many equal parts of the clip as there are places in [0, 1), one in each part."""
    frames, parts = len(extent.times), len(places)
    return tuple(int((part + place) * frames / parts) for part, place in enumerate(places)) if frames else ()


def _moment_of(frames: tuple[int, ...], extent: Extent) -> Moment:
    """Return the moment of these frames: until the last has been shown, but not beyond the end of the clip."""
    if not frames:
        return Moment(frames=(), start=0.0, seconds=extent.seconds or None)
    start = extent.times[frames[0]]
    return Moment(frames=frames, start=start, seconds=max(0.0, _end_of(frames[-1], extent) - start))


def _end_of(frame: int, extent: Extent) -> float:
    """Return until when a frame is shown; the last of the clip as long as the one before it."""
    times = extent.times
    if frame + 1 < len(times):
        return times[frame + 1]
    end = 2 * times[frame] - times[frame - 1] if frame else extent.seconds
    return min(end, extent.seconds or end)


def _require_frames(count: int, stride: int) -> None:
    if count < 1 or stride < 1:
        raise SettingsError(f"Clips of {count} frames, {stride} apart, were asked for; give at least 1 of each.")
