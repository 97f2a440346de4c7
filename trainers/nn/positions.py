"""Positions of tokens in a grid: fixed tables of sines and cosines."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from pipelines.modalities import Clip
from shards.errors import SettingsError
from trainers.nn.embed import Gridded

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


def interleaved_sincos(places: Float[Tensor, " places"], *, width: int) -> Float[Tensor, "places width"]:
    """Return sine, cosine, sine, ... of every place times `10000 ** (-2 i / width)`, for pair i, float32.

    The frequencies of `sincos_1d`, with sines and cosines side by side (Vaswani et al., arXiv:1706.03762, section 3.5).
    """
    halves = rearrange(sincos_1d(places, width=width), "place (half pair) -> place (pair half)", half=2)
    return halves.float()


def position_table(modality: Gridded, *, width: int) -> Float[Tensor, "tokens width"]:
    """Return the fixed table for the tokens of a modality: by row and column, or, in a clip, by number alone.

    A clip's tokens are numbered by time, row, column, and get one-dimensional positions (Tong et al., arXiv:2203.12602,
    official code). Raises SettingsError if the width does not allow it.
    """
    if not isinstance(modality, Clip):
        return sincos_2d(modality.grid, width=width)
    if width % 2:
        raise SettingsError(f"sine-cosine positions need an even width, not {width}")
    return interleaved_sincos(torch.arange(modality.num_tokens, dtype=torch.float64), width=width)
