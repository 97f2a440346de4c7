"""Rays against the things and the ground of a scene: sphere tracing, restricted to the rays that come near a thing."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .scene import Scene, Thing
from .shapes import SOLIDS, Floats, Solid

Indices = NDArray[np.intp]

SKY, GROUND, FIRST_THING = 0, 1, 2  # the surfaces that a ray can meet; thing i is FIRST_THING + i
FAR_M = 30.0  # the ground ends here, in the haze
_STEPS = 72
_CLOSE = np.float32(1e-3)  # in radii


@dataclass(frozen=True, kw_only=True)
class Hits:
    """What each of n rays meets first: which surface, at what depth (metres; infinite for the sky), and where."""

    surface: NDArray[np.uint8]  # [n]
    depth: Floats  # [n], along the optical axis
    position: Floats  # [3, n]; of no meaning where the surface is the sky
    normal: Floats  # [3, n]
    local: Floats  # [3, n], of a thing: the position in its own frame, in radii

    def only(self, rays: Indices) -> "Hits":
        """The hits of some of the rays."""
        return Hits(
            surface=self.surface[rays],
            depth=self.depth[rays],
            position=self.position[:, rays],
            normal=self.normal[:, rays],
            local=self.local[:, rays],
        )


@dataclass(frozen=True)
class Placed:
    """A thing at one moment: world points and directions go into its own frame and back."""

    thing: Thing
    time: float

    @property
    def frame(self) -> Floats:
        """The rotation [3, 3] from the world's axes to its own, about the vertical."""
        turn = self.thing.yaw + self.thing.motion.offset(self.time).turn
        sine, cosine = np.sin(turn), np.cos(turn)
        return np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]], dtype=np.float32)

    def inside(self, points: Floats) -> Floats:
        """Points [3, n] of the world in the thing's frame and in radii."""
        centre = np.array(self.thing.centre(self.time), dtype=np.float32)[:, None]
        frame = self.frame / np.float32(self.thing.radius)
        local: Floats = frame @ points - frame @ centre
        return local

    @property
    def solid(self) -> Solid:
        """Its shape."""
        return SOLIDS[self.thing.kind]

    def crossing(self, points: Floats, directions: Floats) -> tuple[Indices, Floats, Floats, Floats, Floats]:
        """The rays that cross its bounding sphere: which, start and direction in its frame, entry and exit."""
        start = self.inside(points)
        way: Floats = self.frame / np.float32(self.thing.radius) @ directions
        start = np.broadcast_to(start, way.shape)
        squared = np.square(way).sum(axis=0)
        middle = -(start * way).sum(axis=0) / squared
        reach = (self.solid.bound**2 - np.square(start).sum(axis=0)) / squared + np.square(middle)
        half = np.sqrt(np.maximum(reach, 0))
        (rays,) = np.nonzero((reach > 0) & (middle + half > 0))
        entry = np.maximum(middle - half, 0)[rays]
        return rays, start[:, rays], way[:, rays], entry, (middle + half)[rays]


def placed(scene: Scene, time: float) -> list[Placed]:
    """All the things of a scene, `time` seconds into it."""
    return [Placed(thing, time) for thing in scene.things]


def _march(
    one: Placed, start: Floats, way: Floats, entry: Floats, leave: Floats
) -> Iterator[tuple[Indices, Floats, Floats]]:
    """Step every ray until it is close or has left; yields (rays still under way, their travel, their distance)."""
    speed = np.sqrt(np.square(way).sum(axis=0))
    rays, travel = np.arange(len(entry)), entry
    for _ in range(_STEPS):
        if not len(rays):
            return
        distance = one.solid.distance(start[:, rays] + travel * way[:, rays])
        yield rays, travel, distance
        onward = (distance > _CLOSE) & (travel < leave[rays])
        rays, travel, distance = rays[onward], travel[onward], distance[onward]
        travel = travel + distance / speed[rays]


def _meet(one: Placed, origin: Floats, directions: Floats) -> tuple[Indices, Floats]:
    """The rays that meet a thing, and how far along each one it is."""
    rays, start, way, entry, leave = one.crossing(origin, directions)
    reached = np.full(len(rays), np.inf, dtype=np.float32)
    for under_way, travel, distance in _march(one, start, way, entry, leave):
        close = distance <= _CLOSE
        reached[under_way[close]] = travel[close]
    met = np.isfinite(reached)
    return rays[met], reached[met]


def _slope(one: Placed, local: Floats) -> Floats:
    """The unit normal [3, n] in the thing's frame, by differences over the corners of a tetrahedron."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=np.float32)
    step = np.float32(2e-3)
    slope = np.zeros_like(local)
    for corner in corners:
        slope += corner[:, None] * one.solid.distance(local + step * corner[:, None])
    slope /= np.sqrt(np.square(slope).sum(axis=0)) + np.float32(1e-9)
    return slope


def cast(scene: Scene, time: float, directions: Floats) -> Hits:
    """Follow rays [3, n] from the camera to the nearest surface."""
    origin = scene.camera.position[:, None]
    with np.errstate(divide="ignore"):
        depth = np.where(directions[1] < 0, -origin[1] / directions[1], np.inf).astype(np.float32)
    depth[depth > FAR_M] = np.inf
    surface = np.where(np.isfinite(depth), GROUND, SKY).astype(np.uint8)
    things = placed(scene, time)
    for index, one in enumerate(things):
        rays, reached = _meet(one, origin, directions)
        nearer = reached < depth[rays]
        depth[rays[nearer]], surface[rays[nearer]] = reached[nearer], FIRST_THING + index
    position = origin + np.where(np.isfinite(depth), depth, 0) * directions
    normal, local = np.zeros_like(position), np.zeros_like(position)
    normal[1] = 1
    for index, one in enumerate(things):
        own = surface == FIRST_THING + index
        local[:, own] = one.inside(position[:, own])
        normal[:, own] = one.frame.T @ _slope(one, local[:, own])
    return Hits(surface=surface, depth=depth, position=position, normal=normal, local=local)


def sunlight(scene: Scene, time: float, points: Floats, towards_sun: Floats) -> Floats:
    """How much of the sun each of points [3, n] sees, 0 to 1: shadows soft with the distance from what casts them."""
    seen = np.ones(points.shape[1], dtype=np.float32)
    towards = np.broadcast_to(towards_sun[:, None], points.shape)
    for one in placed(scene, time):
        rays, start, way, entry, leave = one.crossing(points, towards)
        clear = np.ones(len(rays), dtype=np.float32)
        for under_way, travel, distance in _march(one, start, way, entry, leave):
            width = 9 * distance * np.float32(one.thing.radius) / np.maximum(travel, np.float32(0.02))
            clear[under_way] = np.minimum(clear[under_way], np.where(distance <= _CLOSE, 0, width))
        seen[rays] = np.minimum(seen[rays], clear)
    return seen * seen * (3 - 2 * seen)


def openness(scene: Scene, time: float, points: Floats, normals: Floats) -> Floats:
    """How little the things close in on each of points [3, n], 0 to 1: the dark line where a thing meets the ground."""
    open_ = np.ones(points.shape[1], dtype=np.float32)
    for one in placed(scene, time):
        reach = np.float32(0.35 * one.thing.radius)
        local = one.inside(points + reach * normals)
        (near,) = np.nonzero(np.square(local).sum(axis=0) < (one.solid.bound + 0.35) ** 2)
        room = one.solid.distance(local[:, near]) * np.float32(one.thing.radius) / reach
        open_[near] *= np.clip(0.35 + 0.65 * room, 0.35, 1)
    return open_
