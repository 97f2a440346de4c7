"""What a camera, a depth camera, an annotator and a scanner make of a scene. They share rays, and so they agree."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .scene import DURATION_S, KINDS, Colour, Floor, Scene, Surroundings
from .shapes import Floats
from .tracing import FAR_M, FIRST_THING, GROUND, SKY, Hits, cast, openness, sunlight

SEGMENTS: tuple[str, ...] = ("sky", "ground", *KINDS)  # a segmentation holds places in this list
SCAN_RANGE_M = 10.0
_SUPERSAMPLING = 2


def render_image(scene: Scene, time: float = 0.0, *, size: int = 96) -> NDArray[np.uint8]:
    """The scene at `time` seconds as sRGB, uint8 [size, size, 3]; each pixel is the mean of four rays."""
    fine = size * _SUPERSAMPLING
    directions = scene.camera.rays(_grid(fine))
    light = shade(scene, time, cast(scene, time, directions), directions)
    pixels = light.reshape(3, size, _SUPERSAMPLING, size, _SUPERSAMPLING).mean(axis=(2, 4))
    return np.rint(255 * _encode(pixels)).astype(np.uint8).transpose(1, 2, 0)


def video(scene: Scene, *, size: int = 96, frames_per_second: int = 12) -> Iterator[NDArray[np.uint8]]:
    """The frames of the whole scene, one after the other, each as `render_image` makes it."""
    for frame in range(round(DURATION_S * frames_per_second)):
        yield render_image(scene, frame / frames_per_second, size=size)


def depth(scene: Scene, *, size: int = 96) -> NDArray[np.uint16]:
    """Millimetres along the optical axis at the start, uint16 [size, size], at pixel centres; 0 where nothing is."""
    hits = cast(scene, 0.0, scene.camera.rays(_grid(size)))
    metres = np.where(np.isfinite(hits.depth), hits.depth, 0)
    millimetres: NDArray[np.uint16] = np.rint(1000 * metres).astype(np.uint16).reshape(size, size)
    return millimetres


def segmentation(scene: Scene, *, size: int = 96) -> NDArray[np.uint8]:
    """What each pixel shows at the start, uint8 [size, size]: places in `SEGMENTS`, at pixel centres."""
    hits = cast(scene, 0.0, scene.camera.rays(_grid(size)))
    return segment_ids(scene)[hits.surface].reshape(size, size)


def segment_ids(scene: Scene) -> NDArray[np.uint8]:
    """The place in `SEGMENTS` of each surface of the scene: sky, ground, then its things in order."""
    names = ("sky", "ground", *(thing.kind for thing in scene.things))
    return np.array([SEGMENTS.index(name) for name in names], dtype=np.uint8)


def points(scene: Scene, *, count: int = 2048) -> Floats:
    """A scan of what the camera sees at the start: float32 [count, 6], x y z in metres and r g b (sRGB, 0 to 1).

    Up to half of the points lie on things and the others on the ground within `SCAN_RANGE_M`. The rays follow the
    R2 sequence (Roberts 2018, "The unreasonable effectiveness of quasirandom sequences"), so no chance is involved.
    """
    steps = np.arange(1, 16 * count + 1)[None] * np.array([[0.7548776662466927], [0.5698402909980532]])
    directions = scene.camera.rays((steps % 1).astype(np.float32))
    hits = cast(scene, 0.0, directions)
    on_things = np.nonzero(hits.surface >= FIRST_THING)[0][: count // 2]
    on_ground = np.nonzero((hits.surface == GROUND) & (hits.depth < SCAN_RANGE_M))[0][: count - len(on_things)]
    chosen = np.sort(np.concatenate([on_things, on_ground]))
    scan = hits.only(chosen)
    colours = _encode(shade(scene, 0.0, scan, directions[:, chosen]))
    return np.concatenate([scan.position, colours]).T.astype("<f4")


def shade(scene: Scene, time: float, hits: Hits, directions: Floats) -> Floats:
    """The light [3, n], linear and from 0, that comes back along rays [3, n] from what they hit."""
    around = scene.surroundings
    view = directions / np.sqrt(np.square(directions).sum(axis=0))
    sky = _sky(around, view)
    light = sky.copy()
    (solid,) = np.nonzero(hits.surface != SKY)
    light[:, solid] = _solid_light(scene, time, hits.only(solid), view[:, solid])
    haze = np.clip(np.where(np.isfinite(hits.depth), hits.depth, 0) / FAR_M, 0, 1) ** 1.5
    return light * (1 - haze) + sky * haze


def _solid_light(scene: Scene, time: float, hits: Hits, view: Floats) -> Floats:
    """Sun and sky on the paint, and what shiny things mirror; none of the rays may have gone to the sky."""
    around, normal = scene.surroundings, hits.normal
    sun = sun_direction(around)
    lifted = hits.position + np.float32(0.02) * normal
    facing = np.maximum(sun @ normal, 0)
    lit = np.zeros_like(facing)
    lit[facing > 0] = facing[facing > 0] * sunlight(scene, time, lifted[:, facing > 0], sun)
    overhead = 0.5 + 0.5 * normal[1]
    ambient = (
        _column(around.zenith) * overhead * 0.6
        + _column(around.horizon) * 0.28
        + _column(around.ground) * 0.2 * (1 - overhead)
    )
    ambient = ambient * openness(scene, time, hits.position, normal)
    sunny = _column((1.0, 0.93, 0.82)) * np.float32(around.sun_strength) * lit
    light: Floats = _paint(scene, hits) * (ambient + sunny)
    shiny = np.array([False, False, *(thing.material == "shiny" for thing in scene.things)])[hits.surface]
    light[:, shiny] += _gloss(around, view[:, shiny], normal[:, shiny], lit[shiny])
    return light


def _gloss(around: Surroundings, view: Floats, normal: Floats, lit: Floats) -> Floats:
    """The mirror image of the sky (Schlick's Fresnel term) and a highlight of the sun."""
    cosine = -(view * normal).sum(axis=0)
    mirrored = view + 2 * cosine * normal
    fresnel = 0.06 + 0.7 * np.clip(1 - cosine, 0, 1) ** 5
    highlight = np.clip(sun_direction(around) @ mirrored, 0, 1) ** 60 * np.minimum(4 * lit, 1)
    gloss: Floats = fresnel * _sky(around, mirrored) + 0.9 * highlight
    return gloss


def _paint(scene: Scene, hits: Hits) -> Floats:
    """The colour of the surfaces themselves, [3, n]."""
    paint = np.empty_like(hits.position)
    ground = hits.surface == GROUND
    paint[:, ground] = _ground_paint(scene.surroundings, hits.position[:, ground], hits.depth[ground])
    for index, thing in enumerate(scene.things):
        own = hits.surface == FIRST_THING + index
        pale = np.zeros(own.sum(), dtype=np.float32)
        if thing.material == "striped":
            x, y, z = hits.local[:, own]
            pale = 0.55 * _band(4.2 * (0.6 * x + 0.7 * y + 0.5 * z))
        paint[:, own] = _column(thing.paint) * (1 - pale) + pale
    return paint


def _ground_paint(around: Surroundings, position: Floats, depth: Floats) -> Floats:
    """Plain, checks or boards, fading with the depth before they grow finer than the pixels."""
    sine, cosine = math.sin(around.floor_turn), math.cos(around.floor_turn)
    across = (cosine * position[0] + sine * position[2]) / around.floor_step
    along = (cosine * position[2] - sine * position[0]) / around.floor_step
    darker = _floor_pattern(around.floor, across, along)
    fade = np.exp(-((depth / 11) ** 2))
    paint: Floats = _column(around.ground) * (1 - 0.3 * (darker * fade + 0.35 * (1 - fade)))
    return paint


def _floor_pattern(floor: Floor, across: Floats, along: Floats) -> Floats:
    """How dark the floor is at places given in steps of its pattern, 0 to 1.2 in the joints of the boards."""
    match floor:
        case "plain":
            return np.zeros_like(across)
        case "checks":
            return (np.floor(across) + np.floor(along)) % 2
        case "boards":
            return 0.5 * (np.floor(across) % 2) + 0.7 * (across % 1 < 0.05)


def _band(phase: Floats) -> Floats:
    """Stripes with soft edges: 0 and 1 in turn, a unit of phase each."""
    band: Floats = np.clip(0.5 + 4 * np.sin(np.pi * phase), 0, 1)
    return band


def _sky(around: Surroundings, view: Floats) -> Floats:
    """A gradient from the horizon to the zenith, brighter towards the sun; below the horizon, the ground's light."""
    height = np.clip(view[1], 0, 1) ** 0.6
    glow = 0.25 * np.clip(sun_direction(around) @ view, 0, 1) ** 6
    sky = _column(around.horizon) * (1 - height) + _column(around.zenith) * height + glow
    below = np.clip(-4 * view[1] - 0.5, 0, 1)  # the camera's rays end in the haze above
    seen: Floats = sky * (1 - below) + 0.7 * _column(around.ground) * below
    return seen


def sun_direction(around: Surroundings) -> Floats:
    """The unit vector [3] towards the sun."""
    flat = math.cos(around.sun_elevation)
    sideways, nearer = flat * math.sin(around.sun_azimuth), flat * math.cos(around.sun_azimuth)
    return np.array([sideways, math.sin(around.sun_elevation), -nearer], dtype=np.float32)


def _column(colour: Colour) -> Floats:
    return np.array(colour, dtype=np.float32)[:, None]


def _encode(light: Floats) -> Floats:
    """Linear light to sRGB (IEC 61966-2-1), both 0 to 1; what is brighter is clipped."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _grid(size: int) -> Floats:
    """The centres of size x size pixels as places (u, v), float32 [2, size * size], row by row."""
    centres = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    return np.stack([np.tile(centres, size), np.repeat(centres, size)])
