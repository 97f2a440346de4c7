"""Clouds of points as small pictures."""

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from pipelines.inspect.colours import VIRIDIS, shade
from pipelines.tokenizers.vq.groups import groups_as_placed
from trainers.evaluate.drawing.prediction import ORDER, Prediction, Tiles

SIDE = 192
"""Side of a tile, in pixels."""
NOTE = (
    f"{ORDER['beside']}: the cloud, the groups of points that the network saw, the same with its prediction of the hidden "
    "groups. It is told where their centres are. Colours show the height."
)

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


def draw_cloud(prediction: Prediction) -> Tiles:
    """Draw the groups of points that are predicted of a cloud, at their centres."""
    clouds = prediction.inputs[..., :3].float()
    groups = groups_as_placed(clouds, prediction.modality)
    points = groups.points + groups.centres[:, :, None]
    offsets = rearrange(prediction.values, "batch group (point xyz) -> batch group point xyz", xyz=3)
    imagined = prediction.of_hidden(groups.centres)[:, :, None] + offsets
    tiles = [
        _tiles(cloud, points[sample][prediction.seen[sample]], imagined[sample][real])
        for sample, (cloud, real) in enumerate(zip(clouds, _real(prediction), strict=True))
    ]
    return Tiles(pictures=np.stack(tiles), note=NOTE)


def _real(prediction: Prediction) -> Bool[Tensor, "batch hidden"]:
    """Return which of the predicted groups are no padding."""
    padding = prediction.plan.target_padding
    return torch.ones_like(prediction.plan.target, dtype=torch.bool) if padding is None else ~padding


def _tiles(
    cloud: Float[Tensor, "count 3"],
    seen: Float[Tensor, "visible points 3"],
    imagined: Float[Tensor, "hidden others 3"],
) -> UInt8[np.ndarray, "3 side side 3"]:
    """Return a cloud, what was seen, and that with what was imagined, all moved and scaled so that the cloud fits."""
    middle = (cloud.amin(dim=0) + cloud.amax(dim=0)) / 2
    reach = (cloud - middle).norm(dim=-1).max().clamp(min=torch.finfo(cloud.dtype).tiny)
    visible = seen.flatten(0, 1)
    shown = (cloud, visible, torch.cat([visible, imagined.flatten(0, 1)]))
    return np.stack([draw_points(((points - middle) / reach).numpy(), side=SIDE) for points in shown])
