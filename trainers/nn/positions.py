"""Positions of tokens in a grid: fixed tables of sines and cosines, and tables that are learned."""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.modalities import Clip, Modality
from shards.errors import SettingsError
from trainers.nn.initialise import TOKEN_STD

MAX_PERIOD = 10_000.0


def sincos_1d(places: Float[Tensor, " places"], *, width: int) -> Float[Tensor, "places width"]:
    """Return [sin | cos] of every place times `10000 ** (-i / (width / 2))`, for i in range(width / 2)."""
    exponents = torch.arange(width // 2, dtype=torch.float64) / (width // 2)
    angles = places.double()[:, None] * MAX_PERIOD**-exponents
    return torch.cat([angles.sin(), angles.cos()], dim=1)


Half = Literal["column", "row"]
"""What the first half of the channels of a two-dimensional table encodes."""


def sincos_2d(grid: tuple[int, int], *, width: int, first: Half = "column") -> Float[Tensor, "tokens width"]:
    """Return the fixed table of a grid of (rows, columns), tokens row by row, float32.

    The first half of the channels encodes the column, the second half the row, or the other way round. Computed in float64.
    `width` must be a multiple of four, or SettingsError is raised. Source: He et al., arXiv:2111.06377, official
    `util/pos_embed.py`; with the row first, Bachmann et al., arXiv:2204.01678, official `multimae_utils.py`.
    """
    if width % 4:
        raise SettingsError(f"sine-cosine positions in two dimensions need a width that 4 divides, not {width}")
    rows, columns = (torch.arange(length, dtype=torch.float64) for length in grid)
    row, column = torch.meshgrid(rows, columns, indexing="ij")
    axes = (column, row) if first == "column" else (row, column)
    halves = [sincos_1d(rearrange(places, "row column -> (row column)"), width=width // 2) for places in axes]
    return torch.cat(halves, dim=1).float()


def interleaved_sincos(places: Float[Tensor, " places"], *, width: int) -> Float[Tensor, "places width"]:
    """Return sine, cosine, sine, ... of every place times `10000 ** (-2 i / width)`, for pair i, float32.

    The frequencies of `sincos_1d`, with sines and cosines side by side (Vaswani et al., arXiv:1706.03762, section 3.5).
    """
    halves = rearrange(sincos_1d(places, width=width), "place (half pair) -> place (pair half)", half=2)
    return halves.float()


def position_table(modality: Modality, *, width: int, first: Half = "column") -> Float[Tensor, "tokens width"]:
    """Return the fixed table for the tokens of a modality: by row and column, or, in a clip and in a row, by number alone.

    A clip's tokens are numbered by time, row, column, and get one-dimensional positions, sines and cosines side by side (Tong
    et al., arXiv:2203.12602, official code); a clip of one time is a picture. `first` is told of grids of rows and columns
    alone. Raises SettingsError if the width does not allow it.
    """
    if len(modality.grid) == 2 or (isinstance(modality, Clip) and modality.grid[0] == 1):
        rows, columns = modality.grid[-2:]
        return sincos_2d((rows, columns), width=width, first=first)
    if width % 2:
        raise SettingsError(f"sine-cosine positions need an even width, not {width}")
    places = torch.arange(modality.num_tokens, dtype=torch.float64)
    return (
        interleaved_sincos(places, width=width)
        if isinstance(modality, Clip)
        else sincos_1d(places, width=width).float()
    )


Table = Literal["sincos", "transposed", "separable"]
"""Whether positions are fixed sines and cosines, those of the grid with rows and columns exchanged but read in the order of the
tokens (only for weights that were learned so), or the sum of a learned vector of the time and one of the place in it."""


class FixedPositions(nn.Module):
    """A table that is neither learned nor stored."""

    def __init__(self, table: Float[Tensor, "tokens width"]) -> None:
        super().__init__()
        self.table: Tensor
        self.register_buffer("table", table, persistent=False)

    def forward(self) -> Float[Tensor, "tokens width"]:
        """Return the positions of all tokens, in their order."""
        return self.table


class SeparablePositions(nn.Module):
    """A learned vector for each time of a clip, and one for each place in it; tokens get the sum of both.

    They start from a normal distribution of standard deviation 0.02, cut at 2 (Feichtenhofer et al., arXiv:2205.09113,
    section 3 and official code). Raises SettingsError if the modality has no times.
    """

    def __init__(self, modality: Modality, *, width: int) -> None:
        super().__init__()
        if not isinstance(modality, Clip):
            raise SettingsError(
                f"Separable positions are those of times and of places in them, but '{modality.name}' is a "
                f"{type(modality).__name__}, not a clip; give --set model.positions=sincos."
            )
        times, rows, columns = modality.grid
        self.time_positions = nn.Parameter(torch.empty(times, width))
        self.place_positions = nn.Parameter(torch.empty(rows * columns, width))
        for vectors in (self.time_positions, self.place_positions):
            nn.init.trunc_normal_(vectors, std=TOKEN_STD)

    def forward(self) -> Float[Tensor, "tokens width"]:
        """Return the positions of all tokens, which run by time, row, column."""
        both = self.time_positions[:, None] + self.place_positions
        return rearrange(both, "time place width -> (time place) width")


def transposed_table(modality: Modality, *, width: int) -> Float[Tensor, "tokens width"]:
    """Return the table of a grid with rows and columns exchanged, whose rows are read in the order of the tokens.

    So token (1, 0) of a grid of 64 x 8 has the position of row 0, column 8: the official code of AudioMAE (Huang et al.,
    arXiv:2207.06405) took this table, and its published weights need it. Raises SettingsError unless there are two axes.
    """
    if len(modality.grid) != 2:
        raise SettingsError(
            f"Only grids of rows and columns can be transposed, not that of '{modality.name}', {modality.grid}; give "
            "--set model.positions=sincos."
        )
    rows, columns = modality.grid
    return sincos_2d((columns, rows), width=width)


def positions_of(modality: Modality, *, width: int, kind: Table) -> FixedPositions | SeparablePositions:
    """Return the module that gives the positions [tokens, width] of a modality; raises SettingsError as they do."""
    if kind == "separable":
        return SeparablePositions(modality, width=width)
    if kind == "transposed":
        return FixedPositions(transposed_table(modality, width=width))
    return FixedPositions(position_table(modality, width=width))
