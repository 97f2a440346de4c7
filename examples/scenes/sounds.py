"""What a scene sounds like: each kind of thing has a timbre, its size the pitch, its motion when and how loud."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .camera import Camera
from .motions import GRAVITY, Bounce
from .scene import DURATION_S, Scene, Thing
from .shapes import Floats

SAMPLE_RATE = 16_000
_PITCH_HZ = 110.0  # of a thing of one metre radius; half the radius sounds an octave higher


@dataclass(frozen=True, kw_only=True)
class Timbre:
    """The partials of a struck body, as multiples of its pitch, each weaker than the one before, and how they fade."""

    partials: tuple[float, ...]
    weakening: float  # the amplitude of a partial as a part of the one before
    decay_s: float  # seconds until the lowest partial has fallen to 1/e; the others are faster


TIMBRES: Mapping[str, Timbre] = {
    "arch": Timbre(partials=(1.0, 1.5, 2.66, 4.1), weakening=0.8, decay_s=0.05),
    "cone": Timbre(partials=(1.0, 2.4, 3.0, 4.5, 5.33), weakening=0.7, decay_s=0.14),
    "cross": Timbre(partials=(1.0, 1.41, 2.0, 2.83, 4.0), weakening=0.9, decay_s=0.09),
    "cube": Timbre(partials=(1.0, 2.57, 4.95), weakening=0.4, decay_s=0.03),
    "cylinder": Timbre(partials=(1.0, 1.58, 2.24, 2.92, 3.6, 4.3), weakening=0.95, decay_s=0.07),
    "dumbbell": Timbre(partials=(1.0, 2.756, 5.404), weakening=0.9, decay_s=0.17),
    "pyramid": Timbre(partials=(1.0, 3.0, 5.0, 7.0), weakening=0.6, decay_s=0.06),
    "sphere": Timbre(partials=(1.0, 2.0), weakening=0.2, decay_s=0.04),
    "star": Timbre(partials=(4.0, 5.2, 6.7, 8.9), weakening=0.9, decay_s=0.11),
    "torus": Timbre(partials=(1.0, 2.83, 5.43, 8.77), weakening=1.1, decay_s=0.16),
}


def sound(scene: Scene) -> Floats:
    """The whole scene as the camera hears it: mono, 16 kHz, float32 [samples] within -1 and 1.

    An impact begins on the first sample at or after its time. Loudness falls with the distance; nothing is normalised.
    """
    times = np.arange(round(DURATION_S * SAMPLE_RATE)) / SAMPLE_RATE
    heard = np.zeros_like(times)
    for thing in scene.things:
        nearness = 4.0 / _distance(thing, scene.camera)
        heard += nearness * thing.radius * (_struck(thing, times) + _rubbed(thing, times))
    return np.tanh(heard).astype(np.float32)


def _distance(thing: Thing, camera: Camera) -> float:
    return float(np.linalg.norm(np.array(thing.centre(0.0)) - camera.position))


def _frequencies(thing: Thing) -> list[tuple[float, float]]:
    """(Hertz, amplitude) of each partial, the amplitudes adding up to 1; partials above 7 kHz cannot be heard."""
    timbre = TIMBRES[thing.kind]
    pitch = _PITCH_HZ / thing.radius
    audible = [ratio * pitch for ratio in timbre.partials if ratio * pitch < 7000]
    weights = [timbre.weakening**rank for rank in range(len(audible))]
    return [(hertz, weight / sum(weights)) for hertz, weight in zip(audible, weights, strict=True)]


def _struck(thing: Thing, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The body rings from each impact on, as loud as the impact is fast."""
    ringing = np.zeros_like(times)
    for impact in thing.motion.impacts(DURATION_S):
        since = times - impact
        after = since >= 0
        ringing[after] += _speed(thing) / 3 * _ring(thing, since[after])
    return ringing


def _speed(thing: Thing) -> float:
    """Metres per second at which a bouncing thing meets the ground."""
    return GRAVITY * thing.motion.period / 2 if isinstance(thing.motion, Bounce) else 0.0


def _ring(thing: Thing, since: NDArray[np.float64]) -> NDArray[np.float64]:
    decay = TIMBRES[thing.kind].decay_s
    partials = _frequencies(thing)
    lowest = partials[0][0]
    ring = np.zeros_like(since)
    for hertz, amplitude in partials:
        ring += amplitude * np.cos(2 * np.pi * hertz * since) * np.exp(-since / decay * (hertz / lowest) ** 0.5)
    return ring


def _rubbed(thing: Thing, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same partials held, and rough: each one trembles at a rate of its own."""
    effort = thing.motion.effort(times)
    if not effort.any():
        return np.zeros_like(times)
    rubbing = np.zeros_like(times)
    for rank, (hertz, amplitude) in enumerate(_frequencies(thing)):
        tremble = 1 + 0.6 * np.sin(2 * np.pi * (31 + 9 * rank) * times)
        rubbing += amplitude * tremble * np.sin(2 * np.pi * hertz * times)
    return 0.4 * effort * rubbing
