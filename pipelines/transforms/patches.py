"""Pictures as rows of patches, and back."""

from einops import rearrange
from jaxtyping import Shaped
from torch import Tensor


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
