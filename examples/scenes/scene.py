"""What a scene is, and which scene a (seed, index) names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .camera import Camera
from .motions import Bounce, Motion, Offset, Rest, Slide, Spin
from .shapes import SOLIDS

Colour = tuple[float, float, float]  # linear light, each channel 0 to 1
Material = Literal["matte", "shiny", "striped"]
Floor = Literal["plain", "checks", "boards"]

KINDS: tuple[str, ...] = tuple(SOLIDS)
DURATION_S = 2.0

COLOURS: Mapping[str, Colour] = {
    "red": (0.66, 0.03, 0.03),
    "orange": (0.85, 0.24, 0.02),
    "yellow": (0.82, 0.60, 0.04),
    "green": (0.06, 0.38, 0.07),
    "teal": (0.02, 0.38, 0.42),
    "blue": (0.03, 0.10, 0.62),
    "purple": (0.25, 0.05, 0.45),
    "pink": (0.82, 0.22, 0.40),
}
_SKIES: tuple[tuple[Colour, Colour], ...] = (  # at the zenith, at the horizon
    ((0.10, 0.25, 0.62), (0.72, 0.82, 0.92)),
    ((0.16, 0.20, 0.45), (0.95, 0.66, 0.45)),
    ((0.35, 0.42, 0.50), (0.78, 0.80, 0.82)),
    ((0.06, 0.22, 0.32), (0.62, 0.85, 0.80)),
    ((0.22, 0.14, 0.38), (0.92, 0.62, 0.70)),
)
_GROUNDS: tuple[Colour, ...] = ((0.42, 0.38, 0.33), (0.20, 0.30, 0.14), (0.52, 0.42, 0.26), (0.30, 0.32, 0.36))
_FLOORS: tuple[Floor, ...] = ("plain", "checks", "boards")
_MATERIALS: tuple[Material, ...] = ("matte", "shiny", "striped")


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One solid: what it is, where it stands and what it does."""

    kind: str
    colour: str
    paint: Colour  # the shade of `colour` that this thing has
    material: Material
    radius: float  # metres
    x: float
    z: float
    yaw: float  # radians
    motion: Motion

    @property
    def size(self) -> str:
        """The radius in a word."""
        return "small" if self.radius < 0.45 else "medium-sized" if self.radius < 0.64 else "large"

    def centre(self, time: float) -> tuple[float, float, float]:
        """Where its local origin is, `time` seconds into the scene."""
        offset: Offset = self.motion.offset(time)
        return (self.x + offset.across, self.radius * SOLIDS[self.kind].foot + offset.up, self.z)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """The sky, the sun and the ground."""

    zenith: Colour
    horizon: Colour
    sun_azimuth: float  # radians
    sun_elevation: float  # radians
    sun_strength: float
    ground: Colour
    floor: Floor
    floor_turn: float  # radians
    floor_step: float  # metres a check or a board


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that all the modalities are made from. The first thing is the main one and the largest."""

    things: tuple[Thing, ...]
    surroundings: Surroundings
    camera: Camera
    phrasing: int  # which turn of phrase the caption takes

    @property
    def main(self) -> Thing:
        """The thing that the label names."""
        return self.things[0]


def label(scene: Scene) -> str:
    """The class of the scene: the kind of its main thing, one of `KINDS`."""
    return scene.main.kind


def scene_for(seed: int, index: int) -> Scene:
    """The scene that (seed, index) names, always the same one; the classes take turns with `index`.

    The kinds and the colours in a scene differ, no things touch or hide each other by much, and the main one moves.
    """
    draw = np.random.default_rng([seed, index])
    main = KINDS[index % len(KINDS)]
    others = draw.permutation([kind for kind in KINDS if kind != main])[: draw.integers(3)]
    colours = draw.permutation(list(COLOURS))
    camera = _camera(draw)
    things = [_main(draw, kind=main, colour=str(colours[0]))]
    for kind, colour in zip(others, colours[1:], strict=False):
        things += _beside(draw, tuple(things), camera, kind=str(kind), colour=str(colour))
    return Scene(
        things=tuple(things), surroundings=_surroundings(draw), camera=camera, phrasing=int(draw.integers(1 << 16))
    )


def _camera(draw: np.random.Generator) -> Camera:
    return Camera(
        azimuth=draw.uniform(-0.35, 0.35),
        distance=draw.uniform(4.6, 5.8),
        height=draw.uniform(1.5, 2.9),
        aim=draw.uniform(0.55, 0.85),
        focal=draw.uniform(1.15, 1.35),
    )


def _surroundings(draw: np.random.Generator) -> Surroundings:
    zenith, horizon = _SKIES[draw.integers(len(_SKIES))]
    return Surroundings(
        zenith=zenith,
        horizon=horizon,
        sun_azimuth=draw.uniform(-2.4, 2.4),
        sun_elevation=draw.uniform(0.55, 1.15),
        sun_strength=draw.uniform(0.8, 1.25),
        ground=_shade(draw, _GROUNDS[draw.integers(len(_GROUNDS))]),
        floor=_FLOORS[draw.integers(len(_FLOORS))],
        floor_turn=draw.uniform(-0.6, 0.6),
        floor_step=draw.uniform(0.35, 0.8),
    )


def _shade(draw: np.random.Generator, colour: Colour) -> Colour:
    """The colour a little lighter or darker, and a little off in each channel."""
    red, green, blue = np.clip(np.array(colour) * draw.uniform(0.8, 1.2) * draw.uniform(0.92, 1.08, size=3), 0, 1)
    return float(red), float(green), float(blue)


def _main(draw: np.random.Generator, *, kind: str, colour: str) -> Thing:
    place = (draw.uniform(-0.65, 0.65), draw.uniform(-0.5, 0.6))
    return _thing(draw, kind=kind, colour=colour, radius=draw.uniform(0.5, 0.8), place=place, may_rest=False)


def _beside(
    draw: np.random.Generator, things: tuple[Thing, ...], camera: Camera, *, kind: str, colour: str
) -> list[Thing]:
    """A smaller thing at a free place; nothing when a hundred draws find none."""
    for _ in range(100):
        place = (draw.uniform(-2.2, 2.2), draw.uniform(-1.0, 2.2))
        thing = _thing(draw, kind=kind, colour=colour, radius=draw.uniform(0.26, 0.42), place=place, may_rest=True)
        if all(_apart(thing, other, camera) for other in things) and _in_view(thing, camera):
            return [thing]
    return []


def _thing(
    draw: np.random.Generator, *, kind: str, colour: str, radius: float, place: tuple[float, float], may_rest: bool
) -> Thing:
    material = _MATERIALS[draw.integers(len(_MATERIALS))]
    motions: list[Motion] = [
        Bounce(period=(period := draw.uniform(0.5, 0.82)), first=period * draw.uniform(0.05, 0.95)),
        Slide(reach=draw.uniform(0.15, 0.3), period=draw.uniform(1.2, 2.0), phase=draw.uniform(0, 2 * np.pi)),
    ]
    if material == "striped" or not SOLIDS[kind].is_round:  # else nobody could see it turn
        motions.append(Spin(period=draw.uniform(0.6, 1.6)))
    if may_rest:
        motions.append(Rest())
    return Thing(
        kind=kind,
        colour=colour,
        paint=_shade(draw, COLOURS[colour]),
        material=material,
        radius=radius,
        x=place[0],
        z=place[1],
        yaw=draw.uniform(-0.65, 0.65),
        motion=motions[draw.integers(len(motions))],
    )


_REACH = 0.3  # metres that a slide may take a thing to the side


def _apart(thing: Thing, other: Thing, camera: Camera) -> bool:
    """Whether two things never touch, and stand side by side rather than behind each other."""
    gap = np.hypot(thing.x - other.x, thing.z - other.z)
    across, width = _across(thing, camera)
    other_across, other_width = _across(other, camera)
    return bool(gap > thing.radius + other.radius + 2 * _REACH) and abs(across - other_across) > 0.9 * (
        width + other_width
    )


def _in_view(thing: Thing, camera: Camera) -> bool:
    across, width = _across(thing, camera)
    return width < across < 1 - width


def _across(thing: Thing, camera: Camera) -> tuple[float, float]:
    """Where the thing is between the left edge (0) and the right edge (1) at the start, and its radius there."""
    u, _, depth = camera.project(np.array(thing.centre(0.0), dtype=np.float32)[:, None])[:, 0]
    return float(u), float(camera.focal * thing.radius / depth)
