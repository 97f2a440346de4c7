"""What a view is, and what decides one."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pipelines.randomness import hash_key

ALIGNMENT_PX = 2
"""Rows or columns by which two looks at one scene may miss the same shape: sizes are rounded when they are made smaller."""


def is_aligned(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Tell whether two sizes, height and width in pixels, can be those of the same scene, edge to edge."""
    return size == other or abs(size[0] * other[1] - size[1] * other[0]) <= ALIGNMENT_PX * max(*size, *other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How large a sample is, in the units that views count in; what a sample does not have is zero or empty.

    Args:
        height: Rows of the picture or of the frames, in pixels.
        width: Columns.
        times: When each stored frame is shown, in seconds from the start of the clip.
        seconds: How long the clip or the sound is.
    """

    height: int = 0
    width: int = 0
    times: tuple[float, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourFactors:
    """By how much the colours of a view differ from what is stored; 1 leaves them as they are."""

    brightness: float
    contrast: float
    saturation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One look at a sample: where, when, and what chance decides.

    Args:
        top: First row of the crop box, in pixels of the source.
        left: First column.
        height: Rows of the box; 0 if the view has no picture.
        width: Columns of the box.
        flip: Whether the box is mirrored left to right.
        size: Side of the square that the box is resized to.
        colours: How colours are changed after the crop; None leaves them as they are.
        frames: Numbers of the stored frames that are shown, ascending, some of them perhaps several times.
        start: Where sound and features begin, in seconds from the start of the clip.
        seconds: How long they last; None for as long as there is sound.
        ticket: 64 bits from which all else is drawn: the subset of a cloud, one caption of several, noise.
    """

    top: int = 0
    left: int = 0
    height: int = 0
    width: int = 0
    flip: bool = False
    size: int = 0
    colours: ColourFactors | None = None
    frames: tuple[int, ...] = ()
    start: float = 0.0
    seconds: float | None = None
    ticket: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a view looks: numbers of frames, and the span of time they stand for, in seconds; as in View."""

    frames: tuple[int, ...]
    start: float
    seconds: float | None


ALWAYS = Moment(frames=(), start=0.0, seconds=None)
"""All sound there is, and no frame."""


@runtime_checkable
class ViewPolicy(Protocol):
    """Decides where the k-th view of a sample looks."""

    @property
    def size(self) -> int:
        """The side of every view in pixels, after rendering."""
        ...

    def view(self, key: str, k: int, *, height: int, width: int, seed: int) -> View:
        """Return view `k` of the sample `key`, whose picture has `height` x `width` pixels; a pure function."""
        ...


@runtime_checkable
class TimePolicy(Protocol):
    """Decides when the k-th view of a sample looks."""

    @property
    def num_frames(self) -> int:
        """How many frames every moment of a sample with frames has; 0 for a policy of sound alone."""
        ...

    def moment(self, key: str, k: int, *, extent: Extent, seed: int) -> Moment:
        """Return the moment of view `k` of the sample `key`; a pure function."""
        ...


def ticket_of(key: str, k: int, *, seed: int) -> int:
    """Return the ticket of view `k` of the sample `key`: 64 bits."""
    return hash_key(seed, k, "ticket", key)
