"""A pinhole camera that looks at the middle of the world. Metres; x right, y up, z away at azimuth 0."""

from dataclasses import dataclass

import numpy as np

from .shapes import Floats


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Stands on a circle about the point it looks at. Places in the picture are (u, v) in [0, 1], v downwards."""

    azimuth: float  # radians about the vertical
    distance: float  # metres from the axis of the world
    height: float  # metres above the ground
    aim: float  # height in metres of the point in the middle of the picture
    focal: float  # focal length in picture widths

    @property
    def position(self) -> Floats:
        """The centre of projection, [3]."""
        sideways, away = np.sin(self.azimuth), np.cos(self.azimuth)
        return np.array([self.distance * sideways, self.height, -self.distance * away], dtype=np.float32)

    @property
    def axes(self) -> Floats:
        """Unit vectors to the right, downwards and along the optical axis, as rows of [3, 3]."""
        forward = np.array([0, self.aim, 0]) - self.position
        forward /= np.linalg.norm(forward)
        right = np.cross([0, 1, 0], forward)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right) * -1, forward]).astype(np.float32)

    def rays(self, places: Floats) -> Floats:
        """Directions [3, n] through places (u, v) [2, n], scaled to advance one metre of depth each."""
        right, down = (places - np.float32(0.5)) / np.float32(self.focal)
        directions: Floats = self.axes.T @ np.stack([right, down, np.ones_like(right)])
        return directions

    def project(self, points: Floats) -> Floats:
        """(u, v, depth in metres) [3, n] of points [3, n] in the world."""
        right, down, depth = self.axes @ (points - self.position[:, None])
        return np.stack([0.5 + self.focal * right / depth, 0.5 + self.focal * down / depth, depth])
