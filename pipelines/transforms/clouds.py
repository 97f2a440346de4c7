"""Normalisation and augmentation of point clouds in batches, on the device they are on.

Clouds are [batch, points, columns]; x, y and z are the first three columns, the others are left alone.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.randomness import Draws


def to_unit_sphere(clouds: Float[Tensor, "batch points columns"]) -> Float[Tensor, "batch points columns"]:
    """Move the mean of each cloud to the origin and scale it so that its farthest point has distance 1.

    A cloud of a single place becomes all zeros. (Pang et al., Point-MAE, arXiv:2203.06604, official code.)
    """
    places, rest = clouds[..., :3], clouds[..., 3:]
    centred = places - places.mean(dim=1, keepdim=True)
    radius = centred.norm(dim=-1, keepdim=True).amax(dim=1, keepdim=True)
    return torch.cat([centred / radius.clamp(min=torch.finfo(clouds.dtype).tiny), rest], dim=-1)


def scale_and_translate(
    clouds: Float[Tensor, "batch points columns"],
    draws: Draws,
    *,
    scale: tuple[float, float] = (2 / 3, 3 / 2),
    shift: float = 0.2,
) -> Float[Tensor, "batch points columns"]:
    """Stretch every axis of each cloud by a factor uniform in `scale`, then shift it by up to `shift` either way.

    Factors and shifts of the axes are independent. (Pang et al., Point-MAE, arXiv:2203.06604, official code.)
    """
    uniforms = torch.from_numpy(draws.uniforms(6, purpose="scale and translate")).to(clouds.device, clouds.dtype)
    factors = scale[0] + (scale[1] - scale[0]) * uniforms[:, None, :3]
    shifts = shift * (2 * uniforms[:, None, 3:] - 1)
    return torch.cat([clouds[..., :3] * factors + shifts, clouds[..., 3:]], dim=-1)
