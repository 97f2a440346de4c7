"""Attention with linear biases (ALiBi) on a grid: the farther a token is, the less it is attended to.

Nothing else says where a token is, so grids of other sizes need no new parameters.
"""

import math
from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class LinearBiases(nn.Module):
    """Minus the distance between two places of a grid times the slope of each head; nothing is learned.

    Distances are Euclidean, in tokens (Fuller et al., arXiv:2311.00566, section 3.2 and official code).
    """

    def __init__(self, grid: tuple[int, ...], *, heads: int) -> None:
        super().__init__()
        self.places: Tensor
        self.slopes: Tensor
        places = torch.tensor(list(product(*map(range, grid))), dtype=torch.float32)
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("slopes", torch.tensor(slopes_of(heads)), persistent=False)

    def forward(
        self, asking: Int[Tensor, "batch asking"], asked: Int[Tensor, "batch asked"]
    ) -> Float[Tensor, "batch heads asking asked"]:
        """Return what is added to the attention of the tokens at the places `asking` to those at `asked`."""
        apart = self.places[asking][:, :, None] - self.places[asked][:, None, :]
        distances = apart.square().sum(dim=-1).sqrt()
        return -self.slopes[:, None, None] * distances[:, None]


def slopes_of(heads: int) -> list[float]:
    """Return the slope of each head: of a power of two, 2 ** (-8 n / heads) for the n-th, counted from 1.

    Of another number, those of the power of two below, then every second one of the power above (Press et al.,
    arXiv:2108.12409, section 3 and official code).
    """
    below = 2 ** math.floor(math.log2(heads))
    slopes: list[float] = [2.0 ** (-8 * number / below) for number in range(1, below + 1)]
    if below == heads:
        return slopes
    return slopes + slopes_of(2 * below)[::2][: heads - below]
