"""Pictures as rows of patches, and back."""

from einops import rearrange
from jaxtyping import Float, Shaped
from torch import Tensor

VARIANCE_FLOOR = 1e-6


def mean_and_spread(
    values: Float[Tensor, "*patches values"],
) -> tuple[Float[Tensor, "*patches 1"], Float[Tensor, "*patches 1"]]:
    """Return the mean of the values of each patch, and the root of their unbiased variance plus 1e-6.

    What is standardised by them becomes what it was by `standardised * spread + mean` (He et al., arXiv:2111.06377,
    section 3, official code).
    """
    spread = (values.var(dim=-1, keepdim=True, unbiased=True) + VARIANCE_FLOOR).sqrt()
    return values.mean(dim=-1, keepdim=True), spread


def patchify(
    images: Shaped[Tensor, "batch channels height width"], patch: int
) -> Shaped[Tensor, "batch patches values"]:
    """Cut pictures into squares of `patch` x `patch` pixels, row by row.

    The values of a patch run by row, column, channel, the channel fastest (He et al., arXiv:2111.06377, official code).
    """
    return rearrange(
        images,
        "batch channel (row y) (column x) -> batch (row column) (y x channel)",
        y=patch,
        x=patch,
    )


def unpatchify(
    patches: Shaped[Tensor, "batch patches values"], patch: int, *, grid: tuple[int, int]
) -> Shaped[Tensor, "batch channels height width"]:
    """Put patches back together; `grid` is (rows, columns) of patches. The inverse of `patchify`."""
    rows, columns = grid
    return rearrange(
        patches,
        "batch (row column) (y x channel) -> batch channel (row y) (column x)",
        row=rows,
        column=columns,
        y=patch,
        x=patch,
    )
