"""Clouds of points as small pictures."""

import numpy as np
from jaxtyping import Float, UInt8

from pipelines.inspect.colours import VIRIDIS, shade

_BACKGROUND = 24
_REACH = 1.1
"""Half the side of a picture, in radii of the cloud."""


def draw_points(
    points: Float[np.ndarray, "points 3"], *, side: int, colours: UInt8[np.ndarray, "points 3"] | None = None
) -> UInt8[np.ndarray, "side side 3"]:
    """Draw a cloud of radius 1 from above at a slant, near points over far ones; coloured by height if not otherwise."""
    x, y, z = points.T
    right, up, near = (x - y) * np.sqrt(0.5), z * 0.8 + (x + y) * 0.42, z * 0.6 - (x + y) * 0.57
    painted = shade(z[None], VIRIDIS, low=-0.8, high=0.8)[0] if colours is None else colours
    order = np.argsort(near)
    column, row = ((place / _REACH + 1) * side / 2 for place in (right[order], -up[order]))
    picture = np.full((side, side, 3), _BACKGROUND, np.uint8)
    for down in (0, 1):
        for across in (0, 1):
            rows, columns = (np.clip(place.astype(int), 0, side - 1) for place in (row + down, column + across))
            picture[rows, columns] = painted[order]
    return picture
