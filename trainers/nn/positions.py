"""Positions of tokens in a grid."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from shards.errors import SettingsError

MAX_PERIOD = 10_000.0


def sincos_1d(places: Float[Tensor, " places"], *, width: int) -> Float[Tensor, "places width"]:
    """Return [sin | cos] of every place times `10000 ** (-i / (width / 2))`, for i in range(width / 2)."""
    exponents = torch.arange(width // 2, dtype=torch.float64) / (width // 2)
    angles = places.double()[:, None] * MAX_PERIOD**-exponents
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def sincos_2d(grid: tuple[int, int], *, width: int) -> Float[Tensor, "tokens width"]:
    """Return the fixed table of a grid of (rows, columns), tokens row by row, float32.

    The first half of the channels encodes the column, the second half the row. Computed in float64. `width` must be a
    multiple of four, or SettingsError is raised. Source: He et al., arXiv:2111.06377, official `util/pos_embed.py`.
    """
    if width % 4:
        raise SettingsError(f"sine-cosine positions in two dimensions need a width that 4 divides, not {width}")
    rows, columns = (torch.arange(length, dtype=torch.float64) for length in grid)
    row, column = torch.meshgrid(rows, columns, indexing="ij")
    halves = [sincos_1d(rearrange(places, "row column -> (row column)"), width=width // 2) for places in (column, row)]
    return torch.cat(halves, dim=1).float()
