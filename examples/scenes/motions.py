"""How things move, and so when they are heard: closed forms of time, so that picture and sound agree exactly."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

GRAVITY = 9.81  # metres per second squared


@dataclass(frozen=True, kw_only=True)
class Offset:
    """Where a motion has taken a thing: metres to the right and up, radians turned about the vertical."""

    across: float = 0.0
    up: float = 0.0
    turn: float = 0.0


class Motion(Protocol):
    """What the renderer, the sound and the caption need to know of a motion."""

    verb: ClassVar[str]
    participle: ClassVar[str]

    def offset(self, time: float) -> Offset:
        """Where the thing is, `time` seconds into the scene."""

    def impacts(self, duration: float) -> tuple[float, ...]:
        """The seconds in [0, duration) at which the thing strikes the ground."""

    def effort(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """How hard the thing rubs on the ground at each of `times` in seconds, 0 (silent) to 1."""


@dataclass(frozen=True, kw_only=True)
class Rest:
    """Stands still, and is silent."""

    verb: ClassVar[str] = "rests"
    participle: ClassVar[str] = "resting"

    def offset(self, time: float) -> Offset:
        """No movement."""
        return Offset()

    def impacts(self, duration: float) -> tuple[float, ...]:
        """None."""
        return ()

    def effort(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Zero throughout."""
        return np.zeros_like(times)


@dataclass(frozen=True, kw_only=True)
class Bounce:
    """Falls and rebounds without loss under gravity; the height follows from the period. Heard at each impact only."""

    verb: ClassVar[str] = "bounces"
    participle: ClassVar[str] = "bouncing"

    period: float  # seconds between impacts
    first: float  # seconds until the first impact, in [0, period)

    @property
    def height(self) -> float:
        """Metres between the ground and the thing's lowest point at the top of a bounce."""
        return GRAVITY * self.period**2 / 8

    def offset(self, time: float) -> Offset:
        """A parabola between any two impacts."""
        part = ((time - self.first) / self.period) % 1.0
        return Offset(up=4 * self.height * part * (1 - part))

    def impacts(self, duration: float) -> tuple[float, ...]:
        """One every period."""
        return tuple(float(time) for time in np.arange(self.first, duration, self.period))

    def effort(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Zero throughout: nothing rubs."""
        return np.zeros_like(times)


@dataclass(frozen=True, kw_only=True)
class Slide:
    """Glides to the right and back; heard as long as it moves, loudest where it is fastest."""

    verb: ClassVar[str] = "slides"
    participle: ClassVar[str] = "sliding"

    reach: float  # metres to either side
    period: float  # seconds there and back
    phase: float  # radians

    def _angle(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        return 2 * np.pi * times / self.period + self.phase

    def offset(self, time: float) -> Offset:
        """A sine to both sides."""
        return Offset(across=self.reach * float(np.sin(self._angle(np.array(time)))))

    def impacts(self, duration: float) -> tuple[float, ...]:
        """None: it never leaves the ground."""
        return ()

    def effort(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """The speed, as a part of the highest speed."""
        return np.abs(np.cos(self._angle(times)))


@dataclass(frozen=True, kw_only=True)
class Spin:
    """Turns about the vertical at a constant rate; heard as a purr of four pulses a turn."""

    verb: ClassVar[str] = "spins"
    participle: ClassVar[str] = "spinning"

    period: float  # seconds a turn

    def offset(self, time: float) -> Offset:
        """A constant rate of turning."""
        return Offset(turn=2 * np.pi * time / self.period)

    def impacts(self, duration: float) -> tuple[float, ...]:
        """None: it never leaves the ground."""
        return ()

    def effort(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Four smooth pulses a turn."""
        return np.sin(4 * np.pi * times / self.period) ** 2
