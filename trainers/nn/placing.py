"""How an encoder that sees all places of a grid, after a class token, knows where they are: learned parts."""

from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trainers.nn.initialise import TOKEN_STD


class LearnedPositions(nn.Module):
    """A learned vector for each place, the class token included, added to the tokens; attention is left alone."""

    def __init__(self, num_tokens: int, *, width: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.empty(1, 1 + num_tokens, width))
        nn.init.trunc_normal_(self.positions, std=TOKEN_STD)

    def placed(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens, class token first, with their positions."""
        return tokens + self.positions

    def bias(self) -> None:
        """Nothing is added to attention."""
        return


class RelativePositions(nn.Module):
    """A learned number for each displacement between two places and each head, added to the attention of all blocks.

    From and to the class token, and from it to itself, there is one number each. All start at zero (Bao et al.,
    arXiv:2106.08254, official code: `RelativePositionBias`). Tokens get no position of their own.
    """

    def __init__(self, grid: tuple[int, int], *, heads: int) -> None:
        super().__init__()
        rows, columns = grid
        self.positions = nn.Parameter(torch.zeros((2 * rows - 1) * (2 * columns - 1) + 3, heads))
        self.index: Tensor
        self.register_buffer("index", displacements(grid), persistent=False)

    def placed(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens as they are."""
        return tokens

    def bias(self) -> Float[Tensor, "1 heads tokens tokens"]:
        """Return what is added to the attention of the second token to the third axis' token, for each head."""
        return self.positions[self.index].permute(2, 0, 1)[None]


def displacements(grid: tuple[int, int]) -> Int[Tensor, "tokens tokens"]:
    """Return the number of the displacement between any two places, class token first.

    Displacements are numbered row by row; then come from the class token, to it, and from it to itself.
    """
    rows, columns = grid
    places = torch.tensor(list(product(range(rows), range(columns))))
    apart = places[:, None] - places[None, :] + torch.tensor([rows - 1, columns - 1])
    count = (2 * rows - 1) * (2 * columns - 1)
    index = torch.full((1 + len(places), 1 + len(places)), count)
    index[:, 0] = count + 1
    index[0, 0] = count + 2
    index[1:, 1:] = apart[..., 0] * (2 * columns - 1) + apart[..., 1]
    return index
